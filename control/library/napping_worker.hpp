// The thread of a worker that may sleep when it has nothing to do ([worker] idle_sleep_max_us), and
// what keeps workers awake that carry each other's frames.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "control/library/idle_backoff.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "dataplane/worker/nap_bell.hpp"
#include "dataplane/worker/worker.hpp"

namespace pollux::library {

/// Workers that hand frames over to each other in software: none of them naps while one has work.
class NapGroup {
 public:
  /// `hands_over`: whether a frame of one worker may need another; asked by any worker, cheap.
  explicit NapGroup(std::function<bool()> hands_over) : hands_over_(std::move(hands_over)) {}

  /// Before the workers' threads start.
  void add(worker::NapBell& bell) { bells_.push_back(&bell); }

  /// A worker that was at rest has work: the others wake.
  void enter(const worker::NapBell& own) noexcept;
  void leave() noexcept;
  /// A worker asks after it has announced its nap.
  [[nodiscard]] bool keeps_awake() const noexcept;

 private:
  std::function<bool()> hands_over_;
  std::vector<worker::NapBell*> bells_;
  std::atomic<std::uint32_t> active_{0};
};

class NappingWorker {
 public:
  /// Everything outlives it. `tsc_hz` is the speed of `clock`'s counter.
  NappingWorker(worker::Worker& worker, worker::NapBell& bell, NapGroup& group,
                const platform::TscClock& clock, std::uint64_t tsc_hz, const IdleOptions& options);

  /// Turns until the worker is told to stop. On the worker's thread, whose timer slack it changes.
  void run() noexcept;

 private:
  /// Rests as `action` says, and accounts for it.
  void rest(IdleAction action) noexcept;
  /// Zero: not now.
  Duration next_nap(Instant now) noexcept;
  void set_active(bool is_active) noexcept;

  worker::Worker& worker_;
  worker::NapBell& bell_;
  NapGroup& group_;
  const platform::TscClock& clock_;
  std::uint64_t pause_cycles_;
  IdleBackoff backoff_;
  bool is_active_ = false;
};

}  // namespace pollux::library
