// Bursts: chains of mbufs to arrays of segments and back. The port's life is in dpdk_port_life.cpp.

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/platform/dpdk_port_impl.hpp"

namespace pollux::platform {
namespace {

/// Segments of one frame whose lines are fetched ahead.
constexpr unsigned kPrefetchSegments = 6;
// One call of reclaim() frees at most this many frames.
constexpr std::uint32_t kReclaimFrames = 256;
// Fruitless reclaims in a row after which deferred frames are dropped: some milliseconds of a
// worker that polls, far longer than any driver that lives needs.
constexpr std::uint32_t kReclaimPatience = 65'536;

/// Both lines of an mbuf, to be written: convert() unlinks it and its release resets it. Asked for
/// by name, since compilers make a read of it for x86-64-v2; processors without it take it for
/// nothing.
void prefetch_mbuf(rte_mbuf* mbuf) noexcept {
  const auto* lines = reinterpret_cast<const std::byte*>(mbuf);
  asm volatile("prefetchw %0" ::"m"(lines[0]));
  asm volatile("prefetchw %0" ::"m"(lines[RTE_CACHE_LINE_MIN_SIZE]));
}

/// Another core may have written all of it: mbufs, the links between them and the headers they lead
/// to. Step by step over the whole burst, so that the lines of one step are on their way together.
void prefetch_frames(std::span<rte_mbuf* const> frames) noexcept {
  std::array<rte_mbuf*, DpdkPort::Impl::kBurst> at;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    at[i] = frames[i];
    prefetch_mbuf(at[i]);
  }
  std::size_t left = frames.size();
  for (unsigned step = 0; step < kPrefetchSegments && left != 0; ++step) {
    const std::size_t count = std::exchange(left, 0);
    for (std::size_t i = 0; i < count; ++i) {
      rte_prefetch0(rte_pktmbuf_mtod(at[i], void*));
      rte_mbuf* const next = at[i]->next;
      if (next == nullptr) continue;
      prefetch_mbuf(next);
      at[left++] = next;
    }
  }
}

DpdkPort::Impl::FrameSpan next_frame(std::span<const TxSegment> segments,
                                     std::size_t first) noexcept {
  DpdkPort::Impl::FrameSpan frame{.first = first};
  bool more = true;
  while (more) {
    // A frame that never ends, has an empty piece or no owner is our own mistake.
    POLLUX_ASSERT(first + frame.count < segments.size());
    const TxSegment& segment = segments[first + frame.count];
    POLLUX_ASSERT(segment.length > 0 &&
                  (segment.handle == nullptr) != (segment.tracker == nullptr));
    frame.bytes += segment.length;
    frame.has_external |= segment.tracker != nullptr;
    ++frame.count;
    more = (segment.flags & kTxMore) != 0;
  }
  return frame;
}

}  // namespace

// --- Receiving

std::uint16_t DpdkPort::Impl::rx_flags(std::uint64_t offload_flags) const noexcept {
  if (traits.plan.emulated_checksum) return kRxIpChecksumGood | kRxL4ChecksumGood;
  if (!traits.rx_checksum) return 0;
  std::uint16_t flags = 0;
  const std::uint64_t ip = offload_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const std::uint64_t l4 = offload_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD) flags |= kRxIpChecksumGood;
  if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD) flags |= kRxIpChecksumBad;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD) flags |= kRxL4ChecksumGood;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE && traits.rx_checksum_none_good) flags |= kRxL4ChecksumGood;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD) flags |= kRxL4ChecksumBad;
  return flags;
}

