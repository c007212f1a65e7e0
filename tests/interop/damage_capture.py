#!/usr/bin/env python3
"""Flips one byte of one PDU in a capture: damage_capture.py IN OUT HEADER|DATA.

IN is a pcap file of Ethernet frames (dumpcap -P). HEADER damages the second byte-carrying word of the first SCSI
Response's header, DATA the middle of the first full-sized segment from the target, which is inside a data segment.
"""
import struct
import sys

TARGET_PORT = 3260
SCSI_RESPONSE = 0x21
SEGMENT_FULL = 1300


def frames(capture):
    """Yields (offset of the frame's bytes, length)."""
    at = 24
    while at + 16 <= len(capture):
        length = struct.unpack_from("<I", capture, at + 8)[0]
        yield at + 16, length
        at += 16 + length


def payload_of(capture, at, length):
    """(offset, length) of what TCP carries from the target's port, or None."""
    if length < 54 or capture[at + 12:at + 14] != b"\x08\x00" or capture[at + 23] != 6:
        return None
    ip_bytes = (capture[at + 14] & 15) * 4
    total = struct.unpack_from(">H", capture, at + 16)[0]
    tcp = at + 14 + ip_bytes
    if struct.unpack_from(">H", capture, tcp)[0] != TARGET_PORT:
        return None
    tcp_bytes = (capture[tcp + 12] >> 4) * 4
    return tcp + tcp_bytes, total - ip_bytes - tcp_bytes


def main():
    source, sink, what = sys.argv[1:]
    capture = bytearray(open(source, "rb").read())
    for at, length in frames(capture):
        found = payload_of(capture, at, length)
        if found is None:
            continue
        start, size = found
        if what == "HEADER" and size == 52 and capture[start] == SCSI_RESPONSE:
            capture[start + 40] ^= 0x10
        elif what == "DATA" and size >= SEGMENT_FULL:
            capture[start + size // 2] ^= 0x10
        else:
            continue
        open(sink, "wb").write(capture)
        return 0
    print("nothing in the capture could be damaged", file=sys.stderr)
    return 1


sys.exit(main())
