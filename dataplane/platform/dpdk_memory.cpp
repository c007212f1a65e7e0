// Pools, trackers and the batched release of buffers.

#include "dataplane/platform/dpdk_memory.hpp"

#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/platform/dpdk_memory_impl.hpp"

namespace pollux::platform {
namespace {

constexpr std::size_t kReleaseBatch = 64;
constexpr std::size_t kAllocateBatch = 64;
// The reference count of attached memory has 16 bits: with fewer buffers to attach it to than that,
// it cannot overflow whatever the stack does.
constexpr std::uint32_t kExternalBuffersMost = 60'000;

void never_last(void*, void*) {
  constexpr bool tracker_lost_its_own_reference = true;
  POLLUX_ASSERT(!tracker_lost_its_own_reference);
}

/// DPDK finds pools by name, and names are per process.
std::string pool_name(const char* kind) {
  static std::atomic<unsigned> number{0};
  return "pollux_" + std::string(kind) + std::to_string(number.fetch_add(1));
}

Pool make_pool(const char* kind, std::uint32_t buffers, std::uint32_t room,
               const DpdkMemoryOptions& options, std::string& error) {
  // A cache that could swallow a small pool whole would starve the threads that find none in
  // theirs.
  const std::uint32_t cache = std::min(options.cache_buffers, buffers / 8);
  Pool pool(rte_pktmbuf_pool_create(pool_name(kind).c_str(), buffers, cache, 0,
                                    static_cast<std::uint16_t>(room), options.numa_node));
  if (!pool) {
    error = "no memory for " + std::to_string(buffers) + " packet buffers (" + kind + ", " +
            rte_strerror(rte_errno) + "): give DPDK more memory or plan fewer buffers";
  }
  return pool;
}

bool options_ok(const DpdkMemoryOptions& options, std::string& error) {
  constexpr std::uint32_t kRoomMost = 65'535 - RTE_PKTMBUF_HEADROOM;
  if (options.rx_buffer_bytes < 256 || options.rx_buffer_bytes > kRoomMost ||
      options.frame_bytes < 256 || options.frame_bytes > kRoomMost) {
    error = "packet buffers take 256 to " + std::to_string(kRoomMost) + " bytes each";
    return false;
  }
  if (options.external_buffers > kExternalBuffersMost) {
    error = "at most " + std::to_string(kExternalBuffersMost) +
            " segments of external memory can be in flight per worker: plan fewer";
    return false;
  }
  if (options.cache_buffers > RTE_MEMPOOL_CACHE_MAX_SIZE || options.rx_buffers == 0 ||
      options.frame_buffers == 0 || options.reserve_buffers == 0 || options.external_buffers == 0) {
    error = "every pool needs at least one buffer and a cache of at most " +
            std::to_string(RTE_MEMPOOL_CACHE_MAX_SIZE);
    return false;
  }
  return true;
}

std::uint32_t element_bytes(const rte_mempool& pool) {
  return pool.header_size + pool.elt_size + pool.trailer_size;
}

std::size_t in_use(const Pool& pool) noexcept { return rte_mempool_in_use_count(pool.get()); }

FrameBuffer frame_buffer(rte_mbuf* mbuf) noexcept {
  return {.data = rte_pktmbuf_mtod(mbuf, std::byte*),
          .capacity = rte_pktmbuf_tailroom(mbuf),
          .handle = mbuf};
}

}  // namespace

std::unique_ptr<DpdkPacketMemory> DpdkPacketMemory::create(const DpdkMemoryOptions& options,
                                                           std::string& error) {
  if (!options_ok(options, error)) return nullptr;
  auto impl = std::make_unique<Impl>();
  const std::uint32_t rx_room = options.rx_buffer_bytes + RTE_PKTMBUF_HEADROOM;
  const std::uint32_t frame_room = options.frame_bytes + RTE_PKTMBUF_HEADROOM;
  impl->rx = make_pool("rx", options.rx_buffers, rx_room, options, error);
  if (!impl->rx) return nullptr;
  impl->frames = make_pool("frames", options.frame_buffers, frame_room, options, error);
  if (!impl->frames) return nullptr;
  impl->reserve = make_pool("reserve", options.reserve_buffers, frame_room, options, error);
  if (!impl->reserve) return nullptr;
  impl->external = make_pool("external", options.external_buffers, 0, options, error);
  if (!impl->external) return nullptr;

  impl->trackers = std::make_unique<DpdkTracker[]>(options.trackers);
  impl->credits = std::make_unique<std::atomic<std::uint16_t>[]>(options.trackers);
  impl->tracker_count = options.trackers;
  for (std::uint32_t i = 0; i < options.trackers; ++i) {
    impl->trackers[i].info.free_cb = never_last;
    impl->trackers[i].info.fcb_opaque = nullptr;
    rte_mbuf_ext_refcnt_set(&impl->trackers[i].info, 1);
  }
  impl->frame_bytes = options.frame_bytes;
  impl->rx_buffer_bytes = options.rx_buffer_bytes;
  // On the in-process wire the peer's frame buffers are what we receive.
  impl->true_size = std::max(element_bytes(*impl->rx), element_bytes(*impl->frames));
  return std::make_unique<DpdkPacketMemory>(std::move(impl));
}

DpdkPacketMemory::DpdkPacketMemory(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

DpdkPacketMemory::~DpdkPacketMemory() {
  // Whoever still holds a buffer will touch it: leaking is the smaller harm.
  if (buffers_in_use() != 0) static_cast<void>(impl_.release());
}

namespace {

std::size_t allocate_from(rte_mempool* pool, std::span<FrameBuffer> buffers) noexcept {
  std::array<rte_mbuf*, kAllocateBatch> mbufs;
  std::size_t done = 0;
  while (done < buffers.size()) {
    const auto batch = static_cast<unsigned>(std::min(kAllocateBatch, buffers.size() - done));
    if (rte_pktmbuf_alloc_bulk(pool, mbufs.data(), batch) != 0) break;
    for (unsigned i = 0; i < batch; ++i) buffers[done + i] = frame_buffer(mbufs[i]);
    done += batch;
  }
  // A bulk call is all or nothing: what is left in a nearly empty pool comes singly.
  for (; done < buffers.size(); ++done) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == nullptr) break;
    buffers[done] = frame_buffer(mbuf);
  }
  return done;
}

}  // namespace

