// Who used the CPUs while something was measured: this process, the target's, the kernel's softirq
// threads, and each CPU as a whole. On a wire inside one machine a sender's system call runs the
// receiver's softirq, so the cost of one side alone says little.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace pollux::bench {

/// The calling thread from now on runs before ordinary threads of its CPU; the kernel leaves those
/// 5 %. Quietly nothing where it is not allowed. On a busy machine a measurement without it shows
/// the scheduler's slices.
void run_before_others();

/// Thread: any. Reads /proc, so it belongs outside of what is timed.
class CpuBooks {
 public:
  static constexpr std::size_t kCpus = 2;

  /// `target`: the process of the target, 0 when it is not known.
  explicit CpuBooks(pid_t target);

  void start() { before_ = read(); }
  void stop() { after_ = read(); }

  /// CPU time of all threads of this process, softirqs that ran on top of them included; seconds.
  [[nodiscard]] double process_seconds() const;
  /// The fields of one JSON object without its braces: cpu0_busy, target_cpu_share and so on.
  [[nodiscard]] std::string json(double seconds, double ios) const;

 private:
  struct Cpu {
    std::uint64_t busy_ticks = 0;
    std::uint64_t softirq_ticks = 0;
    std::uint64_t all_ticks = 0;
  };
  struct Reading {
    std::array<Cpu, kCpus> cpus{};
    std::uint64_t process_ns = 0;
    std::uint64_t target_ns = 0;
    std::uint64_t softirq_threads_ns = 0;
  };

  [[nodiscard]] Reading read() const;
  [[nodiscard]] std::string cpu_json(std::size_t cpu) const;

  pid_t target_;
  std::vector<pid_t> softirq_threads_;
  Reading before_{};
  Reading after_{};
};

}  // namespace pollux::bench
