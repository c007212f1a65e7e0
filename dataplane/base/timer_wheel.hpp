// Hierarchical timer wheel: arming and cancelling cost a few instructions whatever the number of
// timers. Three levels of 256 slots with a tick of 2^17 ns (131 us) reach 36 minutes; later
// deadlines wait in the last slot and are filed again. A timer never fires early; it fires at most
// one tick late. Owners that move a deadline often keep it in a field of their own and let the node
// fire early (lazy re-arm): see tcp/timers.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.hpp"

namespace pollux {

/// Embedded in its owner, which outlives its being armed. One thread.
struct TimerNode {
  TimerNode* next = nullptr;
  TimerNode* previous = nullptr;
  Instant deadline = kNever;
  std::uint32_t owner_kind = 0;   ///< free for the owner: which of its timers this is
  std::uint32_t owner_index = 0;  ///< free for the owner: slot of the owning object

  [[nodiscard]] bool armed() const noexcept { return next != nullptr; }
};

class TimerWheel {
 public:
  explicit TimerWheel(Instant start) noexcept;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Arms or re-arms. A deadline in the past fires at the next expire().
  void arm(TimerNode& node, Instant deadline) noexcept;
  void cancel(TimerNode& node) noexcept;

  /// Takes every node due at `now` off the wheel and hands it to `fire(TimerNode&)`, which may arm
  /// and cancel any node. At most `limit` nodes; the rest fire at the next call.
  template <class Fire>
  std::size_t expire(Instant now, std::size_t limit, Fire&& fire) noexcept {
    advance(now);
    std::size_t fired = 0;
    while (fired < limit && due_.next != &due_) {
      TimerNode& node = *due_.next;
      unlink(node);
      ++fired;
      fire(node);
    }
    return fired;
  }

  [[nodiscard]] std::size_t armed_count() const noexcept { return armed_; }

  /// Earliest deadline of all, kNever when none. Walks the wheel: for simulation and idle
  /// decisions.
  [[nodiscard]] Instant next_deadline() const noexcept;

 private:
  static constexpr unsigned kTickShift = 17;
  static constexpr unsigned kLevelBits = 8;
  static constexpr std::size_t kSlots = std::size_t{1} << kLevelBits;
  static constexpr std::size_t kLevels = 3;
  /// From here on visiting every slot once is less work than visiting every tick.
  static constexpr std::uint64_t kJumpTicks = kSlots * kLevels;

  static void link_before(TimerNode& head, TimerNode& node) noexcept;
  void unlink(TimerNode& node) noexcept;
  void file(TimerNode& node) noexcept;
  void advance(Instant now) noexcept;
  void cascade(std::size_t level) noexcept;
  void jump(std::uint64_t target) noexcept;

  std::array<std::array<TimerNode, kSlots>, kLevels> heads_;
  TimerNode due_;
  std::uint64_t tick_;  // every tick before this one has been moved to due_
  std::size_t armed_ = 0;
};

}  // namespace pollux
