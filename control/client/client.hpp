// A client's channel: submits commands, reaps completions, sleeps and wakes. The C functions of
// client.h are a thin layer over it. Allocates in the constructor only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "control/client/arena.hpp"
#include "control/client/connect.hpp"
#include "pollux/client.h"

namespace pollux::client {

class Client {
 public:
  Client(Connection connection, std::uint32_t spin_us);

  int submit(const pollux_client_command& command, std::uint64_t* tag) noexcept;
  int reap(pollux_client_completion* completions, std::uint32_t capacity) noexcept;
  int wait(std::uint32_t timeout_ms) noexcept;
  int cancel(std::uint64_t tag) noexcept;
  int call(const pollux_client_command& command, std::size_t* out_len) noexcept;
  int arm() noexcept;
  [[nodiscard]] int fd() const noexcept { return connection_.socket.get(); }
  [[nodiscard]] const pollux_ring_reply& channel() const noexcept { return connection_.reply; }

 private:
  using Clock = std::chrono::steady_clock;

  // Who a finished command is reported to.
  enum class Owner : std::uint8_t { nobody, reaper, caller };
  enum class State : std::uint8_t { vacant, in_flight, finished };

  struct Slot {
    State state = State::vacant;
    Owner owner = Owner::nobody;
    std::uint32_t sequence = 0;
    std::uint64_t extent_offset = 0;
    std::uint64_t extent_bytes = 0;
    std::uint64_t output_offset = 0;
    void* output = nullptr;
    std::uint32_t output_capacity = 0;
    pollux_client_completion completion{};
  };

  int submit_as(Owner owner, const pollux_client_command& command, std::uint64_t argument,
                std::uint32_t* slot_index) noexcept;
  void publish(const pollux_ring_command& command) noexcept;
  void drain() noexcept;
  void finish(const pollux_ring_completion& completion) noexcept;
  void vacate(std::uint32_t slot_index) noexcept;
  void knock_if_asked() noexcept;
  void settle_caller_timeout(std::uint32_t slot_index) noexcept;
  [[nodiscard]] int caller_result(std::uint32_t slot_index, std::size_t* out_len) noexcept;
  [[nodiscard]] std::uint64_t tag_of(std::uint32_t slot_index) const noexcept;
  [[nodiscard]] Slot* find(std::uint64_t tag, std::uint32_t* slot_index) noexcept;
  [[nodiscard]] pollux_ring_header& header() const noexcept;

  template <typename Done>
  bool wait_until(Clock::time_point deadline, Done done) noexcept;
  void sleep(Clock::time_point deadline) noexcept;
  void look_at_socket() noexcept;
  void set_asleep(bool is_asleep) noexcept;

  Connection connection_;
  const std::chrono::microseconds spin_;
  Arena arena_;
  bool is_service_gone_ = false;
  std::uint32_t idle_reaps_ = 0;
  std::uint64_t submit_tail_ = 0;
  std::uint64_t complete_head_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> vacant_;
  std::vector<std::uint32_t> finished_;  // a ring of slot indices, in order of completion
  std::size_t finished_first_ = 0;
  std::size_t finished_count_ = 0;
};

}  // namespace pollux::client
