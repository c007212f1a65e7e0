// A service for the ring's tests: a thread that answers test operations and behaves like a control
// thread (turns, a short spin, sleep). Everything it has seen can be asked from the test's thread.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/ring/server.hpp"
#include "pollux/client.h"

namespace pollux::ring::testing {

inline constexpr std::uint32_t kEcho = 2000;      // output = input
inline constexpr std::uint32_t kHold = 2001;      // stays until cancelled or released
inline constexpr std::uint32_t kDeadline = 2002;  // output = the deadline, four bytes
inline constexpr std::uint32_t kSum = 2003;   // output = sum of the input bytes; 8 bytes at least
inline constexpr std::uint32_t kLook = 2004;  // echo that monitors may ask for
inline constexpr Operation kOperations[] = {{kEcho, "ECHO", Access::manage, 0, 0},
                                            {kHold, "HOLD", Access::manage, 0, 0},
                                            {kDeadline, "DEADLINE", Access::manage, 0, 4},
                                            {kSum, "SUM", Access::manage, 8, 8},
                                            {kLook, "LOOK", Access::monitor, 0, 0}};

class EchoService final : private Handler {
 public:
  explicit EchoService(const ServerOptions& options) {
    auto listening = Server::listen(options);
    if (!listening) {
      ADD_FAILURE() << listening.error().message;
      return;
    }
    server_ = std::move(*listening);
    thread_ = std::thread([this] { run(); });
  }
  ~EchoService() {
    if (!thread_.joinable()) return;
    is_stopping_ = true;
    thread_.join();
  }

  /// A snapshot taken by the service's thread after the call was made.
  struct Seen {
    ServerCounters counters;
    std::uint32_t clients = 0;
    std::size_t held = 0;
    std::uint64_t cancels = 0;
    std::uint64_t gone = 0;
  };
  Seen seen() {
    const std::uint64_t wanted = turn_ + 2;
    while (turn_ < wanted) std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  /// Commands of clients that are gone end only when this is on (the default).
  void end_held_when_gone(bool ends) { ends_held_when_gone_ = ends; }

 private:
  void run() {
    auto last_work = std::chrono::steady_clock::now();
    while (!is_stopping_) {
      const bool did_work = server_->poll(*this);
      const auto now = std::chrono::steady_clock::now();
      if (did_work) last_work = now;
      snapshot();
      if (did_work || now - last_work < std::chrono::microseconds(50)) continue;
      if (!server_->prepare_sleep()) continue;
      pollfd readable{.fd = server_->wait_fd(), .events = POLLIN, .revents = 0};
      ::poll(&readable, 1, 20);
      server_->finish_sleep();
      end_orphans();
    }
  }
  void snapshot() {
    const std::lock_guard lock(mutex_);
    seen_ = {server_->counters(), server_->client_count(), held_.size(), cancels_, gone_};
    ++turn_;
  }
  void on_command(const Request& request) override {
    switch (request.opcode) {
      case kHold:
        held_.push_back(request.id);
        return;
      case kDeadline:
        server_->complete(request.id, POLLUX_RING_OK,
                          std::as_bytes(std::span(&request.deadline_ms, 1)));
        return;
      case kSum: {
        std::uint64_t sum = 0;
        for (const std::byte byte : request.input) sum += std::to_integer<std::uint64_t>(byte);
        server_->complete(request.id, POLLUX_RING_OK, std::as_bytes(std::span(&sum, 1)));
        return;
      }
      default:
        server_->complete(request.id, POLLUX_RING_OK, request.input);
    }
  }
  void on_cancel(RequestId request) override {
    ++cancels_;
    server_->complete(request, POLLUX_RING_CANCELLED);
    std::erase_if(held_, [&](const RequestId& held) {
      return held.client == request.client && held.ticket.slot == request.ticket.slot;
    });
  }
  void on_client_gone(ClientId client) override {
    ++gone_;
    gone_clients_.push_back(client);
    end_orphans();
  }
  void end_orphans() {
    if (!ends_held_when_gone_) return;
    for (const ClientId client : gone_clients_) {
      std::erase_if(held_, [&](const RequestId& held) {
        if (!(held.client == client)) return false;
        server_->complete(held, POLLUX_RING_FAILED);
        return true;
      });
    }
    gone_clients_.clear();
  }

  std::unique_ptr<Server> server_;
  std::vector<RequestId> held_;
  std::vector<ClientId> gone_clients_;
  std::uint64_t cancels_ = 0;
  std::uint64_t gone_ = 0;
  std::atomic<bool> ends_held_when_gone_{true};
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::uint64_t> turn_{0};
  std::mutex mutex_;
  Seen seen_;
  std::thread thread_;
};

/// A directory of the test's own with a service in it.
class RingTest : public ::testing::Test {
 protected:
  RingTest() {
    char pattern[] = "/tmp/pollux-ring-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    options_.socket_path = directory_ + "/ring.sock";
    options_.operations = kOperations;
    options_.hello_timeout = std::chrono::milliseconds(200);
  }
  ~RingTest() override {
    service_.reset();
    std::filesystem::remove_all(directory_);
  }
  void start() { service_ = std::make_unique<EchoService>(options_); }

  pollux_client* open(std::uint32_t slots = 0, std::uint64_t arena_bytes = 0) {
    pollux_client_options options;
    pollux_client_options_init(&options);
    options.socket_path = options_.socket_path.c_str();
    options.command_slots = slots;
    options.completion_slots = slots;
    options.arena_bytes = arena_bytes;
    pollux_client* client = nullptr;
    char reason[256];
    EXPECT_EQ(pollux_client_open(&options, &client, reason, sizeof reason), 0) << reason;
    return client;
  }
  /// Waits, for two seconds at most, until `holds` does.
  template <typename Holds>
  bool eventually(Holds holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  std::string directory_;
  ServerOptions options_;
  std::unique_ptr<EchoService> service_;
};

/// An echo of `bytes` bytes that must come back whole.
inline bool echoes(pollux_client* client, std::size_t bytes, unsigned seed) {
  std::vector<unsigned char> in(bytes);
  std::vector<unsigned char> out(bytes);
  for (std::size_t index = 0; index < bytes; ++index) {
    in[index] = static_cast<unsigned char>(index * 31 + seed);
  }
  std::size_t length = 0;
  const int result =
      pollux_client_call(client, kEcho, in.data(), bytes, out.data(), bytes, &length, 5000);
  EXPECT_EQ(result, 0) << pollux_strerror(result);
  return result == 0 && length == bytes && in == out;
}

}  // namespace pollux::ring::testing
