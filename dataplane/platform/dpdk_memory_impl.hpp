// What DpdkPacketMemory and DpdkPort share: the pools themselves. Private to dataplane/platform/.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <cstdint>
#include <memory>

#include "dataplane/base/counter.hpp"
#include "dataplane/platform/dpdk_memory.hpp"

namespace pollux::platform {

/// What a TxTracker* really points to. One reference is always ours, so DPDK never finds the last
/// one and never calls the free function. A line each: whichever thread frees a frame writes to it.
struct alignas(64) DpdkTracker {
  rte_mbuf_ext_shared_info info;
};

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
  std::uint32_t tracker_count = 0;
  std::uint32_t frame_bytes = 0;
  std::uint32_t rx_buffer_bytes = 0;
  std::uint32_t true_size = 0;
  Counter reserve_taken;
};

}  // namespace pollux::platform
