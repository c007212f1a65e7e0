// What a polling thread does while it is watched: allocations, locks, copies, system calls, locked
// instructions. The first three replace the functions of the C library and of DPDK in the whole
// program, so a program has its own main reasons to link this: tests/unit/steady_state.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pollux::steady {

/// Of what the thread under watch has called since start_watch().
struct Calls {
  std::uint64_t allocations = 0;  ///< taken, grown or given back: malloc, mmap, rte_malloc, ...
  std::uint64_t locks = 0;        ///< pthread and semaphore functions
  const char* last_lock = "";     ///< the last of them
  /// Bytes that memcpy and memmove moved into or out of an area that watch_areas() has named.
  std::array<std::uint64_t, 2> area_bytes{};
  /// The same, only of calls that moved kLargeCopy bytes or more.
  std::array<std::uint64_t, 2> area_large_bytes{};
  /// Moved by calls of kLargeCopy bytes or more between places outside of all areas.
  std::uint64_t other_large_bytes = 0;
};

/// Headers, options and CDBs are shorter; a piece of payload hardly ever is.
inline constexpr std::size_t kLargeCopy = 512;

/// The calling thread from here on; one at a time.
void start_watch() noexcept;
Calls stop_watch() noexcept;

/// A copy counts for the first area that holds its source or its destination. Empty ones hold
/// nothing.
void watch_areas(std::span<const std::byte> first, std::span<const std::byte> second) noexcept;

// What the replaced functions call.
void note_allocation() noexcept;
void note_lock(const char* name) noexcept;
void note_copy(const void* to, const void* from, std::size_t bytes) noexcept;

// --- System calls

/// From here on this thread can return from signals and end; every other system call is caught,
/// counted while counting is on, and not made. Cannot be undone. False: the kernel has no filter.
[[nodiscard]] bool forbid_system_calls();
void count_system_calls(bool on) noexcept;

struct SystemCalls {
  std::uint64_t count = 0;
  int last = -1;  ///< its number
};
/// What was caught since the last time.
[[nodiscard]] SystemCalls take_system_calls() noexcept;

// --- Instructions

/// A place of the program where a processor takes a cache line for itself (is_locked()).
struct LockedPlace {
  std::string name;  ///< of the function, or of the stripped library that holds it
  std::uint64_t executed = 0;
};

struct Instructions {
  std::uint64_t executed = 0;
  std::uint64_t vector_bytes = 0;   ///< moved to memory the way copies in line do it
  std::vector<LockedPlace> locked;  ///< by name
};

/// The calling thread runs one instruction at a time until the end (some 10 microseconds each).
void start_stepping();
[[nodiscard]] Instructions stop_stepping();

}  // namespace pollux::steady
