// One client's shared memory as the service sees it: takes commands out, puts completions in, and
// trusts nothing it reads there. Knows no sockets and no operations, so a fuzzer can drive it over
// plain memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pollux/ring.h"

namespace pollux::ring {

/// A command in flight: which slot of the service's table it has, and which use of that slot it is.
struct Ticket {
  std::uint32_t slot = 0;
  std::uint32_t sequence = 0;
};

/// A command taken out of the ring, in private memory.
struct TakenCommand {
  Ticket ticket;
  pollux_ring_command entry{};
  /// POLLUX_RING_OK when it is well-formed; else what to complete it with.
  std::uint32_t verdict = POLLUX_RING_OK;
  /// The copied input. Stays until the ticket is completed.
  std::span<const std::byte> input;
};

enum class Take {
  command,  ///< one was taken
  empty,    ///< there is none
  paused,   ///< there is no completion slot to be sure of: the client has to reap first
  broken,   ///< the positions cannot be right: close the channel
};

/// Thread: the service's. The region outlives the channel.
class Channel {
 public:
  /// `region` has geometry.region_bytes bytes, zeroed; the header is written here.
  Channel(std::byte* region, const pollux_ring_geometry& geometry, std::uint64_t features,
          std::uint32_t input_bytes_max, std::uint32_t service_pid);

  [[nodiscard]] Take take(TakenCommand& taken);

  /// Ends a command: copies output into its area and publishes the completion. An output that does
  /// not fit becomes OUTPUT_TOO_SMALL. False when the ticket is not in flight (any more).
  bool complete(Ticket ticket, std::uint32_t status, std::span<const std::byte> output,
                std::uint64_t needed) noexcept;

  /// The same without touching shared memory: the client is gone.
  bool discard(Ticket ticket) noexcept;

  /// True when the client sleeps and is to be rung; asked after completing, true once per sleep.
  [[nodiscard]] bool take_ring_request() noexcept;

  /// Sets or clears service_needs_wakeup.
  void set_needs_wakeup(bool needs) noexcept;
  /// Whether take() would yield something other than empty or paused. Reads positions only.
  [[nodiscard]] bool has_work() const noexcept;

  [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] std::uint64_t input_bytes_in_flight() const noexcept { return input_bytes_; }
  [[nodiscard]] std::uint64_t features() const noexcept { return features_; }
  [[nodiscard]] bool is_in_flight(Ticket ticket) const noexcept { return find(ticket) != nullptr; }

  /// Calls `visit(Ticket, tag)` for each command in flight. `visit` may complete commands.
  template <typename Visit>
  void for_each_in_flight(Visit visit) {
    for (std::uint32_t slot = 0; slot < pending_.size(); ++slot) {
      if (pending_[slot].is_used) visit(Ticket{slot, pending_[slot].sequence}, pending_[slot].tag);
    }
  }

 private:
  struct Pending {
    std::uint64_t tag = 0;
    std::uint64_t output_offset = 0;
    std::uint32_t output_bytes = 0;
    std::uint32_t sequence = 0;
    bool is_used = false;
    std::vector<std::byte> input;
  };

  [[nodiscard]] std::uint32_t verdict_on(const pollux_ring_command& entry) const noexcept;
  [[nodiscard]] bool is_extent(std::uint64_t offset, std::uint32_t bytes) const noexcept;
  [[nodiscard]] Pending* find(Ticket ticket) noexcept;
  [[nodiscard]] const Pending* find(Ticket ticket) const noexcept;
  void release(Ticket ticket, Pending& pending) noexcept;
  void publish(const pollux_ring_completion& completion) noexcept;
  [[nodiscard]] pollux_ring_header& header() const noexcept;

  std::byte* region_;
  const pollux_ring_geometry
      geometry_;  // private: the copy in the region is the client's to overwrite
  const std::uint64_t features_;
  const std::uint32_t input_bytes_max_;

  std::uint64_t submit_head_ = 0;
  std::uint64_t complete_tail_ = 0;
  std::uint64_t complete_head_seen_ = 0;
  std::uint64_t input_bytes_ = 0;
  std::uint32_t in_flight_ = 0;

  std::vector<Pending> pending_;
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace pollux::ring
