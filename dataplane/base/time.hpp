// Protocol time. Nothing in the data plane reads a clock: an Instant is an argument, taken once per
// turn by whoever drives the worker (a TSC clock in production, a manual clock in tests).
#pragma once

#include <chrono>
#include <cstdint>

namespace pollux {

/// Tag only: it has no now(), so no code can ask for the time by accident.
struct ProtocolClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ProtocolClock>;
  static constexpr bool is_steady = true;
};

using Duration = std::chrono::nanoseconds;
using Instant = ProtocolClock::time_point;

/// Later than every deadline that can be reached.
inline constexpr Instant kNever = Instant::max();

using namespace std::chrono_literals;

}  // namespace pollux
