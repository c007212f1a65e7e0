// Frame memory of one worker in DPDK's pools: received frames, frames to send, attached external
// memory. The pools are its own, so that another worker (or a reader that never releases) cannot
// starve it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dataplane/platform/packet_memory.hpp"

namespace pollux::platform {

/// Sizes come from memory_plan(); the defaults suit tests.
struct DpdkMemoryOptions {
  std::uint32_t rx_buffers = 2048;
  std::uint32_t rx_buffer_bytes = 2048;  ///< of frame in one buffer; a longer frame takes a chain
  std::uint32_t frame_buffers = 1024;
  std::uint32_t frame_bytes = 2048;       ///< capacity of a FrameBuffer; at least one whole frame
  std::uint32_t reserve_buffers = 64;     ///< frame buffers of allocate_reserved()
  std::uint32_t external_buffers = 1024;  ///< segments of external memory in flight; at most 60,000
  std::uint32_t trackers = 16;
  std::uint32_t cache_buffers = 128;  ///< per thread and pool; at most 512
  int numa_node = -1;                 ///< of the port; -1: any
};

/// Thread: as PacketMemory. It outlives every port that uses it. At the end of its life every
/// buffer should be back: pools with buffers still out are left to the process rather than pulled
/// away.
class DpdkPacketMemory final : public PacketMemory {
 public:
  struct Impl;

  /// Start-up: allocates. nullptr: `error` says why in one sentence. The EAL is running.
  [[nodiscard]] static std::unique_ptr<DpdkPacketMemory> create(const DpdkMemoryOptions& options,
                                                                std::string& error);
  explicit DpdkPacketMemory(std::unique_ptr<Impl> impl) noexcept;
  ~DpdkPacketMemory();
  DpdkPacketMemory(const DpdkPacketMemory&) = delete;
  DpdkPacketMemory& operator=(const DpdkPacketMemory&) = delete;

  std::size_t allocate(std::span<FrameBuffer> buffers) noexcept override;
  std::size_t allocate_received(std::span<FrameBuffer> buffers) noexcept override;
  FrameBuffer allocate_reserved() noexcept override;
  void release(std::span<void* const> handles) noexcept override;
  void retain(void* handle) noexcept override;
  [[nodiscard]] std::uint32_t true_size() const noexcept override;
  [[nodiscard]] TxTracker* tracker(std::size_t index) noexcept override;
  [[nodiscard]] std::size_t tracker_count() const noexcept override;
  [[nodiscard]] std::uint32_t in_flight(const TxTracker& tracker) const noexcept override;
  /// Slow (walks every thread's cache). Counts what ports have posted for receiving as in use.
  [[nodiscard]] std::size_t buffers_in_use() const noexcept override;

  /// Frame buffers that had to come from the reserve so far.
  [[nodiscard]] std::uint64_t reserve_taken() const noexcept;

  [[nodiscard]] Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::platform
