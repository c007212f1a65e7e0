// What many sessions cost: cycles of each command, memory of each connection, what the slowest of
// them gets, and what a second core adds. One measure a file; scale.cpp chooses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/rig.hpp"
#include "tests/bench/thread_time.hpp"

namespace pollux::bench {

struct ScaleOptions {
  bool is_short = false;       ///< a test's time instead of a measurement's
  std::uint32_t sessions = 0;  ///< most of scale_cycles, and of memory; 0: what the goal says
  int cpu = 0;
  int target_cpu = 1;
};

// Each prints JSON objects, one a line, and returns 0; 1 after a sentence on standard error.
int measure_scale_cycles(const ScaleOptions& options);
int measure_memory_per_connection(const ScaleOptions& options);
int measure_fairness(const ScaleOptions& options);
int measure_two_workers(const ScaleOptions& options);

int fail(const std::string& error);

/// Worker and target of a rig in turns on one thread: no other core takes part. The rig's target
/// thread is paused meanwhile. By the clock of the machine, so that both can go on in threads
/// afterwards without a jump in time that looks like a loss.
class Turns {
 public:
  explicit Turns(Rig& rig)
      : worker_(*rig.instance().units[0]->worker),
        target_(rig.target()->target()),
        clock_(*rig.instance().clock) {}

  struct Cycles {
    std::uint64_t ios = 0;
    std::uint64_t worker = 0;  ///< cycles in the worker's turns
    std::uint64_t calls = 0;   ///< in the queue's functions
    std::uint64_t all = 0;
  };

  /// Until `ios` more have completed.
  Cycles run(Load& load, std::uint64_t ios) {
    using platform::TscClock;
    Cycles cycles;
    const std::uint64_t begin = TscClock::cycles();
    while (cycles.ios < ios) {
      const Instant now = clock_.now();
      const std::uint64_t start = TscClock::cycles();
      worker_.poll_once(now);
      const std::uint64_t middle = TscClock::cycles();
      for (std::size_t reaped = 1; reaped != 0; cycles.ios += reaped) reaped = load.reap(true);
      cycles.calls += TscClock::cycles() - middle;
      cycles.worker += middle - start;
      for (int i = 0; i < kTargetTurns; ++i) target_.poll_once(now);
    }
    cycles.all = TscClock::cycles() - begin;
    return cycles;
  }

 private:
  /// Until what the worker sent is answered.
  static constexpr int kTargetTurns = 4;

  worker::Worker& worker_;
  target::Target& target_;
  platform::TscClock clock_;
};

}  // namespace pollux::bench
