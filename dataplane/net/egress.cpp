#include "dataplane/net/egress.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::net {

namespace {

constexpr std::size_t kIpChecksumOffset = kEthernetHeaderBytes + 10;
constexpr std::size_t kTcpChecksumOffset = 16;

std::span<const std::byte> bytes_of(const platform::TxSegment& segment) noexcept {
  return {segment.data, segment.length};
}

constexpr unsigned kTxMore = platform::kTxMore;

/// Field by field: a copy in wide words would wait for the fields, which were written just before.
void put_segment(platform::TxSegment& out, const platform::TxSegment& in, unsigned set) noexcept {
  // Names them all, so that none can be forgotten here when one is added.
  const auto& [data, length, flags, l2_length, l3_length, l4_length, vlan, tso_segment_bytes,
               handle, tracker] = in;
  out.data = data;
  out.length = length;
  out.flags = static_cast<std::uint16_t>((flags & ~kTxMore) | set);
  out.l2_length = l2_length;
  out.l3_length = l3_length;
  out.l4_length = l4_length;
  out.vlan = vlan;
  out.tso_segment_bytes = tso_segment_bytes;
  out.handle = handle;
  out.tracker = tracker;
}

}  // namespace

Egress::Egress(platform::Port& port, platform::PacketMemory& memory, Counters& counters,
               const InterfaceConfig& config)
    : port_(port),
      info_(port.info()),
      memory_(memory),
      counters_(counters),
      tagged_(config.tagged()),
      tag_control_(wire::vlan_control(config.priority, config.vlan_id)),
      tag_room_(tagged_ && !port.info().tx_vlan_insert ? wire::kVlanTagBytes : 0),
      queue_(new platform::TxSegment[kQueueSegments]) {}

Egress::~Egress() {
  for (std::size_t i = head_; i < tail_; ++i)
    if (queue_[i].handle != nullptr) memory_.release({&queue_[i].handle, 1});
  for (std::size_t i = 0; i < cached_; ++i) memory_.release({&cache_[i].handle, 1});
}

/// Room for a VLAN tag in front, when one has to be put in here.
void Egress::reserve_tag(platform::FrameBuffer& buffer) const noexcept {
  buffer.data += tag_room_;
  buffer.capacity -= tag_room_;
}

void Egress::refill() noexcept {
  cached_ = memory_.allocate(cache_);
  for (std::size_t i = 0; i < cached_; ++i) reserve_tag(cache_[i]);
}

platform::FrameBuffer Egress::take_buffer(platform::Urgency urgency) noexcept {
  if (cached_ == 0) [[unlikely]]
    refill();
  if (cached_ == 0) [[unlikely]] {
    if (urgency == platform::Urgency::reserve) {
      platform::FrameBuffer buffer = memory_.allocate_reserved();
      if (buffer.data != nullptr) {
        reserve_tag(buffer);
        return buffer;
      }
    }
    counters_.buffers_missing.add();
    return {};
  }
  return cache_[--cached_];
}

// IEEE 802.1Q 9.4: between the source address and the ether type. The addresses move into the room
// that take_buffer() has left, so that nothing behind them does.
void Egress::put_tag(platform::TxSegment& first) noexcept {
  if (tag_room_ == 0) {
    first.flags = static_cast<std::uint16_t>(first.flags | platform::kTxVlan);
    first.vlan = tag_control_;
    return;
  }
  // The head of a frame is always a buffer of take_buffer(), so it is ours to write.
  auto* head = const_cast<std::byte*>(first.data);
  std::memmove(head - wire::kVlanTagBytes, head, wire::kVlanTagOffset);
  head -= wire::kVlanTagBytes;
  wire::VlanTag tag;
  tag.control.set(tag_control_);
  store(head + wire::kVlanTagOffset, tag);
  first.data = head;
  first.length += wire::kVlanTagBytes;
  if (first.l2_length != 0)
    first.l2_length = static_cast<std::uint8_t>(first.l2_length + wire::kVlanTagBytes);
}

void Egress::give_back(const platform::FrameBuffer& buffer) noexcept {
  if (cached_ < cache_.size()) {
    cache_[cached_++] = buffer;
    return;
  }
  void* handle = buffer.handle;
  memory_.release({&handle, 1});
}

void Egress::make_room(std::size_t segments) noexcept {
  if (tail_ + segments <= kQueueSegments) [[likely]]
    return;
  std::copy(queue_.get() + head_, queue_.get() + tail_, queue_.get());
  tail_ -= head_;
  head_ = 0;
}

void Egress::send(std::span<platform::TxSegment> frame) noexcept {
  POLLUX_ASSERT(!frame.empty() && can_send(frame.size()));
  if (tagged_) put_tag(frame.front());
  make_room(frame.size());
  for (platform::TxSegment& segment : frame) {
    const unsigned more = &segment != &frame.back() ? unsigned{platform::kTxMore} : 0u;
    segment.flags =
        static_cast<std::uint16_t>((segment.flags & ~unsigned{platform::kTxMore}) | more);
    queue_[tail_++] = segment;
  }
  counters_.tx_frames.add();
}

