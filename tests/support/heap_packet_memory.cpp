#include "tests/support/heap_packet_memory.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.hpp"

namespace pollux::sim {

HeapPacketMemory::HeapPacketMemory(const HeapPacketMemoryOptions& options)
    : buffer_count_(options.buffers),
      buffer_bytes_(options.buffer_bytes),
      tracker_count_(options.trackers),
      limit_(options.buffers),
      poison_(options.poison),
      memory_(new std::byte[options.buffers * options.buffer_bytes]),
      slots_(new Slot[options.buffers]),
      trackers_(new std::uint32_t[options.trackers]{}),
      free_(options.buffers) {
  if (poison_) std::fill_n(memory_.get(), buffer_count_ * buffer_bytes_, kPoison);
  for (std::size_t i = 0; i < buffer_count_; ++i) {
    slots_[i].data = memory_.get() + i * buffer_bytes_;
    free_.push(&slots_[i]);
  }
}

HeapPacketMemory::Slot& HeapPacketMemory::slot_of(void* handle) const noexcept {
  auto* slot = static_cast<Slot*>(handle);
  POLLUX_ASSERT(slot >= slots_.get() && slot < slots_.get() + buffer_count_);
  POLLUX_ASSERT(slot->references > 0);
  return *slot;
}

// TxTracker stays incomplete here, so that one program can hold this memory beside another port's.
std::uint32_t& HeapPacketMemory::count_of(const platform::TxTracker& tracker) const noexcept {
  auto* count = reinterpret_cast<std::uint32_t*>(const_cast<platform::TxTracker*>(&tracker));
  POLLUX_ASSERT(count >= trackers_.get() && count < trackers_.get() + tracker_count_);
  return *count;
}

std::size_t HeapPacketMemory::allocate(std::span<platform::FrameBuffer> buffers) noexcept {
  std::size_t n = 0;
  for (; n < buffers.size(); ++n) {
    if (free_.empty() || buffers_in_use() >= limit_) {
      ++allocations_failed_;
      break;
    }
    Slot& slot = *free_.front();
    free_.pop();
    const bool written_after_release =
        poison_ &&
        (slot.data[0] != kPoison || std::memcmp(slot.data, slot.data + 1, buffer_bytes_ - 1) != 0);
    POLLUX_ASSERT(!written_after_release);
    POLLUX_ASSERT(slot.references == 0);
    slot.references = 1;
    buffers[n] = {slot.data, buffer_bytes_, &slot};
  }
  return n;
}

void HeapPacketMemory::release(std::span<void* const> handles) noexcept {
  for (void* handle : handles) {
    Slot& slot = slot_of(handle);
    if (--slot.references != 0) continue;
    if (poison_) std::fill_n(slot.data, buffer_bytes_, kPoison);
    free_.push(&slot);
  }
}

void HeapPacketMemory::retain(void* handle) noexcept { ++slot_of(handle).references; }

platform::TxTracker* HeapPacketMemory::tracker(std::size_t index) noexcept {
  POLLUX_ASSERT(index < tracker_count_);
  return reinterpret_cast<platform::TxTracker*>(&trackers_[index]);
}

std::uint32_t HeapPacketMemory::in_flight(const platform::TxTracker& tracker) const noexcept {
  return count_of(tracker);
}

std::size_t HeapPacketMemory::buffers_in_use() const noexcept {
  return buffer_count_ - free_.size();
}

void HeapPacketMemory::tracker_taken(platform::TxTracker& tracker) noexcept { ++count_of(tracker); }

void HeapPacketMemory::tracker_done(platform::TxTracker& tracker) noexcept {
  std::uint32_t& count = count_of(tracker);
  POLLUX_ASSERT(count > 0);
  --count;
}

std::uint32_t HeapPacketMemory::references(const void* handle) const noexcept {
  const auto* slot = static_cast<const Slot*>(handle);
  POLLUX_ASSERT(slot >= slots_.get() && slot < slots_.get() + buffer_count_);
  return slot->references;
}

}  // namespace pollux::sim
