"""Sends back what it receives, for any number of connections: the peer of scripts/qemu-rss, on the kernel's TCP."""
import selectors
import socket
import sys

listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=256)
listener.setblocking(False)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            selector.register(connection, selectors.EVENT_READ)
            continue
        connection = key.fileobj
        try:
            data = connection.recv(65536)
            if data:
                connection.sendall(data)
        except OSError:
            data = b""
        if not data:
            selector.unregister(connection)
            connection.close()
