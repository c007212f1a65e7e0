// First-in first-out queue of fixed capacity for one thread. Capacity is a power of two chosen at
// construction; storage is allocated once, before the worker starts.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/assert.hpp"

namespace pollux {

template <class T>
class FixedRing {
 public:
  explicit FixedRing(std::size_t capacity)
      : items_(new T[capacity]), mask_(static_cast<std::uint32_t>(capacity - 1)) {
    POLLUX_ASSERT(std::has_single_bit(capacity));
  }

  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1u; }
  [[nodiscard]] std::size_t space() const noexcept { return capacity() - size(); }
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] bool full() const noexcept { return size() == capacity(); }

  /// The i-th item from the front; i < size().
  T& operator[](std::size_t i) noexcept { return items_[(head_ + i) & mask_]; }
  const T& operator[](std::size_t i) const noexcept { return items_[(head_ + i) & mask_]; }
  T& front() noexcept { return items_[head_ & mask_]; }
  T& back() noexcept { return items_[(tail_ - 1) & mask_]; }

  void push(const T& item) noexcept {
    POLLUX_ASSERT(!full());
    items_[tail_++ & mask_] = item;
  }
  void pop() noexcept {
    POLLUX_ASSERT(!empty());
    ++head_;
  }
  void clear() noexcept { head_ = tail_; }

 private:
  std::unique_ptr<T[]> items_;
  std::uint32_t mask_;
  std::uint32_t head_ = 0;  // free-running; size is tail - head
  std::uint32_t tail_ = 0;
};

}  // namespace pollux
