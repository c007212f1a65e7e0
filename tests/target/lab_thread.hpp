// A Target on a thread of its own, pinned to a CPU, polling without rest: the far end of the
// in-process wire in pollux-lab and in the benchmarks.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "dataplane/base/counter.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/target/target.hpp"

namespace pollux::target {

struct LabThreadOptions {
  TargetOptions target;
  int cpu = -1;  ///< -1: not pinned
  /// Run on the thread before the first and after the last turn: for DPDK, registering the thread.
  std::function<void()> on_start;
  std::function<void()> on_stop;
};

/// Constructed, started and stopped by one thread. The target may be touched only before start()
/// and after stop() or pause().
class LabThread {
 public:
  LabThread(LabThreadOptions options, platform::Port& port, platform::PacketMemory& memory,
            platform::TscClock clock);
  /// Stops.
  ~LabThread();
  LabThread(const LabThread&) = delete;
  LabThread& operator=(const LabThread&) = delete;

  /// False when the thread cannot be pinned to the CPU.
  [[nodiscard]] bool start();
  /// Resets all connections, waits (bounded) until no frame points into a logical unit, and joins.
  void stop();
  /// Joins and leaves everything as it is: until start() the caller may turn the target itself.
  void pause();

  [[nodiscard]] Target& target() noexcept { return target_; }
  // Any thread. Cycles of turns with and without work; together the time since start().
  [[nodiscard]] std::uint64_t busy_cycles() const noexcept { return busy_cycles_.get(); }
  [[nodiscard]] std::uint64_t idle_cycles() const noexcept { return idle_cycles_.get(); }
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_.get(); }
  [[nodiscard]] std::uint64_t violations() const noexcept { return violations_.get(); }

 private:
  void run() noexcept;
  void wind_down() noexcept;

  LabThreadOptions options_;
  platform::TscClock clock_;
  Target target_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> pause_{false};
  Counter busy_cycles_;
  Counter idle_cycles_;
  Counter turns_;
  Counter violations_;
  std::thread thread_;
};

}  // namespace pollux::target
