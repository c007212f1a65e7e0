#include "dataplane/net/ipv6_input.hpp"

namespace pollux::net {

namespace {

constexpr std::uint32_t kExtensionUnit = 8;  // RFC 8200 4.2: lengths count in these

Ipv6Verdict drop(Counter& counter) noexcept {
  counter.add();
  return Ipv6Verdict::drop;
}

std::uint8_t byte_at(const FrameView& frame, std::uint32_t at) noexcept {
  return std::to_integer<std::uint8_t>(frame.head[at]);
}

/// RFC 8200 4.2: an option that we do not know is skipped when the upper two bits of its type are
/// zero; otherwise the packet is discarded. False: discard, or the options run over the end.
bool options_skippable(const FrameView& frame, std::uint32_t at, std::uint32_t end) noexcept {
  constexpr std::uint8_t kPad1 = 0;
  constexpr std::uint8_t kActionMask = 0xc0;
  while (at < end) {
    const std::uint8_t type = byte_at(frame, at);
    if (type == kPad1) {
      ++at;
      continue;
    }
    if ((type & kActionMask) != 0 || at + 2 > end) return false;
    at += 2u + byte_at(frame, at + 1);
  }
  return at == end;
}

/// Moves `at` and `next` over the extension headers. nullptr, or the counter of what is wrong.
Counter* walk_extensions(const FrameView& frame, std::uint32_t end, Counters& counters,
                         std::uint32_t& at, std::uint8_t& next) noexcept {
  const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(end, frame.head.size()));
  for (unsigned count = 0;; ++count) {
    if (next == wire::kNextFragment) return &counters.drop_ip6_fragment;
    const bool is_options = next == wire::kNextHopByHop || next == wire::kNextDestinationOptions;
    if (!is_options && next != wire::kNextRouting) return nullptr;
    // RFC 8200 4.1: Hop-by-Hop Options only right behind the IPv6 header.
    if (next == wire::kNextHopByHop && count != 0) return &counters.drop_ip6_extension;
    if (count == kExtensionHeadersMax || at + kExtensionUnit > room)
      return &counters.drop_ip6_extension;
    const std::uint32_t length = (byte_at(frame, at + 1) + 1u) * kExtensionUnit;
    if (at + length > room) return &counters.drop_ip6_extension;
    if (is_options && !options_skippable(frame, at + 2, at + length))
      return &counters.drop_ip6_option;
    // RFC 8200 4.4, RFC 5095: a host forwards nothing, so no segment may be left.
    if (next == wire::kNextRouting && byte_at(frame, at + 3) != 0)
      return &counters.drop_ip6_routing;
    next = byte_at(frame, at);
    at += length;
  }
}

}  // namespace

bool has_extension_headers(const FrameView& frame) noexcept {
  const std::size_t at = frame.l2_bytes + offsetof(wire::Ipv6Header, next_header);
  return at < frame.head.size() && std::to_integer<std::uint8_t>(frame.head[at]) != wire::kNextTcp;
}

Ipv6Verdict check_ipv6(const FrameView& frame, const Ipv6Addresses& addresses, bool to_group,
                       Counters& counters, Ipv6Packet& packet) noexcept {
  if (frame.bytes < frame.l2_bytes + kIpv6HeaderBytes) return drop(counters.drop_short_frame);
  const auto ip = load<wire::Ipv6Header>(frame.head.data() + frame.l2_bytes);
  if (ip.version() != wire::Ipv6Header::kVersion) [[unlikely]]
    return drop(counters.drop_ip6_version);
  auto at = static_cast<std::uint32_t>(frame.l2_bytes + kIpv6HeaderBytes);
  const std::uint32_t end = at + ip.payload_length.get();
  if (end > frame.bytes) [[unlikely]]
    return drop(counters.drop_ip6_length);
  // RFC 4291 2.7: no multicast address is a source. Loopback and mapped ones never leave a host.
  if (wire::is_ipv6_multicast(ip.source) || wire::is_ipv6_loopback(ip.source) ||
      wire::is_ipv4_mapped(ip.source)) [[unlikely]]
    return drop(counters.drop_ip6_source);
  const bool multicast = wire::is_ipv6_multicast(ip.destination);
  if (multicast ? !addresses.is_member(ip.destination) : !addresses.is_ours(ip.destination))
      [[unlikely]]
    return drop(counters.drop_ip6_destination);
  if (to_group && !multicast) [[unlikely]]
    return drop(counters.drop_ip6_broadcast);
  std::uint8_t next = ip.next_header;
  if (next != wire::kNextTcp) [[unlikely]]
    if (Counter* wrong = walk_extensions(frame, end, counters, at, next)) return drop(*wrong);
  packet = {ip, at, end};
  if (next == wire::kNextIcmpv6) return Ipv6Verdict::icmp;
  if (next != wire::kNextTcp) return drop(counters.drop_ip6_next_header);
  // RFC 9293 MUST-57 and MUST-58: neither a group nor ourselves nor nobody speaks TCP with us.
  if (multicast) [[unlikely]]
    return drop(counters.drop_ip6_broadcast);
  if (wire::is_ipv6_unspecified(ip.source) || addresses.is_ours(ip.source)) [[unlikely]]
    return drop(counters.drop_ip6_source);
  return Ipv6Verdict::tcp;
}

}  // namespace pollux::net
