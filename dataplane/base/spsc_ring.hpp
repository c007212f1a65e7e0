// Queue between exactly two threads: one pushes, one pops. Each side keeps its index and a cached
// copy of the other's on a cache line of its own, so that in the common case neither line moves.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "dataplane/base/assert.hpp"

namespace pollux {

template <class T>
requires std::is_trivially_copyable_v<T>
class SpscRing {
 public:
  explicit SpscRing(std::size_t capacity)
      : items_(new T[capacity]), mask_(static_cast<std::uint32_t>(capacity - 1)) {
    POLLUX_ASSERT(std::has_single_bit(capacity));
  }

  /// Producer thread. Takes as many items as fit, in order; returns how many.
  std::size_t push(std::span<const T> items) noexcept {
    const std::uint32_t tail = producer_.index.load(std::memory_order_relaxed);
    std::uint32_t room = mask_ + 1u - (tail - producer_.cached_peer);
    if (room < items.size()) {
      // Pairs with the release store in pop(): the slots read there are free to overwrite.
      producer_.cached_peer = consumer_.index.load(std::memory_order_acquire);
      room = mask_ + 1u - (tail - producer_.cached_peer);
    }
    const auto count = items.size() < room ? static_cast<std::uint32_t>(items.size()) : room;
    for (std::uint32_t i = 0; i < count; ++i) items_[(tail + i) & mask_] = items[i];
    // Pairs with the acquire load in pop(): the items are written before the index shows them.
    producer_.index.store(tail + count, std::memory_order_release);
    return count;
  }
  bool push(const T& item) noexcept { return push(std::span<const T>(&item, 1)) == 1; }

  /// Producer thread. The slot `ahead` places behind those published, to be filled where it lies;
  /// nullptr when the ring is full there.
  [[nodiscard]] T* slot(std::uint32_t ahead = 0) noexcept {
    const std::uint32_t at = producer_.index.load(std::memory_order_relaxed) + ahead;
    if (at - producer_.cached_peer > mask_) {
      // As in push().
      producer_.cached_peer = consumer_.index.load(std::memory_order_acquire);
      if (at - producer_.cached_peer > mask_) return nullptr;
    }
    return &items_[at & mask_];
  }
  /// Producer thread. Shows the first `count` slots that were filled.
  void publish(std::uint32_t count) noexcept {
    const std::uint32_t tail = producer_.index.load(std::memory_order_relaxed);
    // As in push().
    producer_.index.store(tail + count, std::memory_order_release);
  }

  /// Consumer thread. Fills as much of `out` as there is; returns how many.
  std::size_t pop(std::span<T> out) noexcept {
    const std::uint32_t head = consumer_.index.load(std::memory_order_relaxed);
    std::uint32_t available = consumer_.cached_peer - head;
    if (available < out.size()) {
      // Pairs with the release store in push().
      consumer_.cached_peer = producer_.index.load(std::memory_order_acquire);
      available = consumer_.cached_peer - head;
    }
    const auto count = out.size() < available ? static_cast<std::uint32_t>(out.size()) : available;
    for (std::uint32_t i = 0; i < count; ++i) out[i] = items_[(head + i) & mask_];
    // Pairs with the acquire load in push(): the items were read before the slots become free.
    if (count != 0) consumer_.index.store(head + count, std::memory_order_release);
    return count;
  }
  bool pop(T& out) noexcept { return pop(std::span<T>(&out, 1)) == 1; }

  /// Consumer thread. How many items there are, `most` at most: item() may look at them.
  [[nodiscard]] std::size_t available(std::size_t most) noexcept {
    const std::uint32_t head = consumer_.index.load(std::memory_order_relaxed);
    if (consumer_.cached_peer - head < most)
      // As in pop().
      consumer_.cached_peer = producer_.index.load(std::memory_order_acquire);
    const std::size_t count = consumer_.cached_peer - head;
    return count < most ? count : most;
  }
  /// Consumer thread. Where it lies, `ahead` places behind the front.
  [[nodiscard]] const T& item(std::size_t ahead) const noexcept {
    return items_[(consumer_.index.load(std::memory_order_relaxed) + ahead) & mask_];
  }
  /// Consumer thread. Done with the first `count` items.
  void drop(std::size_t count) noexcept {
    const std::uint32_t head = consumer_.index.load(std::memory_order_relaxed);
    // As in pop().
    consumer_.index.store(head + static_cast<std::uint32_t>(count), std::memory_order_release);
  }

  /// Consumer thread. The item pop() would give next, or nullptr.
  [[nodiscard]] const T* front() noexcept {
    const std::uint32_t head = consumer_.index.load(std::memory_order_relaxed);
    if (consumer_.cached_peer == head) {
      // Pairs with the release store in push().
      consumer_.cached_peer = producer_.index.load(std::memory_order_acquire);
      if (consumer_.cached_peer == head) return nullptr;
    }
    return &items_[head & mask_];
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1u; }
  /// Either thread; a snapshot.
  [[nodiscard]] std::size_t size() const noexcept {
    return producer_.index.load(std::memory_order_relaxed) -
           consumer_.index.load(std::memory_order_relaxed);
  }

 private:
  struct alignas(128) Side {
    std::atomic<std::uint32_t> index{0};
    std::uint32_t cached_peer = 0;
  };
  std::unique_ptr<T[]> items_;
  std::uint32_t mask_;
  Side producer_;
  Side consumer_;
};

}  // namespace pollux
