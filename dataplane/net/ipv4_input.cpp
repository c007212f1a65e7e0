#include "dataplane/net/ipv4_input.hpp"

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
  if (frame.bytes < frame.l2_bytes + kIpv4HeaderBytes) return drop(counters.drop_short_frame);
  const std::uint32_t room = frame.bytes - frame.l2_bytes;
  const auto ip = load<wire::Ipv4Header>(frame.head.data() + frame.l2_bytes);
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
    sum.add(frame.head.subspan(frame.l2_bytes, header));
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
  packet = {ip, frame.l2_bytes + header, frame.l2_bytes + total};
  if (ip.protocol == wire::kProtocolTcp) [[likely]]
    return Ipv4Verdict::tcp;
  if (ip.protocol == wire::kProtocolIcmp) return Ipv4Verdict::icmp;
  return drop(counters.drop_ip_protocol);
}

}  // namespace pollux::net
