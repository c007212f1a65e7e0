// The kernel as the other side, or as the contender, of transfers over a real wire.
//   kernel_peer serve --port N                until SIGTERM, then counts as JSON
//   kernel_peer send|receive --to A.B.C.D --port N (--bytes N | --milliseconds N) [--congestion
//   NAME]
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/interop/arguments.hpp"
#include "tests/interop/kernel_server.hpp"
#include "tests/interop/transfer.hpp"

namespace {

using namespace pollux::interop;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr timeval kPatience{.tv_sec = 30, .tv_usec = 0};

int serve(const Arguments& arguments) {
  KernelServer server;
  if (!server.listen(static_cast<std::uint16_t>(arguments.number("port", 5001)))) {
    fmt::print(stderr, "the port cannot be listened to\n");
    return 1;
  }
  fmt::print(stderr, "kernel_peer: ready\n");
  server.run();
  const ServerCounts& counts = server.counts();
  fmt::print(
      R"({{"accepted": {}, "sunk": {}, "sourced": {}, "aborted_by_server": {}, "aborted_by_client": {}, )"
      R"("bytes_received": {}, "bytes_sent": {}, "wrong_bytes": {}, "unexpected_ends": {}}})"
      "\n",
      counts.accepted, counts.sunk, counts.sourced, counts.aborted_by_us, counts.aborted_by_client,
      counts.bytes_received, counts.bytes_sent, counts.wrong_bytes, counts.unexpected_ends);
  return counts.wrong_bytes == 0 && counts.unexpected_ends == 0 ? 0 : 1;
}

class Client {
 public:
  explicit Client(const Arguments& arguments) {
    request_.operation = arguments.verb() == "send" ? Operation::sink : Operation::source;
    request_.milliseconds = static_cast<std::uint32_t>(arguments.number("milliseconds", 0));
    request_.bytes = arguments.number("bytes", UINT64_MAX);
    request_.seed = arguments.number("seed", 1);
    const std::string congestion = arguments.text("congestion", "");
    std::copy_n(congestion.begin(), std::min(congestion.size(), request_.congestion.size() - 1),
                request_.congestion.begin());
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!congestion.empty())
      ::setsockopt(fd_, IPPROTO_TCP, TCP_CONGESTION, congestion.c_str(),
                   static_cast<socklen_t>(congestion.size()));
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
      ::setsockopt(fd_, SOL_SOCKET, option, &kPatience, sizeof(kPatience));
    to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<std::uint16_t>(arguments.number("port", 5001)));
    ::inet_pton(AF_INET, arguments.text("to", "").c_str(), &to_.sin_addr);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool run() {
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to_), sizeof(to_)) != 0 ||
        ::send(fd_, &request_, sizeof(request_), MSG_NOSIGNAL) != sizeof(request_))
      return false;
    return request_.operation == Operation::sink ? send_all() : receive_all();
  }

  void print() const {
    std::array<char, 16> congestion{};
    socklen_t size = congestion.size();
    ::getsockopt(fd_, IPPROTO_TCP, TCP_CONGESTION, congestion.data(), &size);
    tcp_info info{};
    size = sizeof(info);
    ::getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size);
    const double seconds = static_cast<double>(verdict_.nanoseconds) / 1e9;
    fmt::print(
        R"({{"bytes": {}, "seconds": {:.3f}, "mbit": {:.2f}, "congestion": "{}", "retransmitted": {}}})"
        "\n",
        verdict_.bytes, seconds,
        seconds > 0 ? static_cast<double>(verdict_.bytes) * 8 / seconds / 1e6 : 0,
        congestion.data(), info.tcpi_total_retrans);
  }

 private:
  bool send_all() {
    const Pattern pattern(request_.seed);
    std::vector<std::byte> piece(kPieceBytes);
    const auto start = Clock::now();
    for (std::uint64_t sent = 0; sent < request_.bytes;) {
      if (request_.milliseconds != 0 &&
          Clock::now() - start > std::chrono::milliseconds(request_.milliseconds))
        break;
      const auto bytes =
          std::span(piece).first(std::min<std::uint64_t>(request_.bytes - sent, kPieceBytes));
      pattern.fill(bytes, sent);
      const ssize_t got = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (got <= 0) return false;
      sent += static_cast<std::uint64_t>(got);
    }
    ::shutdown(fd_, SHUT_WR);
    return ::recv(fd_, &verdict_, sizeof(verdict_), MSG_WAITALL) == sizeof(verdict_) &&
           verdict_.good == 1;
  }

  bool receive_all() {
    const Pattern pattern(request_.seed);
    std::vector<std::byte> piece(kPieceBytes);
    Clock::time_point first{};
    Clock::time_point last{};
    for (;;) {
      const ssize_t got = ::recv(fd_, piece.data(), piece.size(), 0);
      if (got < 0) return false;
      if (got == 0) break;
      last = Clock::now();
      if (verdict_.bytes == 0) first = last;
      if (!pattern.matches(std::span(piece).first(static_cast<std::size_t>(got)), verdict_.bytes))
        return false;
      verdict_.bytes += static_cast<std::uint64_t>(got);
    }
    verdict_.nanoseconds = static_cast<std::uint64_t>((last - first).count());
    return request_.milliseconds != 0 || verdict_.bytes == request_.bytes;
  }

  int fd_ = -1;
  sockaddr_in to_{};
  Request request_;
  Verdict verdict_;
};

}  // namespace

int main(int count, char** values) {
  const Arguments arguments(count, values);
  if (arguments.verb() == "serve") return serve(arguments);
  if (arguments.verb() != "send" && arguments.verb() != "receive") {
    fmt::print(stderr, "kernel_peer serve|send|receive; the source says which options\n");
    return 2;
  }
  Client client(arguments);
  if (!client.run()) {
    std::perror("kernel_peer: the transfer failed");
    return 1;
  }
  client.print();
  return 0;
}
