// The pair of rings between control and one worker, and the doorbell to a sleeping control thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/spsc_ring.hpp"
#include "dataplane/iscsi/mailbox.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/worker/nap_bell.hpp"

namespace pollux::worker {

/// Ports of one worker that control can be told about.
inline constexpr std::size_t kPortsMost = 16;

/// State of a port and how often it has changed, in one word that is stored and read at once.
[[nodiscard]] constexpr std::uint32_t port_word(platform::PortState state,
                                                std::uint32_t changes) noexcept {
  return changes << 8 | static_cast<std::uint32_t>(state);
}
[[nodiscard]] constexpr platform::PortState port_state(std::uint32_t word) noexcept {
  return static_cast<platform::PortState>(word & 0xff);
}
[[nodiscard]] constexpr std::uint32_t port_changes(std::uint32_t word) noexcept {
  return word >> 8;
}

/// Created by control before the worker starts, destroyed after it has stopped.
struct Link {
  /// Control keeps what finds no room and sends it later, so that this need not grow with the
  /// connections.
  static constexpr std::size_t kMessagesToWorkerMost = 2048;

  explicit Link(std::size_t connections)
      : to_worker(std::min(std::bit_ceil(8 * connections + 64), kMessagesToWorkerMost)),
        to_control(std::bit_ceil(8 * connections + 64)) {}

  SpscRing<iscsi::ToWorker> to_worker;
  /// Never full: credits and one-message-per-state bound what a connection can have in it.
  SpscRing<iscsi::ToControl> to_control;

  /// Set by control before it sleeps and checks the rings once more; the worker that finds it set
  /// after pushing clears it and writes `doorbell_fd`, at most once a turn and at the end of the
  /// turn.
  std::atomic<bool> control_sleeps{false};
  /// port_word() of each port, written by the worker. The latest state is all there is: a link that
  /// flaps fills no queue.
  std::array<std::atomic<std::uint32_t>, kPortsMost> ports{};
  /// address_word() of each port (worker/address_report.hpp), in the same way.
  std::array<std::atomic<std::uint32_t>, kPortsMost> addresses{};
  /// Rung after a push to `to_worker`: the worker may sleep.
  NapBell nap_bell;
  int doorbell_fd = -1;  ///< eventfd of the control thread; -1 in simulation
};

}  // namespace pollux::worker
