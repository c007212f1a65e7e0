// The kernel's side of the transfers of transfer.hpp: one thread, many connections, ordinary
// sockets. Checks every byte it receives.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>

#include "tests/interop/transfer.hpp"

namespace pollux::interop {

struct ServerCounts {
  std::uint64_t accepted = 0;
  std::uint64_t sunk = 0;     ///< transfers received whole and answered
  std::uint64_t sourced = 0;  ///< transfers sent whole, FIN of the client seen
  std::uint64_t aborted_by_us = 0;
  std::uint64_t aborted_by_client = 0;  ///< as the request had announced
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t wrong_bytes = 0;      ///< transfers with at least one
  std::uint64_t unexpected_ends = 0;  ///< resets, or FIN too early
};

class KernelServer {
 public:
  KernelServer() = default;
  ~KernelServer();
  KernelServer(const KernelServer&) = delete;
  KernelServer& operator=(const KernelServer&) = delete;

  /// On every address of the calling thread's namespace.
  bool listen(std::uint16_t port);
  /// Until SIGTERM or SIGINT, which are blocked from then on.
  void run();
  [[nodiscard]] const ServerCounts& counts() const { return counts_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Session {
    int fd = -1;
    std::size_t request_bytes = 0;
    Request request;
    Pattern pattern;
    std::uint64_t moved = 0;
    bool good = true;
    bool sent_all = false;
    Clock::time_point first{};
    Clock::time_point last{};
    std::uint32_t interest = 0;  ///< of epoll
  };

  void accept_all();
  void progress(Session& session);
  bool read_request(Session& session);
  bool sink(Session& session);
  bool source(Session& session);
  void watch(Session& session, std::uint32_t events, bool added);
  void finish(Session& session);
  void abort(Session& session);
  void lost(Session& session);

  int listener_ = -1;
  int poll_ = -1;
  std::map<int, std::unique_ptr<Session>> sessions_;
  ServerCounts counts_;
};

}  // namespace pollux::interop
