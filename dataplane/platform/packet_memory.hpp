// Memory of frames, as one worker sees it: buffers to build frames in, references to received ones,
// and trackers that tell when frames pointing into foreign memory have left. Calls work on batches;
// nothing here knows DPDK, so that the simulation can stand in with memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pollux::platform {

/// Counts the frames in flight that point into one piece of external memory (for DPDK: the shared
/// info of an attached buffer). Owned by PacketMemory; the pointer stays valid as long as that
/// does.
struct TxTracker;

/// Writable memory for one frame or for the head of one.
struct FrameBuffer {
  std::byte* data = nullptr;
  std::uint32_t capacity = 0;  ///< bytes writable from data on
  void* handle = nullptr;
};

/// What a frame buffer is for.
enum class Urgency : std::uint8_t {
  normal,
  reserve,  ///< an acknowledgment, a probe, a RST or a retransmission: what makes memory come back
};

/// Thread: the worker's, except where a call says otherwise.
class PacketMemory {
 public:
  /// Fills `buffers` or as much of it as there is memory for; returns how many.
  virtual std::size_t allocate(std::span<FrameBuffer> buffers) noexcept = 0;

  /// As allocate(), for bytes that are kept like received ones: out of what was planned for those.
  virtual std::size_t allocate_received(std::span<FrameBuffer> buffers) noexcept {
    return allocate(buffers);
  }
  /// One buffer from a reserve that allocate() never touches; data is null when that is used up
  /// too. For Urgency::reserve alone, so that an empty pool cannot stop what would fill it again.
  virtual FrameBuffer allocate_reserved() noexcept = 0;

  /// Drops one reference for each handle (of a received segment or of an unsent frame buffer).
  virtual void release(std::span<void* const> handles) noexcept = 0;

  /// Adds one reference to a received segment that two owners will release on their own.
  virtual void retain(void* handle) noexcept = 0;

  /// Memory that `handle` keeps from other use, in bytes: what a 1-byte segment really costs.
  [[nodiscard]] virtual std::uint32_t true_size() const noexcept = 0;

  /// Tracker number `index`, below tracker_count().
  [[nodiscard]] virtual TxTracker* tracker(std::size_t index) noexcept = 0;
  [[nodiscard]] virtual std::size_t tracker_count() const noexcept = 0;

  /// Frames in flight that point into the memory of `tracker`. They may have left the port long
  /// ago: drivers free lazily (Port::reclaim pokes them).
  [[nodiscard]] virtual std::uint32_t in_flight(const TxTracker& tracker) const noexcept = 0;

  /// Buffers of the pools that are in use now; returns to its start when all is released.
  [[nodiscard]] virtual std::size_t buffers_in_use() const noexcept = 0;

 protected:
  ~PacketMemory() = default;
};

}  // namespace pollux::platform
