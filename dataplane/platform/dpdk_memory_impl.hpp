// What DpdkPacketMemory and DpdkPort share: the pools themselves. Private to dataplane/platform/.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/base/counter.hpp"
#include "dataplane/platform/dpdk_memory.hpp"

namespace pollux::platform {

/// What a TxTracker* really points to. One reference is always ours, so DPDK never finds the last
/// one and never calls the free function. A line each: whichever thread frees a frame writes to it.
/// Where that is another thread than ours, the line would change hands with every frame, so
/// references are taken many at a time and handed out from `credits`.
struct alignas(64) DpdkTracker {
  rte_mbuf_ext_shared_info info;
};

/// References taken at once. With those of all buffers of a pool (kExternalMost of the memory plan)
/// they fit DPDK's 16 bits.
inline constexpr std::uint16_t kTrackerCredits = 1024;

[[nodiscard]] inline DpdkTracker* dpdk_tracker(TxTracker* tracker) noexcept {
  return reinterpret_cast<DpdkTracker*>(tracker);
}

struct PoolDeleter {
  void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, PoolDeleter>;

struct DpdkPacketMemory::Impl {
  Pool rx;
  Pool frames;
  Pool reserve;
  Pool external;  ///< headers without room for data, for external memory to be attached to
  std::unique_ptr<DpdkTracker[]> trackers;
  /// References of each tracker that no frame has yet. Written by the owner's thread.
  std::unique_ptr<std::atomic<std::uint16_t>[]> credits;
  std::uint32_t tracker_count = 0;
  std::uint32_t frame_bytes = 0;
  std::uint32_t rx_buffer_bytes = 0;
  std::uint32_t true_size = 0;
  Counter reserve_taken;

  /// For one more frame that points into the tracker's memory.
  rte_mbuf_ext_shared_info* take_reference(TxTracker* of) noexcept {
    DpdkTracker* const tracker = dpdk_tracker(of);
    std::atomic<std::uint16_t>& credit = credits[tracker - trackers.get()];
    std::uint16_t left = credit.load(std::memory_order_relaxed);
    if (left == 0) {
      rte_mbuf_ext_refcnt_update(&tracker->info, kTrackerCredits);
      left = kTrackerCredits;
    }
    credit.store(left - 1, std::memory_order_relaxed);
    return &tracker->info;
  }
};

}  // namespace pollux::platform
