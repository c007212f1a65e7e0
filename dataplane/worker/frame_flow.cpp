// Read first: RFC 826, RFC 791, RFC 792, RFC 8200 section 3, RFC 4443 section 2.1, RFC 4861
// section 4, IEEE 802.1Q.
#include "dataplane/worker/frame_flow.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/tcp.hpp"

namespace pollux::worker {
namespace {

constexpr std::uint16_t kEtherTypeVlan = 0x8100;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr std::size_t kTagBytes = 4;
constexpr std::size_t kIpv6Bytes = 40;
constexpr std::size_t kIcmpBytes = 8;
constexpr std::uint8_t kProtocolIcmpV6 = 58;
constexpr std::size_t kPortsBytes = 4;
constexpr std::size_t kTcpFlagsOffset = offsetof(wire::TcpHeader, flags);

using Bytes = std::span<const std::byte>;
using Address = std::array<std::uint8_t, 16>;

std::uint8_t byte_at(Bytes bytes, std::size_t at) noexcept {
  return std::to_integer<std::uint8_t>(bytes[at]);
}
std::uint16_t word_at(Bytes bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

Address mapped(const std::byte* v4) noexcept {
  Address address{};
  address[10] = address[11] = 0xff;
  std::memcpy(address.data() + 12, v4, 4);
  return address;
}

/// An IP header's fields that matter here.
struct IpHeader {
  Address source;
  Address destination;
  std::uint8_t protocol = 0;
  std::size_t bytes = 0;  ///< 0: not one that carries a whole upper header
  bool has_options = false;
};

IpHeader ip_v4(Bytes packet) noexcept {
  IpHeader ip;
  if (packet.size() < sizeof(wire::Ipv4Header)) return ip;
  const auto header = load<wire::Ipv4Header>(packet.data());
  if (header.version() != 4 || header.header_bytes() < sizeof(header) || header.is_fragment())
    return ip;
  ip.source = mapped(packet.data() + offsetof(wire::Ipv4Header, source));
  ip.destination = mapped(packet.data() + offsetof(wire::Ipv4Header, destination));
  ip.protocol = header.protocol;
  ip.bytes = header.header_bytes();
  ip.has_options = ip.bytes != sizeof(header);
  return ip;
}

/// Extension headers are not followed: no peer of ours has a reason to send them with TCP.
IpHeader ip_v6(Bytes packet) noexcept {
  IpHeader ip;
  if (packet.size() < kIpv6Bytes || byte_at(packet, 0) >> 4 != 6) return ip;
  std::memcpy(ip.source.data(), packet.data() + 8, 16);
  std::memcpy(ip.destination.data(), packet.data() + 24, 16);
  ip.protocol = byte_at(packet, 6);
  ip.bytes = kIpv6Bytes;
  return ip;
}

void classify_arp(Bytes packet, FrameFlow& flow) noexcept {
  if (packet.size() < sizeof(wire::ArpPacket)) return;
  const auto arp = load<wire::ArpPacket>(packet.data());
  // A request is answered once, by whoever has it; an announcement (RFC 5227 3) is for everybody.
  if (arp.op.get() == wire::ArpPacket::kReply || arp.spa.get() == arp.tpa.get())
    flow.kind = FrameKind::notice;
  else if (arp.op.get() == wire::ArpPacket::kRequest)
    flow.kind = FrameKind::question;
}

/// The packet inside an ICMP error is one that we sent: source and destination change places.
void classify_error(Bytes inner, bool is_v6, FrameFlow& flow) noexcept {
  const IpHeader ip = is_v6 ? ip_v6(inner) : ip_v4(inner);
  if (ip.bytes == 0 || ip.protocol != wire::kProtocolTcp || inner.size() < ip.bytes + kPortsBytes)
    return;
  flow.kind = FrameKind::error;
  flow.tuple.remote = ip.destination;
  flow.tuple.local = ip.source;
  flow.tuple.remote_port = word_at(inner, ip.bytes + 2);
  flow.tuple.local_port = word_at(inner, ip.bytes);
}

bool is_error_v4(std::uint8_t type) noexcept {
  // RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem.
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

void classify_icmp(Bytes icmp, bool is_v6, FrameFlow& flow) noexcept {
  if (icmp.size() < kIcmpBytes) return;
  const std::uint8_t type = byte_at(icmp, 0);
  // RFC 4861 4.2, 4.4, 4.5: router and neighbour advertisements, redirect.
  if (is_v6 && (type == 134 || type == 136 || type == 137)) {
    flow.kind = FrameKind::notice;
  } else if (is_v6 && type == 135) {
    flow.kind = FrameKind::question;  // RFC 4861 4.3
  } else if (is_v6 ? type >= 1 && type <= 4 : is_error_v4(type)) {
    classify_error(icmp.subspan(kIcmpBytes), is_v6, flow);
  }
}

}  // namespace

void classify(std::span<const std::byte> head, FrameFlow& flow) noexcept {
  flow.kind = FrameKind::other;
  flow.is_syn_ack = false;
  std::size_t at = sizeof(wire::EthernetHeader);
  if (head.size() < at + kTagBytes) return;
  std::uint16_t type = word_at(head, at - 2);
  const bool is_tagged = type == kEtherTypeVlan;
  if (is_tagged) {
    at += kTagBytes;
    type = word_at(head, at - 2);
  }
  const Bytes packet = head.subspan(at);
  if (type == wire::kEtherTypeArp) return classify_arp(packet, flow);
  const bool is_v6 = type == kEtherTypeIpv6;
  if (!is_v6 && type != wire::kEtherTypeIpv4) return;
  const IpHeader ip = is_v6 ? ip_v6(packet) : ip_v4(packet);
  if (ip.bytes == 0 || packet.size() <= ip.bytes) return;
  const Bytes upper = packet.subspan(ip.bytes);
  if (ip.protocol == (is_v6 ? kProtocolIcmpV6 : 1)) return classify_icmp(upper, is_v6, flow);
  if (ip.protocol != wire::kProtocolTcp || upper.size() <= kTcpFlagsOffset) return;
  flow.kind = FrameKind::flow;
  const std::uint8_t flags = byte_at(upper, kTcpFlagsOffset);
  flow.is_syn_ack = (flags & (wire::kTcpSyn | wire::kTcpAck)) == (wire::kTcpSyn | wire::kTcpAck);
  flow.is_plain = !is_tagged && !ip.has_options;
  flow.is_ipv6 = is_v6;
  flow.tuple.remote = ip.source;
  flow.tuple.local = ip.destination;
  flow.tuple.remote_port = word_at(upper, 0);
  flow.tuple.local_port = word_at(upper, 2);
}

}  // namespace pollux::worker
