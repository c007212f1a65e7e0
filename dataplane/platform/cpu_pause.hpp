// Rest without a system call: the pauses of the processor, for a thread that polls and has little
// to do.
#pragma once

#include <cstdint>

namespace pollux::platform {

/// Whether the processor can rest until a time stamp (WAITPKG's TPAUSE), saving power and leaving
/// its sibling thread the core; else pause_until() only slows the polling down.
[[nodiscard]] bool has_timed_pause() noexcept;

/// Returns when the time stamp counter has reached `cycles`, or earlier. For some microseconds.
void pause_until(std::uint64_t cycles) noexcept;

}  // namespace pollux::platform
