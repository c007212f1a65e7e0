// First-in first-out ring over memory that belongs to somebody else: the queues of all connections
// are cut from one allocation, which stays untouched (and so costs no memory) until a queue is
// used.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/base/assert.hpp"

namespace pollux::tcp {

template <class T>
requires std::is_trivial_v<T>
struct SlabRing {
  T* items = nullptr;
  std::uint32_t mask = 0;  ///< capacity - 1; capacity is a power of two
  std::uint32_t head = 0;  ///< free-running, as tail: size is tail - head
  std::uint32_t tail = 0;

  void attach(T* storage, std::uint32_t capacity) noexcept {
    items = storage;
    mask = capacity - 1;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return tail - head; }
  [[nodiscard]] std::uint32_t space() const noexcept { return mask + 1 - size(); }
  [[nodiscard]] bool empty() const noexcept { return head == tail; }
  /// By free-running index, head <= index < tail.
  T& at(std::uint32_t index) noexcept { return items[index & mask]; }
  const T& at(std::uint32_t index) const noexcept { return items[index & mask]; }
  T& front() noexcept { return items[head & mask]; }
  T& back() noexcept { return items[(tail - 1) & mask]; }
  void push(const T& item) noexcept {
    POLLUX_ASSERT(space() != 0);
    items[tail++ & mask] = item;
  }
  void pop() noexcept { ++head; }
  /// Only while empty: starts over at the front of the storage. A queue that runs empty again and
  /// again then stays in a few lines of the cache instead of wandering through all of its memory.
  /// Indexes that somebody keeps start over as well.
  void rewind() noexcept { head = tail = 0; }
};

}  // namespace pollux::tcp
