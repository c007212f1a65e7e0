// The production clock: protocol time from the time stamp counter by one multiplication and a
// shift. Only whoever drives a worker owns one; nothing else in the data plane reads time.
#pragma once

#include <cpuid.h>
#include <x86intrin.h>

#include <cstdint>

#include "dataplane/base/assert.hpp"
#include "dataplane/base/time.hpp"

namespace pollux::platform {

/// True when the counter runs at one speed in every power state (CPUID 8000_0007h EDX bit 8).
/// Without that a worker's timers drift: say so at start-up.
[[nodiscard]] inline bool tsc_is_invariant() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x8000'0007U, &a, &b, &c, &d) != 0 && (d & 1U << 8) != 0;
}

/// Instants count from construction. Copies agree with each other, so one clock made at start-up
/// and given to every worker makes their times comparable.
class TscClock {
 public:
  /// `hz` is the counter's speed: tsc_hz() of dpdk_runtime.hpp.
  explicit TscClock(std::uint64_t hz) noexcept
      : start_(cycles()), multiplier_(((kNanosecondsPerSecond << kShift) + hz / 2) / hz) {
    // Keeps both the multiplier and its product with 64 bits of cycles in range.
    POLLUX_ASSERT(hz >= 1'000'000);
  }

  /// Raw cycles, for stage accounting.
  [[nodiscard]] static std::uint64_t cycles() noexcept { return __rdtsc(); }

  [[nodiscard]] Instant now() const noexcept { return at(cycles()); }

  /// The instant of a cycle count taken earlier, so that a turn reads the counter once.
  [[nodiscard]] Instant at(std::uint64_t cycles) const noexcept {
    __extension__ using Wide = unsigned __int128;
    const auto nanoseconds = static_cast<Wide>(cycles - start_) * multiplier_ >> kShift;
    return Instant{Duration{static_cast<std::int64_t>(nanoseconds)}};
  }

 private:
  static constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;
  // 1e9 << 32 fits 64 bits; the rounding error of the multiplier is under 1e-9 at any real speed.
  static constexpr unsigned kShift = 32;
  std::uint64_t start_;
  std::uint64_t multiplier_;
};

}  // namespace pollux::platform
