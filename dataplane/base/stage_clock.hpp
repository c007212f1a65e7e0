// Where a worker's cycles go. Reading the cycle counter at every edge would cost more than some
// stages do, so only one turn in kStride is measured; the others pay for a flag that is never set.
// A stage's share of what was measured, times all busy cycles, is its cost.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/counter.hpp"

namespace pollux {

/// What a worker does with its time. A copy that makes a digest on the way counts as digest.
enum class Stage : std::uint8_t {
  other,       ///< timers of the worker, messages of control, the turn itself
  receive,     ///< driver, Ethernet, IP
  tcp,         ///< segments in and out
  pdu,         ///< headers of PDUs from the target, and what they mean
  digest,      ///< CRC32C, with the copy where one pass does both
  copy,        ///< payload to and from the caller's memory
  scsi,        ///< submissions become tasks and request PDUs
  completion,  ///< results on their way to the caller
  transmit,    ///< frames handed to the driver, buffers taken back
  count_,
};

/// As reports and counters call them.
inline constexpr std::array<const char*, static_cast<std::size_t>(Stage::count_)> kStageNames = {
    "other", "receive", "tcp", "pdu", "digest", "copy", "scsi", "completion", "transmit"};

class StageClock {
 public:
  using Cycles = std::uint64_t (*)() noexcept;
  static constexpr std::size_t kStages = static_cast<std::size_t>(Stage::count_);

  /// Starts a turn at cycle count `now`. Without a counter (in simulation) nothing is ever
  /// measured.
  void begin_turn(Cycles cycles, std::uint64_t now) noexcept {
    if (--until_sample_ != 0) [[likely]]
      return;
    until_sample_ = kStride;
    if (cycles == nullptr) return;
    cycles_ = cycles;
    // Reading the counter takes time of its own, which is no stage's.
    if (edge_cost_ == 0) edge_cost_ = measure_edge();
    in_turn_ = {};
    stage_ = Stage::other;
    since_ = now;
    is_sampling_ = true;
  }

  /// Ends it. An idle turn is measured in vain.
  void end_turn(bool was_busy) noexcept {
    if (!is_sampling_) [[likely]]
      return;
    leave();
    is_sampling_ = false;
    if (!was_busy) return;
    for (std::size_t i = 0; i < kStages; ++i) cycles_of_[i].add(in_turn_[i]);
  }

  /// Returns the stage that was left, for whoever comes back to it.
  Stage enter(Stage stage) noexcept {
    if (!is_sampling_) [[likely]]
      return stage;
    leave();
    const Stage previous = stage_;
    stage_ = stage;
    return previous;
  }

  /// Cycles of `stage` in the busy turns that were measured. Any thread.
  [[nodiscard]] std::uint64_t sampled(Stage stage) const noexcept {
    return cycles_of_[static_cast<std::size_t>(stage)].get();
  }

 private:
  /// A prime, so that a load with a rhythm of its own is still met at every beat.
  static constexpr std::uint32_t kStride = 61;

  void leave() noexcept {
    const std::uint64_t now = cycles_();
    const std::uint64_t spent = now - since_;
    in_turn_[static_cast<std::size_t>(stage_)] += spent - std::min(spent, edge_cost_);
    since_ = now;
  }

  std::uint64_t measure_edge() const noexcept {
    constexpr int kTries = 16;
    std::uint64_t least = ~std::uint64_t{0};
    for (int i = 0; i < kTries; ++i) {
      const std::uint64_t before = cycles_();
      least = std::min(least, cycles_() - before);
    }
    return std::max<std::uint64_t>(least, 1);
  }

  bool is_sampling_ = false;
  Stage stage_ = Stage::other;
  std::uint32_t until_sample_ = kStride;
  std::uint64_t since_ = 0;
  std::uint64_t edge_cost_ = 0;
  Cycles cycles_ = nullptr;
  std::array<std::uint64_t, kStages> in_turn_{};
  std::array<Counter, kStages> cycles_of_;
};

/// A stage within another, for as long as the object lives.
class StageScope {
 public:
  StageScope(StageClock& clock, Stage stage) noexcept
      : clock_(clock), previous_(clock.enter(stage)) {}
  ~StageScope() { clock_.enter(previous_); }
  StageScope(const StageScope&) = delete;
  StageScope& operator=(const StageScope&) = delete;

 private:
  StageClock& clock_;
  Stage previous_;
};

}  // namespace pollux
