// PacketMemory over plain heap memory, strict where a NIC driver would be silent: a handle released
// twice or never handed out aborts, released memory is filled with kPoison, and memory that was
// written after its release aborts when it is handed out again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/fixed_ring.hpp"
#include "dataplane/platform/packet_memory.hpp"

namespace pollux::sim {

struct HeapPacketMemoryOptions {
  std::size_t buffers = 4096;  ///< power of two
  std::uint32_t buffer_bytes = 2048;
  std::size_t trackers = 64;
  bool poison = true;  ///< false: released memory is neither filled nor checked, for bulk runs
  std::size_t reserve = 16;  ///< buffers of allocate_reserved() out at a time
};

class HeapPacketMemory final : public platform::PacketMemory {
 public:
  static constexpr std::byte kPoison{0xdb};

  explicit HeapPacketMemory(const HeapPacketMemoryOptions& options = {});
  ~HeapPacketMemory();
  HeapPacketMemory(const HeapPacketMemory&) = delete;
  HeapPacketMemory& operator=(const HeapPacketMemory&) = delete;

  std::size_t allocate(std::span<platform::FrameBuffer> buffers) noexcept override;
  platform::FrameBuffer allocate_reserved() noexcept override;
  /// For a port: what it receives into, which set_frames_limit() does not touch.
  std::size_t allocate_received(std::span<platform::FrameBuffer> buffers) noexcept override {
    return take(buffers, Use::received);
  }
  void release(std::span<void* const> handles) noexcept override;
  void retain(void* handle) noexcept override;
  [[nodiscard]] std::uint32_t true_size() const noexcept override { return buffer_bytes_; }
  [[nodiscard]] platform::TxTracker* tracker(std::size_t index) noexcept override;
  [[nodiscard]] std::size_t tracker_count() const noexcept override { return tracker_count_; }
  [[nodiscard]] std::uint32_t in_flight(const platform::TxTracker& tracker) const noexcept override;
  [[nodiscard]] std::size_t buffers_in_use() const noexcept override;

  /// What a port does when it takes a segment into external memory, and when that has left.
  void tracker_taken(platform::TxTracker& tracker) noexcept;
  void tracker_done(platform::TxTracker& tracker) noexcept;

  void release(void* handle) noexcept { release(std::span<void* const>(&handle, 1)); }
  /// Buffers that were still out when their memory ended, of all memories of this process so far.
  [[nodiscard]] static std::size_t leaked() noexcept { return leaked_; }
  [[nodiscard]] std::uint32_t references(const void* handle) const noexcept;
  /// allocate() hands out nothing more than this many buffers at a time: an exhausted pool on
  /// demand.
  void set_limit(std::size_t buffers_in_use_max) noexcept { limit_ = buffers_in_use_max; }
  /// Of that, frame buffers of allocate(): received frames still find room.
  void set_frames_limit(std::size_t frames_in_use_max) noexcept {
    frames_limit_ = frames_in_use_max;
  }
  [[nodiscard]] std::uint64_t reserve_taken() const noexcept { return reserve_taken_; }
  [[nodiscard]] std::uint64_t allocations_failed() const noexcept { return allocations_failed_; }

 private:
  enum class Use : std::uint8_t { frame, received, reserve };
  struct Slot {
    std::byte* data = nullptr;
    std::uint32_t references = 0;
    Use use = Use::frame;
  };
  std::size_t take(std::span<platform::FrameBuffer> buffers, Use use) noexcept;
  Slot& slot_of(void* handle) const noexcept;
  std::uint32_t& count_of(const platform::TxTracker& tracker) const noexcept;

  inline static std::size_t leaked_ = 0;
  std::size_t buffer_count_;
  std::uint32_t buffer_bytes_;
  std::size_t tracker_count_;
  std::size_t limit_;
  bool poison_;
  std::size_t frames_limit_ = SIZE_MAX;
  std::size_t reserve_limit_;
  std::size_t in_use_of_[3]{};
  std::uint64_t reserve_taken_ = 0;
  std::uint64_t allocations_failed_ = 0;
  std::unique_ptr<std::byte[]> memory_;
  std::unique_ptr<Slot[]> slots_;
  std::unique_ptr<std::uint32_t[]> trackers_;
  // First in, first out: released memory stays poisoned for as long as possible.
  FixedRing<Slot*> free_;
};

}  // namespace pollux::sim
