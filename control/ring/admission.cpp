// The admitting half of the ring: the socket, the handshake, clients that come and go.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "control/ring/server.hpp"
#include "pollux/errors.h"

namespace pollux::ring {
namespace {

constexpr int kAcceptsPerTurn = 8;
constexpr int kEventsPerTurn = 32;
constexpr int kBacklog = 64;
constexpr long kTimerNs = 100'000'000;  // how late a silent connection may be noticed
constexpr std::uint32_t kClientLimitMax = 1u << 16;

// What an epoll event is about: kind in the upper bits, the client's index and generation below. A
// stale event of a client that was closed in the same batch does not match the generation.
enum class Source : std::uint64_t { listener = 0, timer = 1, socket = 2, doorbell = 3 };

std::uint64_t event_key(Source source, std::uint32_t index, std::uint32_t generation) {
  return static_cast<std::uint64_t>(source) << 56 | static_cast<std::uint64_t>(index) << 32 |
         generation;
}

bool watch(int epoll_fd, int fd, std::uint32_t events, std::uint64_t key) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

Error system_error(const std::string& what) {
  return {POLLUX_EINTERNAL, fmt::format("{}: {}", what, std::strerror(errno))};
}

bool send_reply(int socket_fd, const pollux_ring_reply& reply, std::span<const int> descriptors) {
  iovec part{.iov_base = const_cast<pollux_ring_reply*>(&reply), .iov_len = sizeof reply};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == ssize_t{sizeof reply};
}

// Tells why, then ends the connection. Unread bytes would turn the close into a reset, which
// overtakes the sentence: no more are let in, and what is there is read away.
void refuse_and_close(Descriptor socket, std::uint32_t result, const std::string& sentence) {
  send_reply(socket.get(), refusal(result, sentence), {});
  ::shutdown(socket.get(), SHUT_RDWR);
  std::array<char, 256> ignored;
  for (int reads = 0; reads < 16; ++reads) {
    if (::recv(socket.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) <= 0) break;
  }
}

// The region: a file of memory that neither side can resize, so that no access can fault.
Descriptor make_region(std::uint64_t bytes) {
  Descriptor region(::memfd_create("pollux-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!region.is_open() || ::ftruncate(region.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(region.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return {};
  }
  return region;
}

// Takes the lock that tells a living service's socket from a dead one's. The file may have been
// removed by its last owner between our open and our lock: then it is somebody else's name now, try
// again.
Result<Descriptor> take_lock(const std::string& path) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.is_open()) return system_error(fmt::format("cannot open {}", path));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return Error{
          POLLUX_EINVAL,
          fmt::format("another service holds {}; stop it or choose another instance", path)};
    }
    struct stat held {};
    struct stat named {};
    if (::fstat(lock.get(), &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
      return lock;
    }
  }
  return Error{POLLUX_EINTERNAL, fmt::format("cannot lock {}", path)};
}

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options) {
  if (options.client_limit == 0 || options.client_limit > kClientLimitMax) {
    return Error{POLLUX_EINVAL, fmt::format("the client limit must be 1 to {}", kClientLimitMax)};
  }
  std::unique_ptr<Server> server(new Server(options));
  server->policy_.owner = ::geteuid();
  auto manage = group_id(options.manage_group);
  if (!manage) return manage.error();
  auto monitor = group_id(options.monitor_group);
  if (!monitor) return monitor.error();
  server->policy_.manage_group = *manage;
  server->policy_.monitor_group = *monitor;
  if (auto opened = server->open_socket(); !opened) return opened.error();
  if (auto opened = server->open_epoll(); !opened) return opened.error();
  return server;
}

Server::~Server() {
  // The socket goes before the lock: whoever takes the lock next finds no name of ours.
  if (is_bound_) ::unlink(options_.socket_path.c_str());
  if (lock_.is_open()) ::unlink((options_.socket_path + ".lock").c_str());
}

