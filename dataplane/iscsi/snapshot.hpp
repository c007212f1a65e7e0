// Copies of write data from memory that the caller has not registered. The digest and every
// transmission read the copy, so bytes and digest agree whatever the caller does to its memory
// meanwhile.
//
// A chunk is free again when TCP holds no descriptor of it (acknowledged) and no frame points into
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/assert.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::iscsi {

struct SnapshotChunk {
  std::byte* data = nullptr;
  std::uint32_t capacity = 0;
  SnapshotChunk* next = nullptr;
  tcp::SendReference reference;
  platform::TxTracker* tracker = nullptr;
};

/// First-in first-out list of chunks, linked through them.
struct SnapshotList {
  SnapshotChunk* head = nullptr;
  SnapshotChunk* tail = nullptr;

  void push(SnapshotChunk& chunk) noexcept {
    chunk.next = nullptr;
    (tail != nullptr ? tail->next : head) = &chunk;
    tail = &chunk;
  }
  void push_front(SnapshotChunk& chunk) noexcept {
    chunk.next = head;
    head = &chunk;
    if (tail == nullptr) tail = &chunk;
  }
  SnapshotChunk* pop() noexcept {
    SnapshotChunk* chunk = head;
    if (chunk != nullptr) {
      head = chunk->next;
      if (head == nullptr) tail = nullptr;
    }
    return chunk;
  }
};

class SnapshotPool {
 public:
  /// `area` is memory frames may point into, of bytes_needed(); trackers from `first_tracker` on
  /// are ours.
  SnapshotPool(const Limits& limits, std::span<std::byte> area, platform::PacketMemory& memory,
               std::size_t first_tracker)
      : memory_(memory),
        count_(limits.snapshot_small + limits.snapshot_large),
        chunks_(new SnapshotChunk[count_]) {
    POLLUX_ASSERT(area.size() >= bytes_needed(limits) &&
                  first_tracker + count_ <= memory.tracker_count());
    std::byte* next = area.data();
    for (std::size_t i = 0; i < count_; ++i) {
      SnapshotChunk& chunk = chunks_[i];
      chunk.data = next;
      chunk.capacity = i < limits.snapshot_small ? kSnapshotSmallBytes : kDataOutBytesMax;
      chunk.tracker = memory.tracker(first_tracker + i);
      next += chunk.capacity;
      free_list(chunk.capacity).push(chunk);
    }
  }

  static std::size_t bytes_needed(const Limits& limits) noexcept {
    return limits.snapshot_small * kSnapshotSmallBytes + limits.snapshot_large * kDataOutBytesMax;
  }
  static std::size_t trackers_needed(const Limits& limits) noexcept {
    return limits.snapshot_small + limits.snapshot_large;
  }

  /// A chunk of at least `bytes` (<= kDataOutBytesMax), or nullptr.
  SnapshotChunk* take(std::uint32_t bytes) noexcept {
    SnapshotChunk* chunk = bytes <= kSnapshotSmallBytes ? small_.pop() : nullptr;
    if (chunk == nullptr) chunk = large_.pop();
    if (chunk != nullptr) ++in_use_;
    return chunk;
  }

  /// Frees the chunks at the front of `sent` that TCP no longer holds.
  void collect(SnapshotList& sent) noexcept {
    while (sent.head != nullptr && sent.head->reference.count == 0) retire(*sent.pop());
  }

  /// Of a connection that is dead: TCP holds nothing any more, but frames that point into the
  /// chunks may still wait for the port.
  void abandon(SnapshotList& sent) noexcept {
    while (SnapshotChunk* chunk = sent.pop()) abandoned_.push(*chunk);
  }

  /// Frees chunks whose frames the driver has given back since. Bounded by what lingers.
  void poll_lingering(bool nothing_queued) noexcept {
    while (nothing_queued && abandoned_.head != nullptr) retire(*abandoned_.pop());
    while (lingering_.head != nullptr && memory_.in_flight(*lingering_.head->tracker) == 0)
      give_back(*lingering_.pop());
  }

  [[nodiscard]] bool any_lingering() const noexcept {
    return lingering_.head != nullptr || abandoned_.head != nullptr;
  }
  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }

 private:
  void retire(SnapshotChunk& chunk) noexcept {
    if (memory_.in_flight(*chunk.tracker) == 0) {
      give_back(chunk);
    } else {
      lingering_.push(chunk);
    }
  }
  void give_back(SnapshotChunk& chunk) noexcept {
    --in_use_;
    free_list(chunk.capacity)
        .push_front(chunk);  // the memory that was used last is still in the cache
  }
  SnapshotList& free_list(std::uint32_t capacity) noexcept {
    return capacity == kSnapshotSmallBytes ? small_ : large_;
  }

  platform::PacketMemory& memory_;
  std::size_t count_;
  std::unique_ptr<SnapshotChunk[]> chunks_;
  SnapshotList small_;
  SnapshotList large_;
  SnapshotList lingering_;
  SnapshotList abandoned_;
  std::size_t in_use_ = 0;
};

}  // namespace pollux::iscsi
