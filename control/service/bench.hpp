// One benchmark run: a thread with its own queue, on the public API alone. Figures so far may be
// read while it runs. The figures are final when the time is over, the run was stopped or the
// session went; the thread itself ends when its last command has completed, which a hung target can
// delay.
#pragma once

#include <pollux/operations.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "control/service/latency_histogram.hpp"
#include "control/service/queue_source.hpp"

namespace pollux::service {

inline constexpr std::uint32_t kBenchIoSizeMax = 4u << 20;
inline constexpr std::uint32_t kBenchDepthMax = 1024;
/// Buffers of one run. A client must not be able to fill the service's memory.
inline constexpr std::uint64_t kBenchMemoryMax = 256u << 20;
inline constexpr std::uint32_t kBenchSecondsMax = 86400;

struct BenchSetup {
  pollux_bench_in in{};  ///< validate_bench() said yes; BlockCount is not 0
  std::uint32_t worker = 0;
  std::uint32_t block_bytes = 512;
};

/// Empty when the request can be run on a unit of `unit_blocks`; fills in BlockCount 0. Else a
/// sentence.
[[nodiscard]] std::string validate_bench(pollux_bench_in& in, std::uint64_t unit_blocks,
                                         std::uint32_t block_bytes);

class Bench {
 public:
  /// `wake` is called on the run's thread when the figures have become final.
  Bench(const BenchSetup& setup, QueueSource& source, std::function<void()> wake);
  /// Stops the run and waits for its commands.
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Any thread. The figures become final soon.
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  /// Any thread. Finished is 1 once they are final.
  [[nodiscard]] pollux_bench_out figures() const;
  /// Why the run ended early; empty when it did not.
  [[nodiscard]] std::string sentence() const;
  /// The thread is gone, so that destroying this does not wait.
  [[nodiscard]] bool has_ended() const noexcept { return ended_.load(std::memory_order_acquire); }

 private:
  class Runner;
  void run();
  void publish(const LatencyHistogram& latencies, std::uint64_t errors, std::uint64_t bytes,
               std::uint64_t runtime_ns, bool is_final);
  void fail(std::uint32_t status, std::string sentence);

  BenchSetup setup_;
  QueueSource& source_;
  std::function<void()> wake_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  mutable std::mutex mutex_;
  pollux_bench_out figures_{};  // under mutex_
  std::string sentence_;        // under mutex_
  pollux_worker_stats before_{};
  std::thread thread_;
};

}  // namespace pollux::service