Result<void> Server::open_socket() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = options_.socket_path;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{POLLUX_EINVAL, fmt::format("the socket path '{}' must have 1 to {} bytes", path,
                                            sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const bool has_groups = policy_.manage_group || policy_.monitor_group;
  if (const std::size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
    ::mkdir(path.substr(0, slash).c_str(), has_groups ? 0755 : 0700);  // there already: fine
  }
  auto lock = take_lock(path + ".lock");
  if (!lock) return lock.error();
  lock_ = std::move(*lock);

  listener_ = Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_.is_open()) return system_error("cannot make a socket");
  // With groups, the kernel's word on who connects decides and not the file's mode, which knows
  // only one group. The mode is set before the name exists: no moment is more open than meant.
  const mode_t mode = has_groups ? 0666 : 0600;
  ::fchmod(listener_.get(), mode);
  struct stat existing {};
  if (::lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return Error{POLLUX_EINVAL, fmt::format("{} is there and is not a socket", path)};
    }
    ::unlink(path.c_str());  // we hold the lock: its service is dead
  }
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error(fmt::format("cannot make the socket {}", path));
  }
  is_bound_ = true;
  ::chmod(path.c_str(), mode);  // the umask took bits away
  if (::listen(listener_.get(), kBacklog) != 0) return system_error("cannot listen");
  return {};
}

Result<void> Server::open_epoll() {
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  timer_ = Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!epoll_.is_open() || !timer_.is_open() ||
      !watch(epoll_.get(), listener_.get(), EPOLLIN, event_key(Source::listener, 0, 0)) ||
      !watch(epoll_.get(), timer_.get(), EPOLLIN, event_key(Source::timer, 0, 0))) {
    return system_error("cannot watch the ring's socket");
  }
  return {};
}

bool Server::poll_events(Handler& handler) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, 0);
  for (int position = 0; position < count; ++position) {
    const std::uint64_t key = events[static_cast<std::size_t>(position)].data.u64;
    const auto index = static_cast<std::uint32_t>(key >> 32 & 0xffffff);
    const auto generation = static_cast<std::uint32_t>(key);
    switch (static_cast<Source>(key >> 56)) {
      case Source::listener:
        accept_clients();
        break;
      case Source::timer:
        expire_greetings();
        break;
      case Source::socket:
        if (clients_[index].generation != generation) break;
        if (clients_[index].state == State::greeting) {
          read_hello(index);
        } else if (clients_[index].state == State::open) {
          // A hang-up, or a message where none may come. Either way the stay is over.
          char byte = 0;
          if (::recv(clients_[index].socket.get(), &byte, 1, MSG_DONTWAIT) > 0) {
            ++counters_.channels_broken;
          }
          close_client(index, handler);
        }
        break;
      case Source::doorbell:
        break;  // edge-triggered and never read (see ring.h); the next turn looks at the rings
    }
  }
  if (count == kEventsPerTurn) events_due_ = true;
  return count > 0;
}

void Server::accept_clients() {
  for (int accepted = 0; accepted < kAcceptsPerTurn; ++accepted) {
    Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.is_open()) {
      admit(std::move(socket));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The connection stays in the backlog and the listener readable: watching it would spin.
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
      is_listener_paused_ = true;
      arm_timer();
    }
    return;
  }
}

void Server::admit(Descriptor socket) {
  const std::optional<Peer> peer = peer_of(socket.get());
  const Access access = peer ? policy_.access_of(*peer) : Access::none;
  if (access == Access::none) {
    ++counters_.clients_refused;
    refuse_and_close(
        std::move(socket), POLLUX_RING_REFUSED_PEER,
        fmt::format("user {} is neither in the manage group nor in the monitor group of "
                    "this service; ask its administrator",
                    peer ? fmt::to_string(peer->uid) : "unknown"));
    return;
  }
  // A quarter of the places is kept for managers: monitors cannot lock them out.
  const auto is_taken = [](const Client& client) { return client.state != State::vacant; };
  const auto taken = std::count_if(clients_.begin(), clients_.end(), is_taken);
  const auto limit = static_cast<std::ptrdiff_t>(clients_.size());
  const std::ptrdiff_t usable = access == Access::manage ? limit : limit - limit / 4;
  const auto vacant = std::find_if_not(clients_.begin(), clients_.end(), is_taken);
  if (taken >= usable || vacant == clients_.end()) {
    ++counters_.clients_refused;
    refuse_and_close(
        std::move(socket), POLLUX_RING_REFUSED_FULL,
        fmt::format("the service has {} clients and takes no more of this kind", taken));
    return;
  }
  Client& client = *vacant;
  const auto index = static_cast<std::uint32_t>(vacant - clients_.begin());
  ++client.generation;
  if (!watch(epoll_.get(), socket.get(), EPOLLIN | EPOLLRDHUP,
             event_key(Source::socket, index, client.generation))) {
    refuse_and_close(std::move(socket), POLLUX_RING_REFUSED_RESOURCES,
                     "the service is out of resources");
    return;
  }
  client.socket = std::move(socket);
  client.peer = *peer;
  client.access = access;
  client.state = State::greeting;
  client.hello_deadline = std::chrono::steady_clock::now() + options_.hello_timeout;
  arm_timer();
}

