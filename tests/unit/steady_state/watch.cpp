// The flag of the thread under watch, and its counts.
#include "tests/unit/steady_state/watch.hpp"

namespace pollux::steady {
namespace {

struct Areas {
  std::array<const std::byte*, 2> begin{};
  std::array<const std::byte*, 2> end{};
};

// The others' calls pass by: the control thread allocates, the target's thread copies.
thread_local bool is_watched = false;
Calls calls;
Areas areas;

bool holds(std::size_t area, const void* at) noexcept {
  const auto* byte = static_cast<const std::byte*>(at);
  return byte >= areas.begin[area] && byte < areas.end[area];
}

}  // namespace

void start_watch() noexcept {
  calls = {};
  is_watched = true;
}

Calls stop_watch() noexcept {
  is_watched = false;
  return calls;
}

void watch_areas(std::span<const std::byte> first, std::span<const std::byte> second) noexcept {
  areas.begin = {first.data(), second.data()};
  areas.end = {first.data() + first.size(), second.data() + second.size()};
}

void note_allocation() noexcept {
  if (is_watched) ++calls.allocations;
}

void note_lock(const char* name) noexcept {
  if (!is_watched) return;
  ++calls.locks;
  calls.last_lock = name;
}

void note_copy(const void* to, const void* from, std::size_t bytes) noexcept {
  if (!is_watched) return;
  const bool is_large = bytes >= kLargeCopy;
  for (std::size_t area = 0; area < calls.area_bytes.size(); ++area) {
    if (!holds(area, to) && !holds(area, from)) continue;
    calls.area_bytes[area] += bytes;
    if (is_large) calls.area_large_bytes[area] += bytes;
    return;
  }
  if (is_large) calls.other_large_bytes += bytes;
}

}  // namespace pollux::steady
