// First-in first-out ring over memory that belongs to somebody else. Each starts in a few entries
// that lie next to those of the other connections, so that thousands of quiet connections share
// pages; a ring that fills them moves to a part of its own, which costs no memory until then.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>

#include "dataplane/base/assert.hpp"

namespace pollux::tcp {

/// kHome: entries that the first part has. Mask: holds the capacity - 1.
template <class T, std::uint32_t kHome = 16, class Mask = std::uint16_t>
requires std::is_trivial_v<T>
struct SlabRing {
  /// Large rings of tens of thousands of connections lie more than 4 G entries apart.
  using Distance = std::conditional_t<sizeof(Mask) == 2, std::uint32_t, std::uint64_t>;

  T* items = nullptr;
  std::uint32_t head = 0;  ///< free-running, as tail: size is tail - head
  std::uint32_t tail = 0;
  Distance far = 0;    ///< where the larger part begins, in entries from `items`; 0: there
  Mask mask = 0;       ///< of the part in use: its entries - 1
  Mask mask_most = 0;  ///< of the ring: its capacity - 1; capacity is a power of two

  [[nodiscard]] std::uint32_t size() const noexcept { return tail - head; }
  [[nodiscard]] std::uint32_t space() const noexcept { return mask_most + 1u - size(); }
  [[nodiscard]] bool empty() const noexcept { return head == tail; }
  /// By free-running index, head <= index < tail.
  T& at(std::uint32_t index) noexcept { return items[index & mask]; }
  const T& at(std::uint32_t index) const noexcept { return items[index & mask]; }
  T& front() noexcept { return at(head); }
  T& back() noexcept { return at(tail - 1); }
  /// Before `more` entries are put in, space() or less.
  void make_room(std::uint32_t more) noexcept {
    if (size() + more > mask + 1u) [[unlikely]]
      move_out();
  }
  void push(const T& item) noexcept {
    make_room(1);
    items[tail++ & mask] = item;
  }
  void pop() noexcept { ++head; }
  /// Only while empty: starts over at the front of the storage. A queue that runs empty again and
  /// again then stays in a few lines of the cache instead of wandering through all of its memory.
  /// Indexes that somebody keeps start over as well.
  void rewind() noexcept { head = tail = 0; }

 private:
  void move_out() noexcept {
    POLLUX_ASSERT(far != 0);
    T* const to = items + far;
    for (std::uint32_t i = head; i != tail; ++i) to[i & mask_most] = at(i);
    items = to;
    mask = mask_most;
    far = 0;
  }
};

/// The memory of one ring of every connection, untouched until used. Lives as long as they do.
template <class T, std::uint32_t kHome = 16, class Mask = std::uint16_t>
class RingSlab {
 public:
  using Ring = SlabRing<T, kHome, Mask>;

  /// `capacity`: of each ring; a power of two.
  RingSlab(std::uint32_t rings, std::uint32_t capacity)
      : rings_(rings),
        capacity_(capacity),
        home_(std::min(capacity, kHome)),
        storage_(new T[std::size_t{rings} * (home_ + capacity)]) {
    POLLUX_ASSERT(std::has_single_bit(capacity) && Mask(capacity - 1) == capacity - 1);
    POLLUX_ASSERT(distance(rings) <= std::numeric_limits<typename Ring::Distance>::max());
  }
  [[nodiscard]] Ring ring(std::uint32_t slot) const noexcept {
    Ring ring;
    ring.items = home(slot);
    ring.mask = static_cast<Mask>(home_ - 1);
    ring.mask_most = static_cast<Mask>(capacity_ - 1);
    if (capacity_ > home_) ring.far = static_cast<typename Ring::Distance>(distance(slot));
    return ring;
  }
  /// Where the ring of a connection starts, for who wants to fetch it ahead.
  [[nodiscard]] T* home(std::uint32_t slot) const noexcept {
    return &storage_[std::size_t{slot} * home_];
  }

 private:
  /// From the first part of a ring to the second.
  [[nodiscard]] std::uint64_t distance(std::uint32_t slot) const noexcept {
    return std::uint64_t{rings_ - slot} * home_ + std::uint64_t{slot} * capacity_;
  }

  std::uint32_t rings_;
  std::uint32_t capacity_;
  std::uint32_t home_;
  std::unique_ptr<T[]> storage_;
};

}  // namespace pollux::tcp