void Server::read_hello(std::uint32_t index) {
  Client& client = clients_[index];
  std::array<std::byte, 512> message;
  const ssize_t length = ::recv(client.socket.get(), message.data(), message.size(), MSG_DONTWAIT);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    client.socket.reset();
    client.state = State::vacant;
    return;
  }
  pollux_ring_reply reply =
      answer_hello(std::span(message).first(static_cast<std::size_t>(length)), options_.geometry);
  if (reply.result != POLLUX_RING_WELCOME) return refuse(client, reply.result, reply.sentence);
  reply.access = static_cast<std::uint32_t>(client.access);
  reply.input_bytes_max = options_.input_bytes_max;
  reply.service_pid = static_cast<std::uint32_t>(::getpid());
  open_channel(index, reply);
}

void Server::open_channel(std::uint32_t index, const pollux_ring_reply& granted) {
  Client& client = clients_[index];
  Descriptor region = make_region(granted.geometry.region_bytes);
  Descriptor doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (region.is_open()) client.region = Mapping::of(region.get(), granted.geometry.region_bytes);
  if (client.region.get() == nullptr || !doorbell.is_open() ||
      !watch(epoll_.get(), doorbell.get(), EPOLLIN | EPOLLET,
             event_key(Source::doorbell, index, client.generation))) {
    client.region.reset();
    return refuse(client, POLLUX_RING_REFUSED_RESOURCES,
                  "the service has no memory or descriptors left for another client");
  }
  client.channel =
      std::make_unique<Channel>(client.region.get(), granted.geometry, granted.features,
                                options_.input_bytes_max, granted.service_pid);
  const std::array<int, 2> descriptors{region.get(), doorbell.get()};
  if (!send_reply(client.socket.get(), granted, descriptors)) {
    client.channel.reset();
    client.region.reset();
    client.socket.reset();
    client.state = State::vacant;
    return;
  }
  client.doorbell = std::move(doorbell);
  client.state = State::open;
  ++counters_.clients_admitted;
}

void Server::refuse(Client& client, std::uint32_t result, const std::string& sentence) {
  ++counters_.clients_refused;
  refuse_and_close(std::move(client.socket), result, sentence);
  client.state = State::vacant;
}

void Server::expire_greetings() {
  std::uint64_t expirations = 0;
  static_cast<void>(::read(timer_.get(), &expirations, sizeof expirations));
  if (is_listener_paused_ &&
      watch(epoll_.get(), listener_.get(), EPOLLIN, event_key(Source::listener, 0, 0))) {
    is_listener_paused_ = false;
  }
  const auto now = std::chrono::steady_clock::now();
  for (Client& client : clients_) {
    if (client.state == State::greeting && now >= client.hello_deadline) {
      refuse(client, POLLUX_RING_REFUSED_TIMEOUT, "no hello came in time");
    }
  }
  const bool is_needed = is_listener_paused_ ||
                         std::any_of(clients_.begin(), clients_.end(), [](const Client& client) {
                           return client.state == State::greeting;
                         });
  if (is_needed) arm_timer();
}

void Server::arm_timer() noexcept {
  itimerspec after{};
  after.it_value.tv_nsec = kTimerNs;
  ::timerfd_settime(timer_.get(), 0, &after, nullptr);
}

}  // namespace pollux::ring
