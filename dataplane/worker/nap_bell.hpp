// How a worker's thread sleeps between two turns, and how others cut its sleep short. Who brings
// work pays a fence and a load while the worker is awake, and a system call only when it sleeps.
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/base/time.hpp"

namespace pollux::worker {

/// One sleeper, any number of ringers. The sleeper announces its nap, takes one more turn, and naps
/// only if that turn found nothing: what was brought before anybody could see the announcement is
/// found by the turn, who comes later rings.
class alignas(64) NapBell {
 public:
  /// Sleeper.
  void announce() noexcept {
    state_.store(kAnnounced, std::memory_order_relaxed);
    // Pairs with the fence in ring(): either the next turn sees the work, or its bringer sees this.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  /// Sleeper. Stays true until somebody rings or the sleeper withdraws.
  [[nodiscard]] bool is_announced() const noexcept {
    return state_.load(std::memory_order_relaxed) == kAnnounced;
  }
  /// Sleeper, when it has work after all.
  void withdraw() noexcept {
    if (is_announced()) state_.store(kAwake, std::memory_order_relaxed);
  }
  /// Sleeper, after announce() and a turn. Returns at once if somebody has rung meanwhile, else
  /// when somebody rings or `length` (under a second) is over. A system call.
  void nap(Duration length) noexcept;

  /// Any thread, after it has stored its work with release order or in a ring.
  void ring() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_relaxed) != kAwake) [[unlikely]]
      wake();
  }

 private:
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAnnounced = 1;

  void wake() noexcept;

  std::atomic<std::uint32_t> state_{kAwake};
  static_assert(sizeof(state_) == sizeof(std::uint32_t), "the kernel looks at it");
};

}  // namespace pollux::worker
