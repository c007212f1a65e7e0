// ICMPv6 on the way in: echo is answered, neighbour discovery is handed to those who keep its
// state, errors are read. Everything else is counted.
#include <algorithm>
#include <cstring>

#include "dataplane/net/icmpv6_error.hpp"
#include "dataplane/net/ipv6_host.hpp"
#include "dataplane/wire/tcp.hpp"

namespace pollux::net {

using wire::EthernetAddress;
using wire::Icmpv6Header;
using wire::Icmpv6Type;
using wire::NeighborMessage;

namespace {

bool is_discovery(Icmpv6Type type) noexcept {
  return type == Icmpv6Type::router_advertisement || type == Icmpv6Type::neighbor_solicitation ||
         type == Icmpv6Type::neighbor_advertisement;
}

PathErrorKind kind_of(const Icmpv6Header& header) noexcept {
  constexpr std::uint8_t kPortUnreachable = 4;
  switch (header.type) {
    case Icmpv6Type::packet_too_big:
      return PathErrorKind::packet_too_big;
    case Icmpv6Type::time_exceeded:
      return PathErrorKind::time_exceeded;
    case Icmpv6Type::parameter_problem:
      return PathErrorKind::parameter_problem;
    default:
      return header.code == kPortUnreachable ? PathErrorKind::hard_unreachable
                                             : PathErrorKind::soft_unreachable;
  }
}

}  // namespace

Icmpv6ErrorVerdict parse_icmpv6_error(std::span<const std::byte> message, PathError& out) noexcept {
  constexpr std::size_t kQuotedTcpBytes = 8;  // ports and sequence number
  constexpr std::size_t kQuoteBytes = sizeof(wire::Ipv6Header) + kQuotedTcpBytes;
  if (message.size() < sizeof(Icmpv6Header) + kQuoteBytes) return Icmpv6ErrorVerdict::malformed;
  const auto header = load<Icmpv6Header>(message.data());
  const auto ip = load<wire::Ipv6Header>(message.data() + sizeof header);
  if (ip.version() != wire::Ipv6Header::kVersion) return Icmpv6ErrorVerdict::malformed;
  // We send TCP without extension headers, so nothing is walked over.
  if (ip.next_header != wire::kNextTcp) return Icmpv6ErrorVerdict::not_tcp;
  if (ip.payload_length.get() < kQuotedTcpBytes) return Icmpv6ErrorVerdict::malformed;
  const std::byte* tcp = message.data() + sizeof header + sizeof ip;
  constexpr std::uint32_t kMost = 0xffff;
  out = {.kind = kind_of(header),
         .mtu = static_cast<std::uint16_t>(std::min(header.word.get(), kMost)),
         .quoted_bytes = static_cast<std::uint16_t>(
             std::min<std::uint32_t>(sizeof ip + ip.payload_length.get(), kMost)),
         .source = IpAddress{ip.source},
         .destination = IpAddress{ip.destination},
         .source_port = load<Be16>(tcp).get(),
         .destination_port = load<Be16>(tcp + 2).get(),
         .sequence = load<Be32>(tcp + 4).get()};
  // RFC 8201 4: no link of IPv6 is smaller, so such a message is discarded.
  if (out.kind == PathErrorKind::packet_too_big && header.word.get() < wire::kIpv6MtuMin)
    return Icmpv6ErrorVerdict::mtu_too_small;
  return Icmpv6ErrorVerdict::good;
}

/// The message in one piece; empty when it is larger than there is room for.
std::span<const std::byte> Ipv6Host::gather(const FrameView& frame,
                                            const Ipv6Packet& packet) noexcept {
  const std::size_t length = packet.end - packet.payload;
  if (frame.head.size() >= packet.end) return frame.head.subspan(packet.payload, length);
  if (length > gathered_.size()) return {};
  copy_frame_bytes(frame.segments, packet.payload, {gathered_.data(), length});
  return {gathered_.data(), length};
}

void Ipv6Host::icmp_input(const FrameView& frame, const Ipv6Packet& packet, Instant now) noexcept {
  if (packet.end - packet.payload < sizeof(Icmpv6Header)) {
    counters_.drop_icmp6_malformed.add();
    return;
  }
  const std::span<const std::byte> message = gather(frame, packet);
  if (message.empty()) {
    counters_.drop_icmp6_size.add();
    return;
  }
  auto sum = packet.pseudo_header(wire::kNextIcmpv6);
  sum.add(message);
  if (!sum.verifies()) {
    counters_.drop_icmp6_checksum.add();
    return;
  }
  const auto header = load<Icmpv6Header>(message.data());
  if (is_discovery(header.type)) {
    nd_input(frame, packet, message, now);
    if (published_generation_ != addresses_.generation()) publish_state();
    return;
  }
  switch (header.type) {
    case Icmpv6Type::echo_request:
      on_echo_request(frame, packet, message, now);
      break;
    case Icmpv6Type::packet_too_big:
    case Icmpv6Type::destination_unreachable:
    case Icmpv6Type::time_exceeded:
    case Icmpv6Type::parameter_problem:
      return on_error(message);
    case Icmpv6Type::redirect:
      // RFC 4861 8 lets a host ignore them; a forged one would move traffic.
      counters_.icmp6_redirects_ignored.add();
      break;
    default:
      counters_.icmp6_other_in.add();
      break;
  }
}

void Ipv6Host::nd_input(const FrameView& frame, const Ipv6Packet& packet,
                        std::span<const std::byte> message, Instant now) noexcept {
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  if (ethernet.source == mac_) {
    counters_.nd_reflected.add();
    return;
  }
  const auto header = load<Icmpv6Header>(message.data());
  // RFC 4861 6.1 and 7.1: a packet that a router forwarded cannot have 255 left.
  if (packet.header.hop_limit != wire::kNdHopLimit) {
    counters_.drop_nd_hop_limit.add();
    return;
  }
  NeighborInput neighbour;
  RouterInput router;
  bool valid = header.code == 0;
  if (valid && header.type == Icmpv6Type::neighbor_solicitation) {
    valid = parse_solicitation(message, packet.header, neighbour);
    if (valid) return on_solicitation(frame, packet, neighbour, now);
  } else if (valid && header.type == Icmpv6Type::neighbor_advertisement) {
    valid = parse_advertisement(message, packet.header, neighbour);
    if (valid) return on_advertisement(neighbour, now);
  } else if (valid) {
    valid = parse_router_advertisement(message, packet.header, router);
    if (valid) return on_router(packet, router, now);
  }
  counters_.drop_nd_malformed.add();
}

void Ipv6Host::on_solicitation(const FrameView& frame, const Ipv6Packet& packet,
                               const NeighborInput& input, Instant now) noexcept {
  counters_.nd_solicitations_in.add();
  const IpAddress source = packet.source();
  const bool is_probe = source == IpAddress{};
  if (!is_probe && addresses_.is_ours(source.bytes)) {
    addresses_.on_conflict(source.bytes, now);
    return;
  }
  const Ipv6Addresses::Address* target = addresses_.find(input.message.target);
  if (target == nullptr) return;  // for a neighbour in the same group
  if (!target->usable()) {
    // RFC 4862 5.4.3: another station checks the address that we check.
    if (is_probe) addresses_.on_conflict(input.message.target, now);
    return;
  }
  const auto& mac = input.options.source_mac;
  if (!is_probe && mac) neighbours_.on_heard(source, *mac, false, now);
  if (is_copy(frame)) return;
  if (!advertisement_limit_.spend(now)) {
    counters_.drop_nd_rate.add();
    return;
  }
  // RFC 4861 7.2.4: who has no address yet is told through all nodes.
  if (is_probe) {
    sender_.advertise(target->address, IpAddress{wire::kIpv6AllNodes},
                      wire::multicast_mac(wire::kIpv6AllNodes), NeighborMessage::kOverride);
    return;
  }
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  sender_.advertise(target->address, source, mac ? *mac : ethernet.source,
                    NeighborMessage::kSolicited | NeighborMessage::kOverride);
}

void Ipv6Host::on_advertisement(const NeighborInput& input, Instant now) noexcept {
  counters_.nd_advertisements_in.add();
  if (addresses_.find(input.message.target) != nullptr) {
    addresses_.on_conflict(input.message.target, now);  // RFC 4862 5.4.4
    return;
  }
  if (neighbours_.on_advertisement(input, now))
    routers_.remove_router(IpAddress{input.message.target});
}

void Ipv6Host::on_router(const Ipv6Packet& packet, const RouterInput& input, Instant now) noexcept {
  if (!config_.accept_ra) {
    counters_.ra_ignored.add();
    return;
  }
  counters_.ra_in.add();
  router_solicits_ = kRouterSolicits;  // RFC 4861 6.3.7: asked no more
  router_solicit_at_ = kNever;
  if (input.message.cur_hop_limit != 0) hop_limit_ = input.message.cur_hop_limit;
  neighbours_.set_reachable_time(std::chrono::milliseconds(input.message.reachable_time.get()),
                                 now);
  if (input.options.mtu) {
    const std::uint32_t mtu = *input.options.mtu;
    if (mtu >= wire::kIpv6MtuMin && mtu <= info_.mtu)
      mtu_ = static_cast<std::uint16_t>(mtu);
    else
      counters_.ra_mtu_ignored.add();
  }
  routers_.on_advertisement(packet.source(), input, now);
  if (input.options.source_mac)
    neighbours_.on_heard(packet.source(), *input.options.source_mac, true, now);
  for (std::size_t i = 0; i < input.options.prefix_count; ++i)
    if ((input.options.prefixes[i].flags & wire::NdPrefixOption::kAutonomous) != 0)
      addresses_.on_prefix(input.options.prefixes[i], now);
}

void Ipv6Host::on_echo_request(const FrameView& frame, const Ipv6Packet& packet,
                               std::span<const std::byte> message, Instant now) noexcept {
  counters_.icmp6_echo_in.add();
  const IpAddress to = packet.source();
  // RFC 4443 4.2: from the address that was asked, or one of ours when a group was.
  IpAddress from = packet.destination();
  if (wire::is_ipv6_multicast(from.bytes)) {
    const Ipv6Addresses::Address* source = addresses_.source_for(to);
    from = source != nullptr ? source->address : IpAddress{};
  }
  if (to == IpAddress{} || from == IpAddress{} || addresses_.is_ours(to.bytes)) {
    counters_.drop_icmp6_malformed.add();
    return;
  }
  if (!echo_limit_.spend(now)) {
    counters_.drop_icmp6_rate.add();
    return;
  }
  if (!egress_.can_reply(1)) {
    counters_.drop_reply_no_room.add();
    return;
  }
  const platform::FrameBuffer buffer = egress_.take_buffer();
  if (buffer.data == nullptr) {
    counters_.drop_reply_no_buffer.add();
    return;
  }
  constexpr std::size_t kHeaders = kEthernetHeaderBytes + sizeof(wire::Ipv6Header);
  if (kHeaders + message.size() > buffer.capacity ||
      sizeof(wire::Ipv6Header) + message.size() > info_.mtu) {
    egress_.give_back(buffer);
    counters_.drop_icmp6_size.add();
    return;
  }
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  store(buffer.data, wire::EthernetHeader{ethernet.source, mac_, Be16(wire::kEtherTypeIpv6)});
  wire::Ipv6Header ip;
  ip.set_class_and_flow(packet.header.traffic_class(), 0);
  ip.payload_length.set(static_cast<std::uint16_t>(message.size()));
  ip.next_header = wire::kNextIcmpv6;
  ip.hop_limit = hop_limit_;
  ip.source = from.bytes;
  ip.destination = to.bytes;
  store(buffer.data + kEthernetHeaderBytes, ip);
  std::byte* out = buffer.data + kHeaders;
  std::memcpy(out, message.data(), message.size());
  auto header = load<Icmpv6Header>(out);
  header.type = Icmpv6Type::echo_reply;
  header.checksum = {};
  store(out, header);
  auto sum = wire::ipv6_pseudo_header(ip.source, ip.destination, wire::kNextIcmpv6,
                                      static_cast<std::uint32_t>(message.size()));
  sum.add({out, message.size()});
  header.checksum = sum.checksum();
  store(out, header);
  platform::TxSegment segment;
  segment.data = buffer.data;
  segment.length = static_cast<std::uint32_t>(kHeaders + message.size());
  segment.handle = buffer.handle;
  egress_.send({&segment, 1});
  counters_.icmp6_echo_out.add();
}

void Ipv6Host::on_error(std::span<const std::byte> message) noexcept {
  PathError error;
  switch (parse_icmpv6_error(message, error)) {
    case Icmpv6ErrorVerdict::good:
      break;
    case Icmpv6ErrorVerdict::malformed:
      return counters_.drop_icmp6_malformed.add();
    case Icmpv6ErrorVerdict::not_tcp:
      return counters_.icmp6_other_in.add();
    case Icmpv6ErrorVerdict::mtu_too_small:
      return counters_.drop_icmp6_mtu.add();
  }
  // RFC 5927 4.1: what we have not sent was not undeliverable.
  if (!addresses_.is_ours(error.source.bytes)) return counters_.drop_icmp6_quote.add();
  (error.kind == PathErrorKind::packet_too_big ? counters_.icmp6_too_big_in
                                               : counters_.icmp6_unreachable_in)
      .add();
  if (!errors_.push(error)) counters_.drop_path_error_full.add();
}

}  // namespace pollux::net
