// Access to memory that another process may change at any moment: every load happens exactly once,
// into a private copy, and only that copy is looked at.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "pollux/ring.h"

namespace pollux::ring {

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);

inline std::atomic_ref<std::uint64_t> atomic(pollux_ring_position& position) noexcept {
  return std::atomic_ref<std::uint64_t>(position.value);
}

inline std::atomic_ref<std::uint32_t> atomic(pollux_ring_flag& flag) noexcept {
  return std::atomic_ref<std::uint32_t>(flag.value);
}

/// Copies a fixed-size entry out word by word. A plain memcpy could be optimised into reading the
/// shared bytes again after they were checked.
template <typename T>
T copy_out(const std::byte* shared) noexcept {
  static_assert(sizeof(T) % sizeof(std::uint64_t) == 0);
  std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)> words;
  auto* source = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(shared));
  for (std::size_t index = 0; index < words.size(); ++index) {
    words[index] = std::atomic_ref(source[index]).load(std::memory_order_relaxed);
  }
  return std::bit_cast<T>(words);
}

}  // namespace pollux::ring