/// Takes a chain apart: each segment is from now on released on its own. Returns the elements used.
std::size_t DpdkPort::Impl::convert(rte_mbuf* frame, std::span<RxSegment> segments) noexcept {
  std::uint16_t flags = rx_flags(frame->ol_flags);
  const bool has_hash = (frame->ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0;
  const std::uint32_t rss_hash = has_hash ? frame->hash.rss : 0;
  if (has_hash) flags |= kRxHash;
  counters.rx_frames.add();
  counters.rx_bytes.add(rte_pktmbuf_pkt_len(frame));
  std::size_t used = 0;
  for (rte_mbuf* segment = frame; segment != nullptr;) {
    rte_mbuf* const next = segment->next;
    segment->next = nullptr;
    segment->nb_segs = 1;
    if (segment->data_len == 0) {
      rte_pktmbuf_free_seg(segment);
    } else {
      segments[used++] = {.data = rte_pktmbuf_mtod(segment, std::byte*),
                          .length = segment->data_len,
                          .flags = kRxMore,
                          .handle = segment};
    }
    segment = next;
  }
  if (used == 0) {
    counters.rx_dropped_empty.add();
    return 0;
  }
  segments[0].flags = static_cast<std::uint16_t>(segments[0].flags | flags);
  segments[0].rss_hash = rss_hash;
  segments[used - 1].flags = static_cast<std::uint16_t>(segments[used - 1].flags & ~kRxMore);
  return used;
}

std::size_t DpdkPort::Impl::receive(std::span<RxSegment> segments) noexcept {
  if (gone || resting) [[unlikely]]
    return 0;
  if (tx_waiting > 0) flush();
  if (rx_first == rx_end) {
    rx_first = 0;
    const auto most = static_cast<std::uint16_t>(std::min<std::size_t>(kBurst, segments.size()));
    rx_end = rte_eth_rx_burst(traits.id, queue, rx_waiting.data(), most);
    if (rx_end == 0) return 0;
    counters.rx_bursts.add();
    prefetch_frames(std::span(rx_waiting).first(rx_end));
  }
  std::size_t used = 0;
  while (rx_first < rx_end) {
    rte_mbuf* const frame = rx_waiting[rx_first];
    if (frame->nb_segs > segments.size()) {
      counters.rx_dropped_segments.add();
      rte_pktmbuf_free(frame);
      ++rx_first;
      continue;
    }
    if (frame->nb_segs > segments.size() - used) break;
    used += convert(frame, segments.subspan(used));
    ++rx_first;
  }
  counters.rx_segments.add(used);
  return used;
}

// --- Transmitting

void DpdkPort::Impl::count_sent(std::span<rte_mbuf* const> frames, std::uint16_t sent,
                                std::uint64_t bytes, std::uint64_t pieces) noexcept {
  // Frames that were taken may be the peer's by now: what was summed before holds, the rest is
  // still ours.
  for (std::size_t i = sent; i < frames.size(); ++i) {
    bytes -= rte_pktmbuf_pkt_len(frames[i]);
    pieces -= frames[i]->nb_segs;
  }
  counters.tx_segments.add(pieces);
  counters.tx_frames.add(sent);
  counters.tx_bytes.add(bytes);
  counters.tx_bursts.add();
}

/// Hands the first `count` of tx_frames to the driver. What it refuses stays, at the front. Returns
/// whether nothing was refused.
bool DpdkPort::Impl::send(std::size_t count) noexcept {
  const std::span<rte_mbuf*> frames{tx_frames.data(), count};
  std::uint64_t bytes = 0;
  std::uint64_t pieces = 0;
  for (const rte_mbuf* frame : frames) {
    bytes += rte_pktmbuf_pkt_len(frame);
    pieces += frame->nb_segs;
  }
  const std::uint16_t sent =
      rte_eth_tx_burst(traits.id, queue, frames.data(), static_cast<std::uint16_t>(count));
  count_sent(frames, sent, bytes, pieces);
  if (sent > 0) fruitless_reclaims = 0;
  std::move(frames.begin() + sent, frames.end(), frames.begin());
  tx_waiting = static_cast<std::uint16_t>(count - sent);
  return tx_waiting == 0;
}

bool DpdkPort::Impl::flush() noexcept { return tx_waiting == 0 || send(tx_waiting); }

/// Lets the driver check and complete the first `count` of tx_frames; drops what it refuses for
/// good.
std::size_t DpdkPort::Impl::prepare(std::size_t count) noexcept {
  std::size_t good = 0;
  while (good < count) {
    good += rte_eth_tx_prepare(traits.id, queue, tx_frames.data() + good,
                               static_cast<std::uint16_t>(count - good));
    if (good == count) break;
    counters.tx_dropped_refused.add();
    rte_pktmbuf_free(tx_frames[good]);
    std::move(tx_frames.begin() + good + 1, tx_frames.begin() + count, tx_frames.begin() + good);
    --count;
  }
  return count;
}

void DpdkPort::Impl::discard(std::span<const TxSegment> segments) noexcept {
  for (const TxSegment& segment : segments) {
    if (segment.handle != nullptr) memory.release({&segment.handle, 1});
  }
}

/// Decides what becomes of one frame before anything is taken for it.
void DpdkPort::Impl::check_frame(FrameSpan& frame, const TxSegment& head) const noexcept {
  if (head.tso_segment_bytes != 0) {
    POLLUX_ASSERT(frame.count <= traits.info.tso_segments_max);
    POLLUX_ASSERT(!frame.has_external || traits.info.tx_external);
    const std::uint32_t headers = head.l2_length + head.l3_length + head.l4_length;
    frame.drop = frame.bytes > traits.info.tso_bytes_max + headers;
    return;
  }
  POLLUX_ASSERT(frame.count <= traits.info.tx_segments_max);
  frame.flatten =
      frame.count > traits.plan.chain_most || (frame.has_external && !traits.info.tx_external);
  frame.drop =
      frame.bytes > traits.tx_bytes_most || (frame.flatten && frame.bytes > pools.frame_bytes);
}

/// Finds the frames of the next burst. Returns how many.
std::size_t DpdkPort::Impl::plan(std::span<const TxSegment> segments, std::size_t first) noexcept {
  std::size_t count = 0;
  while (first < segments.size() && count < kBurst) {
    FrameSpan& frame = tx_spans[count++];
    frame = next_frame(segments, first);
    check_frame(frame, segments[first]);
    first += frame.count;
  }
  return count;
}

/// Gets the headers that the external segments of one frame are attached to.
bool DpdkPort::Impl::take_external(std::span<const TxSegment> segments) noexcept {
  const auto needed = static_cast<unsigned>(
      std::count_if(segments.begin(), segments.end(),
                    [](const TxSegment& segment) { return segment.tracker != nullptr; }));
  external_first = 0;
  return needed == 0 || rte_pktmbuf_alloc_bulk(pools.external.get(), external.data(), needed) == 0;
}

void DpdkPort::Impl::set_offloads(rte_mbuf* frame, const TxSegment& head) const noexcept {
  if (traits.plan.emulated_checksum || (head.flags & (kTxIpChecksum | kTxL4Checksum)) == 0) return;
  frame->l2_len = head.l2_length & 0x7fU;
  frame->l3_len = head.l3_length & 0x1ffU;
  frame->l4_len = head.l4_length;
  frame->ol_flags |= (head.flags & kTxIpv6) != 0 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
  if ((head.flags & kTxIpChecksum) != 0) frame->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
  if (head.tso_segment_bytes != 0) {
    frame->tso_segsz = head.tso_segment_bytes;
    frame->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
  }
  if ((head.flags & kTxL4Checksum) != 0) frame->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
}

rte_mbuf* DpdkPort::Impl::build(std::span<const TxSegment> segments) noexcept {
  rte_mbuf* frame = nullptr;
  rte_mbuf* last = nullptr;
  std::uint32_t bytes = 0;
  for (const TxSegment& segment : segments) {
    auto* mbuf = static_cast<rte_mbuf*>(segment.handle);
    const auto length = static_cast<std::uint16_t>(segment.length);
    if (mbuf == nullptr) {
      mbuf = external[external_first++];
      auto* data = const_cast<std::byte*>(segment.data);
      rte_mbuf_ext_shared_info* info = pools.take_reference(segment.tracker);
      // Registered memory is mapped at its virtual address (iova-mode=va).
      rte_pktmbuf_attach_extbuf(mbuf, data, reinterpret_cast<std::uintptr_t>(data), length, info);
    } else {
      const std::ptrdiff_t offset = segment.data - static_cast<const std::byte*>(mbuf->buf_addr);
      POLLUX_ASSERT(offset >= 0 && offset + segment.length <= mbuf->buf_len);
      mbuf->data_off = static_cast<std::uint16_t>(offset);
      mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
    }
    mbuf->data_len = length;
    bytes += length;
    if (frame == nullptr) {
      frame = mbuf;
    } else {
      last->next = mbuf;
    }
    last = mbuf;
  }
  last->next = nullptr;
  frame->nb_segs = static_cast<std::uint16_t>(segments.size());
  frame->pkt_len = bytes;
  set_offloads(frame, segments.front());
  return frame;
}

/// The whole frame in one buffer, for drivers that cannot chain. nullptr: no buffer, nothing
/// happened.
rte_mbuf* DpdkPort::Impl::build_flat(std::span<const TxSegment> segments,
                                     std::uint32_t bytes) noexcept {
  rte_mbuf* flat = rte_pktmbuf_alloc(pools.frames.get());
  if (flat == nullptr) return nullptr;
  auto* to = rte_pktmbuf_mtod(flat, std::byte*);
  for (const TxSegment& segment : segments) {
    std::memcpy(to, segment.data, segment.length);
    to += segment.length;
  }
  flat->data_len = static_cast<std::uint16_t>(bytes);
  flat->pkt_len = bytes;
  set_offloads(flat, segments.front());
  discard(segments);
  counters.tx_linearised.add();
  counters.tx_linearised_bytes.add(bytes);
  return flat;
}

std::size_t DpdkPort::Impl::transmit(std::span<const TxSegment> segments) noexcept {
  if (gone || resting) [[unlikely]]
    return 0;
  std::size_t taken = 0;
  bool starved = false;
  // A frame leaves the caller only after the driver has everything built before it: at most one
  // burst is ever deferred.
  while (flush() && taken < segments.size() && !starved) {
    const std::size_t planned = plan(segments, taken);
    std::size_t built = 0;
    for (std::size_t i = 0; i < planned && !starved; ++i) {
      const FrameSpan& span = tx_spans[i];
      const auto pieces = segments.subspan(span.first, span.count);
      if (span.drop) {
        counters.tx_dropped_oversize.add();
        discard(pieces);
      } else if (span.flatten) {
        rte_mbuf* const frame = build_flat(pieces, span.bytes);
        starved = frame == nullptr;
        if (!starved) tx_frames[built++] = frame;
      } else {
        starved = !take_external(pieces);
        if (!starved) tx_frames[built++] = build(pieces);
        if (!starved && pieces.front().tso_segment_bytes != 0) counters.tx_large.add();
      }
      if (!starved) taken += span.count;
    }
    if (starved) counters.tx_no_buffer.add();
    if (traits.plan.prepare) built = prepare(built);
    if (built > 0 && !send(built)) counters.tx_deferred.add(tx_waiting);
  }
  return taken;
}

void DpdkPort::Impl::reclaim() noexcept {
  if (gone || resting) return;
  if (!flush() && ++fruitless_reclaims >= kReclaimPatience) {
    rte_pktmbuf_free_bulk(tx_frames.data(), tx_waiting);
    counters.tx_dropped_stuck.add(tx_waiting);
    tx_waiting = 0;
    fruitless_reclaims = 0;
  }
  if (rte_eth_tx_done_cleanup(traits.id, queue, kReclaimFrames) != -ENOTSUP) return;
  // mlx5 looks at its completions when asked for a descriptor; others free in an empty burst.
  static_cast<void>(rte_eth_tx_descriptor_status(traits.id, queue, 0));
  static_cast<void>(rte_eth_tx_burst(traits.id, queue, tx_frames.data(), 0));
}

// --- The face

std::size_t DpdkPort::receive(std::span<RxSegment> segments) noexcept {
  return impl_->receive(segments);
}

std::size_t DpdkPort::transmit(std::span<const TxSegment> segments) noexcept {
  return impl_->transmit(segments);
}

void DpdkPort::reclaim() noexcept { impl_->reclaim(); }

}  // namespace pollux::platform