std::size_t DpdkPacketMemory::allocate_received(std::span<FrameBuffer> buffers) noexcept {
  return allocate_from(impl_->rx.get(), buffers);
}

std::size_t DpdkPacketMemory::allocate(std::span<FrameBuffer> buffers) noexcept {
  return allocate_from(impl_->frames.get(), buffers);
}

FrameBuffer DpdkPacketMemory::allocate_reserved() noexcept {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(impl_->reserve.get());
  if (mbuf == nullptr) return {};
  impl_->reserve_taken.add();
  return frame_buffer(mbuf);
}

void DpdkPacketMemory::release(std::span<void* const> handles) noexcept {
  std::array<void*, kReleaseBatch> batch;
  unsigned count = 0;
  rte_mempool* pool = nullptr;
  for (void* handle : handles) {
    rte_mbuf* mbuf = rte_pktmbuf_prefree_seg(static_cast<rte_mbuf*>(handle));
    if (mbuf == nullptr) continue;
    if (count == kReleaseBatch || mbuf->pool != pool) {
      if (count > 0) rte_mempool_put_bulk(pool, batch.data(), count);
      pool = mbuf->pool;
      count = 0;
    }
    batch[count++] = mbuf;
  }
  if (count > 0) rte_mempool_put_bulk(pool, batch.data(), count);
}

void DpdkPacketMemory::retain(void* handle) noexcept {
  rte_mbuf_refcnt_update(static_cast<rte_mbuf*>(handle), 1);
}

std::uint32_t DpdkPacketMemory::true_size() const noexcept { return impl_->true_size; }

TxTracker* DpdkPacketMemory::tracker(std::size_t index) noexcept {
  POLLUX_ASSERT(index < impl_->tracker_count);
  return reinterpret_cast<TxTracker*>(&impl_->trackers[index]);
}

std::size_t DpdkPacketMemory::tracker_count() const noexcept { return impl_->tracker_count; }

std::uint32_t DpdkPacketMemory::in_flight(const TxTracker& tracker) const noexcept {
  const auto& of = reinterpret_cast<const DpdkTracker&>(tracker);
  const std::uint32_t credits =
      impl_->credits[&of - impl_->trackers.get()].load(std::memory_order_relaxed);
  const std::uint32_t others = rte_mbuf_ext_refcnt_read(&of.info) - 1U - credits;
  // What the frames' readers did must not seem to happen after their memory was found free.
  std::atomic_thread_fence(std::memory_order_acquire);
  return others;
}

std::size_t DpdkPacketMemory::buffers_in_use() const noexcept {
  return in_use(impl_->rx) + in_use(impl_->frames) + in_use(impl_->reserve) +
         in_use(impl_->external);
}

std::uint64_t DpdkPacketMemory::reserve_taken() const noexcept {
  return impl_->reserve_taken.get();
}

}  // namespace pollux::platform
