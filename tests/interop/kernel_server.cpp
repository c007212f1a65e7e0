#include "tests/interop/kernel_server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace pollux::interop {
namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
// Of one connection before the others have their turn.
constexpr std::size_t kPiecesPerTurn = 16;

std::array<std::byte, kPieceBytes>& piece() {
  static std::array<std::byte, kPieceBytes> buffer;
  return buffer;
}

bool would_block() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

KernelServer::~KernelServer() {
  for (auto& [fd, session] : sessions_) ::close(fd);
  for (const int fd : {listener_, poll_})
    if (fd >= 0) ::close(fd);
}

bool KernelServer::listen(std::uint16_t port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  return ::bind(listener_, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == 0 &&
         ::listen(listener_, 1024) == 0 &&
         ::epoll_ctl(poll_, EPOLL_CTL_ADD, listener_, &event) == 0;
}

void KernelServer::run() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  const int signals = ::signalfd(-1, &ending, SFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = signals;
  ::epoll_ctl(poll_, EPOLL_CTL_ADD, signals, &event);
  for (bool ended = false; !ended;) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == signals) {
        ended = true;
      } else if (fd == listener_) {
        accept_all();
      } else if (const auto found = sessions_.find(fd); found != sessions_.end()) {
        progress(*found->second);
      }
    }
  }
  ::close(signals);
}

void KernelServer::accept_all() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    ++counts_.accepted;
    auto session = std::make_unique<Session>();
    session->fd = fd;
    watch(*session, EPOLLIN, true);
    sessions_.emplace(fd, std::move(session));
  }
}

void KernelServer::watch(Session& session, std::uint32_t events, bool added) {
  if (!added && session.interest == events) return;
  session.interest = events;
  epoll_event event{};
  event.events = events;
  event.data.fd = session.fd;
  ::epoll_ctl(poll_, added ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, session.fd, &event);
}

void KernelServer::progress(Session& session) {
  if (session.request_bytes != sizeof(Request) && !read_request(session)) return;
  for (std::size_t i = 0; i < kPiecesPerTurn; ++i) {
    const bool more =
        session.request.operation == Operation::sink ? sink(session) : source(session);
    if (!more) return;
  }
}

bool KernelServer::read_request(Session& session) {
  auto* at = reinterpret_cast<std::byte*>(&session.request);
  const ssize_t got =
      ::read(session.fd, at + session.request_bytes, sizeof(Request) - session.request_bytes);
  if (got <= 0) {
    if (got == 0 || !would_block()) lost(session);
    return false;
  }
  session.request_bytes += static_cast<std::size_t>(got);
  if (session.request_bytes != sizeof(Request)) return false;
  if (session.request.magic != Request::kMagic) {
    lost(session);
    return false;
  }
  session.pattern = Pattern(session.request.seed);
  session.first = session.last = Clock::now();
  const auto& name = session.request.congestion;
  if (name[0] != 0)
    ::setsockopt(session.fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(::strnlen(name.data(), name.size())));
  if (session.request.operation == Operation::source) watch(session, EPOLLIN | EPOLLOUT, false);
  return true;
}

/// Each of these moves one piece; true when there may be more to move at once.
bool KernelServer::sink(Session& session) {
  const ssize_t got = ::read(session.fd, piece().data(), piece().size());
  if (got < 0) {
    if (!would_block()) lost(session);
    return false;
  }
  if (got > 0) {
    const auto bytes = std::span(piece()).first(static_cast<std::size_t>(got));
    session.last = Clock::now();
    if (session.moved == 0) session.first = session.last;
    session.good = session.good && session.pattern.matches(bytes, session.moved);
    session.moved += bytes.size();
    counts_.bytes_received += bytes.size();
    if (session.request.ending != Ending::server_aborts || session.moved < session.request.bytes)
      return true;
    abort(session);
    return false;
  }
  // Without a limit of time the client has said how much there would be.
  const bool whole = session.request.ending == Ending::sender_first &&
                     (session.request.milliseconds != 0 || session.moved == session.request.bytes);
  if (!whole) {
    lost(session);
    return false;
  }
  const Verdict verdict{
      .bytes = session.moved,
      .nanoseconds = static_cast<std::uint64_t>((session.last - session.first).count()),
      .good = session.good};
  if (::write(session.fd, &verdict, sizeof(verdict)) == sizeof(verdict)) ++counts_.sunk;
  finish(session);
  return false;
}

bool KernelServer::source(Session& session) {
  const Request& request = session.request;
  if (!session.sent_all) {
    const bool late =
        request.milliseconds != 0 &&
        Clock::now() - session.first > std::chrono::milliseconds(request.milliseconds);
    const std::uint64_t left = late ? 0 : request.bytes - session.moved;
    if (left == 0) {
      session.sent_all = true;
      ::shutdown(session.fd, SHUT_WR);
      watch(session, EPOLLIN, false);
      return true;
    }
    const auto bytes = std::span(piece()).first(std::min<std::uint64_t>(left, kPieceBytes));
    session.pattern.fill(bytes, session.moved);
    const ssize_t sent = ::send(session.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (!would_block()) lost(session);
      return false;
    }
    session.moved += static_cast<std::uint64_t>(sent);
    counts_.bytes_sent += static_cast<std::uint64_t>(sent);
    return true;
  }
  std::byte nothing;
  const ssize_t got = ::read(session.fd, &nothing, 1);
  if (got < 0 && would_block()) return false;
  if (got == 0) {
    ++counts_.sourced;
    finish(session);
  } else {
    lost(session);
  }
  return false;
}

void KernelServer::finish(Session& session) {
  if (!session.good) ++counts_.wrong_bytes;
  const int fd = session.fd;
  ::close(fd);
  sessions_.erase(fd);
}

void KernelServer::abort(Session& session) {
  // A linger time of zero makes close() send a RST.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(session.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ++counts_.aborted_by_us;
  finish(session);
}

void KernelServer::lost(Session& session) {
  const bool announced = session.request_bytes == sizeof(Request) &&
                         session.request.ending == Ending::client_aborts && errno == ECONNRESET;
  ++(announced ? counts_.aborted_by_client : counts_.unexpected_ends);
  finish(session);
}

}  // namespace pollux::interop