void Egress::send_tcp(std::span<platform::TxSegment> frame, std::size_t tcp_header_bytes) noexcept {
  platform::TxSegment& first = frame.front();
  // The head of a frame is always a buffer of take_buffer(), so it is ours to write.
  auto* head = const_cast<std::byte*>(first.data);
  const bool is_v4 = std::to_integer<unsigned>(head[kEthernetHeaderBytes]) >> 4 == 4;
  const std::size_t ip_bytes = is_v4 ? kIpv4HeaderBytes : kIpv6HeaderBytes;
  const std::size_t tcp_at = kEthernetHeaderBytes + ip_bytes;
  POLLUX_ASSERT(tcp_header_bytes >= 20 && tcp_header_bytes <= 60);
  POLLUX_ASSERT(first.length >= tcp_at + tcp_header_bytes);
  const platform::PortInfo& info = info_;
  // A port that cuts the segment adds the length of each part by itself.
  const bool is_large = first.tso_segment_bytes != 0;
  POLLUX_ASSERT(!is_large || info.tx_l4_checksum);
  unsigned flags = 0;
  wire::InternetSum sum;
  if (is_v4) {
    const std::byte* ip = head + kEthernetHeaderBytes;
    if (info.tx_ip_checksum) {
      flags |= platform::kTxIpChecksum;
    } else {
      wire::InternetSum ip_sum;
      ip_sum.add({head + kEthernetHeaderBytes, kIpv4HeaderBytes});
      store(head + kIpChecksumOffset, ip_sum.checksum());
    }
    // Each as it was written: a load of the whole header would wait for its parts.
    const std::size_t total = load<Be16>(ip + offsetof(wire::Ipv4Header, total_length)).get();
    sum = wire::InternetSum::pseudo_header(
        load<Be32>(ip + offsetof(wire::Ipv4Header, source)),
        load<Be32>(ip + offsetof(wire::Ipv4Header, destination)), wire::kProtocolTcp,
        static_cast<std::uint16_t>(is_large ? 0 : total - kIpv4HeaderBytes));
  } else {
    const auto ip = load<wire::Ipv6Header>(head + kEthernetHeaderBytes);
    flags |= platform::kTxIpv6;
    sum = wire::ipv6_pseudo_header(ip.source, ip.destination, wire::kNextTcp,
                                   is_large ? 0 : ip.payload_length.get());
  }
  if (info.tx_l4_checksum) {
    flags |= platform::kTxL4Checksum;
    store(head + tcp_at + kTcpChecksumOffset, Be16(sum.folded()));
  } else {
    sum.add(bytes_of(first).subspan(tcp_at));
    for (const platform::TxSegment& segment : frame.subspan(1)) sum.add(bytes_of(segment));
    store(head + tcp_at + kTcpChecksumOffset, sum.checksum());
    counters_.tx_software_checksums.add();
  }
  if (tagged_) {
    first.flags = static_cast<std::uint16_t>(flags);
    first.l2_length = kEthernetHeaderBytes;
    first.l3_length = static_cast<std::uint8_t>(ip_bytes);
    first.l4_length = static_cast<std::uint8_t>(tcp_header_bytes);
    return send(frame);
  }
  make_room(frame.size());
  platform::TxSegment* out = &queue_[tail_];
  for (const platform::TxSegment& segment : frame)
    put_segment(queue_[tail_++], segment, &segment != &frame.back() ? kTxMore : 0u);
  out->flags = static_cast<std::uint16_t>(flags | (frame.size() > 1 ? kTxMore : 0u));
  out->l2_length = kEthernetHeaderBytes;
  out->l3_length = static_cast<std::uint8_t>(ip_bytes);
  out->l4_length = static_cast<std::uint8_t>(tcp_header_bytes);
  counters_.tx_frames.add();
}

void Egress::drop_queued() noexcept {
  for (; head_ < tail_; ++head_) {
    if (queue_[head_].handle != nullptr) memory_.release({&queue_[head_].handle, 1});
    counters_.tx_dropped_no_link.add();
  }
  head_ = tail_ = 0;
  counters_.buffers_cached.set(cached_);
}

std::size_t Egress::flush() noexcept {
  counters_.buffers_cached.set(cached_);
  const std::size_t offered = queued();
  if (offered == 0) return 0;
  head_ += port_.transmit({queue_.get() + head_, offered});
  if (head_ < tail_) [[unlikely]] {
    // A full ring is often full of frames that have left: poke the driver once, then give up for
    // now.
    port_.reclaim();
    head_ += port_.transmit({queue_.get() + head_, queued()});
  }
  POLLUX_ASSERT(head_ <= tail_);
  const std::size_t taken = offered - queued();
  counters_.tx_segments.add(taken);
  if (head_ == tail_)
    head_ = tail_ = 0;
  else
    counters_.tx_partial.add();
  return taken;
}

}  // namespace pollux::net
