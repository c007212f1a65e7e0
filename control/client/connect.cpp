// Connecting to a service.
#include "control/client/connect.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "control/ring/handshake.hpp"
#include "control/ring/socket_path.hpp"
#include "pollux/errors.h"

namespace pollux::client {
namespace {

using Clock = std::chrono::steady_clock;

int left_ms(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

Result<ring::Descriptor> open_socket(const std::string& path, Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{POLLUX_EINVAL, "the socket path '" + path + "' is empty or too long"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  ring::Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return Error{POLLUX_ENOMEM, "no descriptor is left for a socket"};
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
         0) {
    if (errno == EAGAIN && left_ms(deadline) > 0) {
      ::poll(nullptr, 0, 1);  // the backlog is full; a Unix socket has no event for its end
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EACCES || errno == EPERM) {
      return Error{POLLUX_EACCES, "this user may not open " + path};
    }
    if (errno == EAGAIN)
      return Error{POLLUX_ETIMEDOUT, "the service at " + path + " does not accept"};
    return Error{POLLUX_ESERVICE, "no pollux service listens on " + path};
  }
  return socket;
}

Result<ring::Descriptor> find_service(const ConnectOptions& options, Clock::time_point deadline) {
  if (!options.socket_path.empty()) return open_socket(options.socket_path, deadline);
  if (!ring::is_instance_name(options.instance)) {
    return Error{POLLUX_EINVAL, "'" + options.instance + "' cannot be the name of an instance"};
  }
  const std::vector<std::string> candidates = ring::socket_candidates(options.instance);
  std::string tried;
  for (const std::string& path : candidates) {
    auto socket = open_socket(path, deadline);
    if (socket || socket.error().code != POLLUX_ESERVICE) return socket;
    tried += (tried.empty() ? "" : " or ") + path;
  }
  return Error{POLLUX_ESERVICE, "no pollux service listens on " + tried};
}

struct Reply {
  pollux_ring_reply body{};
  std::array<ring::Descriptor, 2> descriptors;
};

Result<Reply> receive_reply(int socket_fd, Clock::time_point deadline) {
  Reply reply;
  iovec part{.iov_base = &reply.body, .iov_len = sizeof reply.body};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr message{};
  ssize_t length = -1;
  // A reset that overtakes the sentence is reported once; the sentence is behind it.
  for (int resets = 0; resets < 2;) {
    message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    length = ::recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length >= 0) break;
    if (errno == ECONNRESET) {
      ++resets;
    } else if (errno == EAGAIN) {
      const int wait_ms = left_ms(deadline);
      if (wait_ms == 0)
        return Error{POLLUX_ETIMEDOUT, "the service did not answer the hello in time"};
      pollfd readable{.fd = socket_fd, .events = POLLIN, .revents = 0};
      ::poll(&readable, 1, wait_ms);
    } else if (errno != EINTR) {
      break;
    }
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); length >= 0 && header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::array<int, 2> received{-1, -1};
    std::memcpy(received.data(), CMSG_DATA(header),
                std::min(header->cmsg_len - CMSG_LEN(0), sizeof received));
    reply.descriptors = {ring::Descriptor(received[0]), ring::Descriptor(received[1])};
  }
  if (length != ssize_t{sizeof reply.body} || reply.body.magic != POLLUX_RING_MAGIC) {
    return Error{POLLUX_ESERVICE, "the service closed the connection without a word"};
  }
  reply.body.sentence[sizeof reply.body.sentence - 1] = '\0';
  return reply;
}

Result<void> check(const pollux_ring_reply& reply) {
  switch (reply.result) {
    case POLLUX_RING_WELCOME:
      break;
    case POLLUX_RING_REFUSED_VERSION:
      return Error{POLLUX_EVERSION, reply.sentence};
    case POLLUX_RING_REFUSED_TIMEOUT:
      return Error{POLLUX_ETIMEDOUT, reply.sentence};
    case POLLUX_RING_REFUSED_FULL:
      return Error{POLLUX_EAGAIN, reply.sentence};
    case POLLUX_RING_REFUSED_RESOURCES:
      return Error{POLLUX_ENOMEM, reply.sentence};
    default:
      return Error{POLLUX_EACCES, reply.sentence};
  }
  if (reply.version < POLLUX_RING_VERSION_OLDEST || reply.version > POLLUX_RING_VERSION ||
      !ring::is_sound(reply.geometry)) {
    return Error{POLLUX_EVERSION, "the service offers a channel this version cannot use"};
  }
  return {};
}

}  // namespace

Result<Connection> connect(const ConnectOptions& options) {
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(options.connect_ms);
  auto socket = find_service(options, deadline);
  if (!socket) return socket.error();
  pollux_ring_hello hello{};
  hello.magic = POLLUX_RING_MAGIC;
  hello.version = POLLUX_RING_VERSION;
  hello.version_oldest = POLLUX_RING_VERSION_OLDEST;
  hello.features = POLLUX_RING_FEATURES_ALL;
  hello.command_slots = options.command_slots;
  hello.completion_slots = options.completion_slots;
  hello.arena_bytes = options.arena_bytes;
  // A failure is not the end: a service that refuses at once has left its sentence for us.
  static_cast<void>(::send(socket->get(), &hello, sizeof hello, MSG_NOSIGNAL));
  auto reply = receive_reply(socket->get(), deadline);
  if (!reply) return reply.error();
  if (auto checked = check(reply->body); !checked) return checked.error();

  Connection connection;
  connection.socket = std::move(*socket);
  connection.doorbell = std::move(reply->descriptors[1]);
  connection.reply = reply->body;
  if (reply->descriptors[0].is_open() && connection.doorbell.is_open()) {
    connection.region =
        ring::Mapping::of(reply->descriptors[0].get(), reply->body.geometry.region_bytes);
  }
  if (connection.region.get() == nullptr) {
    return Error{POLLUX_ENOMEM, "the channel's memory could not be mapped"};
  }
  return connection;
}

}  // namespace pollux::client
