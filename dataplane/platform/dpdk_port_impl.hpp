// One queue pair from the inside: what its bursts (dpdk_port.cpp) and its life (dpdk_port_life.cpp)
// share. Private to dataplane/platform/.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "dataplane/platform/dpdk_device.hpp"
#include "dataplane/platform/dpdk_memory_impl.hpp"
#include "dataplane/platform/dpdk_port.hpp"

namespace pollux::platform {

struct DpdkPort::Impl {
  static constexpr std::uint16_t kBurst = 64;
  static constexpr std::size_t kSegmentsMost = 16;  // of a large TCP segment

  /// One frame among the segments of a transmit call.
  struct FrameSpan {
    std::size_t first = 0;
    std::size_t count = 0;
    std::uint32_t bytes = 0;
    bool drop = false;
    bool has_external = false;
    bool flatten = false;
  };

  Impl(DpdkPacketMemory& owner, std::shared_ptr<DpdkDevice> opened, std::uint16_t number) noexcept
      : memory(owner),
        pools(owner.impl()),
        device(std::move(opened)),
        traits(device->traits()),
        queue(number) {}
  ~Impl();

  std::size_t receive(std::span<RxSegment> segments) noexcept;
  std::size_t convert(rte_mbuf* frame, std::span<RxSegment> segments) noexcept;
  [[nodiscard]] std::uint16_t rx_flags(std::uint64_t offload_flags) const noexcept;

  std::size_t transmit(std::span<const TxSegment> segments) noexcept;
  std::size_t plan(std::span<const TxSegment> segments, std::size_t first) noexcept;
  void check_frame(FrameSpan& frame, const TxSegment& head) const noexcept;
  bool take_external(std::span<const TxSegment> segments) noexcept;
  rte_mbuf* build(std::span<const TxSegment> segments) noexcept;
  rte_mbuf* build_flat(std::span<const TxSegment> segments, std::uint32_t bytes) noexcept;
  void set_offloads(rte_mbuf* frame, const TxSegment& head) const noexcept;
  void discard(std::span<const TxSegment> segments) noexcept;
  bool send(std::size_t count) noexcept;
  std::size_t prepare(std::size_t count) noexcept;
  bool flush() noexcept;
  void count_sent(std::span<rte_mbuf* const> frames, std::uint16_t sent,
                  std::uint64_t bytes, std::uint64_t pieces) noexcept;
  void reclaim() noexcept;
  [[nodiscard]] PortState check() noexcept;
  void shut() noexcept;
  void drop_held() noexcept;
  void rest() noexcept;

  DpdkPacketMemory& memory;
  DpdkPacketMemory::Impl& pools;
  std::shared_ptr<DpdkDevice> device;  ///< of all its queues
  DeviceTraits traits;
  std::uint16_t queue;
  PortCounters counters;

  // Received frames that did not fit the caller's array.
  std::array<rte_mbuf*, kBurst> rx_waiting{};
  std::uint16_t rx_first = 0;
  std::uint16_t rx_end = 0;

  // Built frames: the first tx_waiting of them were refused by the driver and go first.
  std::array<rte_mbuf*, kBurst> tx_frames{};
  std::uint16_t tx_waiting = 0;
  std::uint32_t fruitless_reclaims = 0;

  // Scratch of one transmit burst.
  std::array<FrameSpan, kBurst> tx_spans{};
  std::array<rte_mbuf*, kBurst * kSegmentsMost> external{};
  std::size_t external_first = 0;

  bool gone = false;  ///< removed: the device is never touched again
  bool shut_down = false;
  bool resting = false;  ///< until the device has been reset for all its queues
  std::uint32_t resets_before = 0;
};

}  // namespace pollux::platform
