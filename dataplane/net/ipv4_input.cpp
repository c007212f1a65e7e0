#include "dataplane/net/ipv4_input.hpp"

#include "dataplane/wire/checksum.hpp"

namespace pollux::net {

namespace {

constexpr std::uint32_t kLimitedBroadcast = 0xffff'ffff;
constexpr std::uint32_t kMulticastFirst = 0xe000'0000;  // 224/4, with the reserved 240/4 behind it

constexpr std::uint32_t mask_of(unsigned prefix_length) noexcept {
  return prefix_length == 0 ? 0 : kLimitedBroadcast << (32 - prefix_length);
}

Ipv4Verdict drop(Counter& counter) noexcept {
  counter.add();
  return Ipv4Verdict::drop;
}

}  // namespace

Ipv4Subnet::Ipv4Subnet(const InterfaceConfig& config) noexcept
    : address(config.address.v4_host()),
      mask(mask_of(config.prefix_length)),
      broadcast(config.prefix_length >= 31 ? kLimitedBroadcast : (address | ~mask)) {}

bool Ipv4Subnet::is_group(std::uint32_t host) const noexcept {
  return host == kLimitedBroadcast || host == broadcast || (host & 0xf000'0000) == kMulticastFirst;
}

bool Ipv4Subnet::is_other_host(std::uint32_t host) const noexcept {
  return host < kMulticastFirst && host != broadcast && host >> 24 != 0 && host >> 24 != 127 &&
         host != address;
}

Ipv4Verdict check_ipv4(const FrameView& frame, const Ipv4Subnet& subnet, bool to_group,
                       Counters& counters, Ipv4Packet& packet) noexcept {
  if (frame.bytes < kEthernetHeaderBytes + kIpv4HeaderBytes) return drop(counters.drop_short_frame);
  const auto room = static_cast<std::uint32_t>(frame.bytes - kEthernetHeaderBytes);
  const auto ip = load<wire::Ipv4Header>(frame.head.data() + kEthernetHeaderBytes);
  if (ip.version() != 4) [[unlikely]]
    return drop(counters.drop_ip_version);
  const std::uint32_t header = ip.header_bytes();
  if (header < kIpv4HeaderBytes || header > room) [[unlikely]]
    return drop(counters.drop_ip_header_length);
  const std::uint32_t total = ip.total_length.get();
  if (total < header || total > room) [[unlikely]]
    return drop(counters.drop_ip_length);
  // RFC 1122 3.2.1.2: verified for every packet, by the port or here.
  const unsigned flags = frame.segments.front().flags;
  if ((flags & platform::kRxIpChecksumGood) == 0) {
    wire::InternetSum sum;
    sum.add(frame.head.subspan(kEthernetHeaderBytes, header));
    if ((flags & platform::kRxIpChecksumBad) != 0 || !sum.verifies())
      return drop(counters.drop_ip_checksum);
  }
  const std::uint32_t destination = ip.destination.get();
  if (destination != subnet.address) [[unlikely]]
    return drop(subnet.is_group(destination) ? counters.drop_ip_broadcast
                                             : counters.drop_ip_destination);
  // RFC 1122 3.3.6: unicast inside a link-layer broadcast is discarded.
  if (to_group) [[unlikely]]
    return drop(counters.drop_ip_broadcast);
  // RFC 1122 3.2.1.3, RFC 9293 MUST-57.
  if (!subnet.is_other_host(ip.source.get())) [[unlikely]]
    return drop(counters.drop_ip_source);
  if (ip.is_fragment()) [[unlikely]]
    return drop(counters.drop_ip_fragment);
  if (header != kIpv4HeaderBytes) [[unlikely]]
    counters.rx_ip_options.add();
  packet = {ip, static_cast<std::uint32_t>(kEthernetHeaderBytes) + header,
            static_cast<std::uint32_t>(kEthernetHeaderBytes) + total};
  if (ip.protocol == wire::kProtocolTcp) [[likely]]
    return Ipv4Verdict::tcp;
  if (ip.protocol == wire::kProtocolIcmp) return Ipv4Verdict::icmp;
  return drop(counters.drop_ip_protocol);
}

std::uint32_t tcp_header_bytes(const FrameView& frame, const Ipv4Packet& packet) noexcept {
  constexpr std::uint32_t kTcpHeaderBytes = 20;
  constexpr std::size_t kDataOffset = 12;
  const std::uint32_t length = packet.end - packet.payload;
  if (length < kTcpHeaderBytes) return 0;
  const auto field = std::to_integer<std::uint32_t>(frame.head[packet.payload + kDataOffset]);
  const std::uint32_t header = (field >> 4) * 4;
  return header >= kTcpHeaderBytes && header <= length ? header : 0;
}

bool tcp_checksum_right(const TcpDatagram& datagram, const Ipv4Packet& packet) noexcept {
  auto sum = wire::InternetSum::pseudo_header(
      packet.header.source, packet.header.destination, wire::kProtocolTcp,
      static_cast<std::uint16_t>(packet.end - packet.payload));
  sum.add(datagram.header);
  for (const platform::RxSegment& segment : datagram.payload)
    sum.add({segment.data, segment.length});
  return sum.verifies();
}

}  // namespace pollux::net
