// Takes received bursts apart. receive() is the hot path: a frame that is TCP in one segment goes
// through it without a call that is not inlined or needed; ARP, ICMP, VLAN tags and frames in
// pieces leave it for functions marked cold.
#include <bit>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/interface_impl.hpp"
#include "dataplane/net/ipv4_input.hpp"
#include "dataplane/net/ipv6_input.hpp"
#include "dataplane/net/tcp_datagram.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::net {
namespace {

constexpr std::size_t kPrefetchAhead = 4;
static_assert(kLongHeadBytes >= kHeadBytes);

}  // namespace

// The frame everybody waits for: IPv4 without options, its headers in one piece, whose sums the
// port has checked, with TCP inside. Reads the headers a word at a time. False: not such a frame,
// or something is wrong with it, which input() finds out and counts; nothing has changed then.
bool Interface::Impl::plain_tcp(TcpDatagram& datagram) noexcept {
  static_assert(std::endian::native == std::endian::little);
  constexpr unsigned kWanted = platform::kRxIpChecksumGood | platform::kRxL4ChecksumGood;
  constexpr unsigned kOdd =
      platform::kRxVlanStripped | platform::kRxIpChecksumBad | platform::kRxL4ChecksumBad;
  constexpr std::size_t kTcpAt = kEthernetHeaderBytes + kIpv4HeaderBytes;
  constexpr std::uint32_t kTcpHeaderBytes = 20;
  platform::RxSegment& segment = burst[next];
  if ((segment.flags & (kWanted | kOdd)) != kWanted || segment.length < kTcpAt + kTcpHeaderBytes)
    return false;
  const std::byte* at = segment.data;
  const auto word = [at]<class T>(std::size_t offset, T value) {
    std::memcpy(&value, at + offset, sizeof value);
    return value;
  };
  // Ether type, version and header length; fragment bits; protocol.
  const std::uint64_t middle = word(8, std::uint64_t{});
  const std::uint64_t ip = word(kEthernetHeaderBytes + 2, std::uint64_t{});
  if ((word(0, std::uint64_t{}) & 0xffff'ffff'ffff) != plain_mac ||
      (middle >> 32 & 0xff'ffff) != 0x45'0008 || (ip >> 32 & 0xff3f) != 0 ||
      ip >> 56 != wire::kProtocolTcp)
    return false;
  const std::uint32_t source = word(kEthernetHeaderBytes + 12, std::uint32_t{});
  const std::uint32_t destination = word(kEthernetHeaderBytes + 16, std::uint32_t{});
  if (byteswap(destination) != subnet.address) return false;
  if (source != plain_source) [[unlikely]] {
    if (!subnet.is_other_host(byteswap(source))) return false;
    plain_source = source;
  }
  const std::uint32_t total = byteswap(static_cast<std::uint16_t>(ip));
  const std::uint32_t header = std::to_integer<std::uint32_t>(at[kTcpAt + 12]) >> 4 << 2;
  const std::uint32_t payload_at = static_cast<std::uint32_t>(kTcpAt) + header;
  if (header < kTcpHeaderBytes || kIpv4HeaderBytes + header > total || payload_at > segment.length)
    return false;
  const std::size_t pieces = segments_of_frame(kEthernetHeaderBytes + total);
  if (pieces == 0) return false;
  datagram.source = IpAddress::from_v4_host(byteswap(source));
  datagram.destination = config.address;
  datagram.header = {at + kTcpAt, header};
  datagram.ecn = static_cast<std::uint8_t>(middle >> 56 & wire::kEcnMask);
  datagram.payload_bytes = static_cast<std::uint32_t>(total - kIpv4HeaderBytes - header);
  segment.data += payload_at;
  segment.length = pieces == 1 ? datagram.payload_bytes : segment.length - payload_at;
  datagram.payload = {&segment, pieces};
  if (segment.length == 0) {
    drop(segment.handle);
    datagram.payload = datagram.payload.subspan(1);
  }
  next += pieces;
  counters.rx_tcp.add();
  return true;
}

// How many segments the frame at `next` has, if it has `bytes` in all: padding that a single
// segment may have behind them would lie anywhere in several. 0: another length.
std::size_t Interface::Impl::segments_of_frame(std::size_t bytes) const noexcept {
  if ((burst[next].flags & platform::kRxMore) == 0) return burst[next].length >= bytes ? 1 : 0;
  std::size_t length = 0;
  std::size_t end = next;
  bool more = true;
  while (more && end < filled) {
    more = (burst[end].flags & platform::kRxMore) != 0;
    length += burst[end++].length;
  }
  return length == bytes ? end - next : 0;
}

// The port hands over whole frames; the bound is for a port that forgets to end the last one.
FrameView Interface::Impl::next_frame() noexcept {
  const std::size_t first = next;
  FrameView frame;
  bool more = true;
  while (more && next < filled) {
    frame.bytes += burst[next].length;
    more = (burst[next].flags & platform::kRxMore) != 0;
    ++next;
  }
  frame.segments = {burst.data() + first, next - first};
  frame.head = {burst[first].data, burst[first].length};
  if (frame.segments.size() > 1 && frame.head.size() < kHeadBytes) [[unlikely]]
    pull_up(frame, kHeadBytes);
  return frame;
}

[[gnu::cold]] void Interface::Impl::pull_up(FrameView& frame, std::size_t bytes) noexcept {
  const auto slot = static_cast<std::size_t>(frame.segments.data() - burst.data());
  const std::span<std::byte> out{scratch[slot].data(), std::min<std::size_t>(bytes, frame.bytes)};
  copy_frame_bytes(frame.segments, 0, out);
  frame.head = out;
  counters.rx_pulled_up.add();
}

// Takes the 802.1Q tag off, whether it lies in the frame or the port has taken it out. False: the
// frame is not for us. Which station it is for has been checked, so each counter tells of our VLAN.
[[gnu::cold]] bool Interface::Impl::take_tag(FrameView& frame, std::uint16_t& type) noexcept {
  const platform::RxSegment& first = frame.segments.front();
  std::uint16_t control = first.vlan;
  if ((first.flags & platform::kRxVlanStripped) == 0) {
    if (frame.bytes < kEthernetHeaderBytes + wire::kVlanTagBytes) {
      counters.drop_short_frame.add();
      return false;
    }
    control = load<wire::VlanTag>(frame.head.data() + wire::kVlanTagOffset).control.get();
    frame.l2_bytes += wire::kVlanTagBytes;
    type = load<Be16>(frame.head.data() + frame.l2_bytes - sizeof(Be16)).get();
  }
  // IEEE 802.1Q 9.6 c: VID 0 names no VLAN, such a tag carries the priority alone.
  const unsigned id = control & wire::kVlanIdMask;
  if (id != 0 && id != config.vlan_id) {
    counters.drop_vlan_other.add();
    return false;
  }
  counters.rx_vlan_tagged.add();
  return true;
}

// IEEE 802.3 3.2.3: a source is one station. What ICMP answers goes back there, and an answer to a
// group would be heard by everybody. TCP asks ARP or discovery instead.
[[gnu::cold]] bool Interface::Impl::from_station(const FrameView& frame) noexcept {
  const auto source = load<wire::EthernetHeader>(frame.head.data()).source;
  if (!wire::is_group_address(source) && source != wire::EthernetAddress{}) return true;
  counters.drop_source_mac.add();
  return false;
}

[[gnu::cold]] void Interface::Impl::arp_input(const FrameView& frame, Instant now) noexcept {
  if (!config.has_ipv4()) {
    counters.drop_ether_type.add();
    return;
  }
  if (frame.bytes < frame.l2_bytes + sizeof(wire::ArpPacket)) {
    counters.drop_short_frame.add();
    return;
  }
  arp.input(load<wire::ArpPacket>(frame.head.data() + frame.l2_bytes), is_copy(frame), now);
}

// As input(), for a frame whose ether type is IPv6.
bool Interface::Impl::ipv6_input(FrameView& frame, bool to_group, TcpDatagram& datagram,
                                 Instant now) noexcept {
  if (has_extension_headers(frame) && frame.segments.size() > 1 &&
      frame.head.size() < kLongHeadBytes) [[unlikely]]
    pull_up(frame, kLongHeadBytes);
  Ipv6Packet packet;
  switch (check_ipv6(frame, ipv6.addresses(), to_group, counters, packet)) {
    case Ipv6Verdict::tcp:
      return make_datagram(frame, packet, counters, datagram,
                           [this](void* handle) { drop(handle); });
    case Ipv6Verdict::icmp:
      if (from_station(frame)) ipv6.icmp_input(frame, packet, now);
      break;
    case Ipv6Verdict::drop:
      break;
  }
  drop(frame);
  return false;
}

// True: `datagram` is filled and owns what it needs of the frame. False: the frame is done with.
bool Interface::Impl::input(FrameView& frame, TcpDatagram& datagram, Instant now) noexcept {
  if (frame.bytes < kEthernetHeaderBytes) [[unlikely]] {
    counters.drop_short_frame.add();
    drop(frame);
    return false;
  }
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  const bool to_group = wire::is_group_address(ethernet.destination);
  std::uint16_t type = ethernet.ether_type.get();
  Ipv4Packet packet;
  Ipv4Verdict verdict = Ipv4Verdict::drop;
  const bool tagged = type == wire::kEtherTypeVlan ||
                      (frame.segments.front().flags & platform::kRxVlanStripped) != 0;
  if (ethernet.destination != mac && !to_group) [[unlikely]] {
    counters.drop_other_mac.add();
  } else if (!tagged && config.vlan_id != 0) [[unlikely]] {
    counters.drop_vlan_untagged.add();
  } else if (tagged && !take_tag(frame, type)) [[unlikely]] {
    // Counted there.
  } else if (type == wire::kEtherTypeIpv4 && config.has_ipv4()) [[likely]] {
    verdict = check_ipv4(frame, subnet, to_group, counters, packet);
  } else if (type == wire::kEtherTypeIpv6 && ipv6.enabled()) {
    return ipv6_input(frame, to_group, datagram, now);
  } else if (type == wire::kEtherTypeArp) {
    arp_input(frame, now);
  } else {
    counters.drop_ether_type.add();
  }
  if (verdict == Ipv4Verdict::tcp) [[likely]]
    return make_datagram(frame, packet, counters, datagram, [this](void* handle) { drop(handle); });
  if (verdict == Ipv4Verdict::icmp && from_station(frame)) icmp.input(frame, packet, now);
  drop(frame);
  return false;
}

std::size_t Interface::receive(Instant now, std::span<TcpDatagram> datagrams,
                               std::size_t& frames) noexcept {
  Impl& self = *impl_;
  self.release_dead();
  frames = 0;
  if (self.next == self.filled) {
    self.next = 0;
    self.filled = self.port.receive(self.burst);
    POLLUX_ASSERT(self.filled <= self.burst.size());
    for (std::size_t i = 0; i < std::min(kPrefetchAhead, self.filled); ++i)
      __builtin_prefetch(self.burst[i].data);
  }
  std::size_t count = 0;
  while (self.next < self.filled && count < datagrams.size()) {
    if (self.next + kPrefetchAhead < self.filled)
      __builtin_prefetch(self.burst[self.next + kPrefetchAhead].data);
    if (self.plain_tcp(datagrams[count])) [[likely]] {
      ++frames;
      ++count;
      continue;
    }
    FrameView frame = self.next_frame();
    ++frames;
    if (self.input(frame, datagrams[count], now)) ++count;
  }
  if (frames != 0) self.counters.rx_frames.add(frames);
  return count;
}

}  // namespace pollux::net
