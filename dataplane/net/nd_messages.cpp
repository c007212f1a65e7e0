#include "dataplane/net/nd_messages.hpp"

#include <cstring>

#include "dataplane/net/interface.hpp"

namespace pollux::net {

using wire::EthernetAddress;
using wire::Icmpv6Type;
using wire::NdLinkLayerOption;
using wire::NeighborMessage;

namespace {

bool take_link_layer(std::span<const std::byte> option,
                     std::optional<EthernetAddress>& out) noexcept {
  if (option.size() != sizeof(NdLinkLayerOption)) return false;
  const auto link = load<NdLinkLayerOption>(option.data());
  if (wire::is_group_address(link.address) || link.address == EthernetAddress{}) return false;
  out = link.address;
  return true;
}

bool take_option(std::span<const std::byte> option, NdOptions& out) noexcept {
  switch (std::to_integer<std::uint8_t>(option[0])) {
    case wire::kNdSourceLinkLayer:
      return take_link_layer(option, out.source_mac);
    case wire::kNdTargetLinkLayer:
      return take_link_layer(option, out.target_mac);
    case wire::kNdPrefixInformation:
      if (option.size() != sizeof(wire::NdPrefixOption)) return false;
      if (out.prefix_count < NdOptions::kPrefixesMax)
        out.prefixes[out.prefix_count++] = load<wire::NdPrefixOption>(option.data());
      return true;
    case wire::kNdMtu:
      if (option.size() != sizeof(wire::NdMtuOption)) return false;
      out.mtu = load<wire::NdMtuOption>(option.data()).mtu.get();
      return true;
    default:
      return true;
  }
}

bool parse_neighbor(std::span<const std::byte> message, NeighborInput& out) noexcept {
  if (message.size() < sizeof(NeighborMessage)) return false;
  out.message = load<NeighborMessage>(message.data());
  return !wire::is_ipv6_multicast(out.message.target) &&
         parse_nd_options(message.subspan(sizeof(NeighborMessage)), out.options);
}

}  // namespace

bool parse_nd_options(std::span<const std::byte> bytes, NdOptions& options) noexcept {
  while (!bytes.empty()) {
    if (bytes.size() < wire::kNdOptionUnit) return false;
    const std::size_t length = std::to_integer<std::size_t>(bytes[1]) * wire::kNdOptionUnit;
    if (length == 0 || length > bytes.size()) return false;
    if (!take_option(bytes.first(length), options)) return false;
    bytes = bytes.subspan(length);
  }
  return true;
}

bool parse_solicitation(std::span<const std::byte> message, const wire::Ipv6Header& ip,
                        NeighborInput& out) noexcept {
  if (!parse_neighbor(message, out)) return false;
  if (!wire::is_ipv6_unspecified(ip.source)) return true;
  return ip.destination == wire::solicited_node(out.message.target) && !out.options.source_mac;
}

bool parse_advertisement(std::span<const std::byte> message, const wire::Ipv6Header& ip,
                         NeighborInput& out) noexcept {
  if (!parse_neighbor(message, out) || wire::is_ipv6_unspecified(ip.source)) return false;
  const bool solicited = (out.message.header.word.get() & NeighborMessage::kSolicited) != 0;
  return !(solicited && wire::is_ipv6_multicast(ip.destination));
}

bool parse_router_advertisement(std::span<const std::byte> message, const wire::Ipv6Header& ip,
                                RouterInput& out) noexcept {
  if (message.size() < sizeof(wire::RouterAdvertisement) || !wire::is_ipv6_link_local(ip.source))
    return false;
  out.message = load<wire::RouterAdvertisement>(message.data());
  return parse_nd_options(message.subspan(sizeof(wire::RouterAdvertisement)), out.options);
}

NdSender::NdSender(const EthernetAddress& mac, Egress& egress, Counters& counters,
                   std::uint8_t traffic_class) noexcept
    : mac_(mac), egress_(egress), counters_(counters), traffic_class_(traffic_class) {}

bool NdSender::send(const EthernetAddress& to, const IpAddress& source,
                    const IpAddress& destination, std::span<std::byte> message) noexcept {
  if (!egress_.can_reply(1)) {
    counters_.drop_reply_no_room.add();
    return false;
  }
  const platform::FrameBuffer buffer = egress_.take_buffer();
  if (buffer.data == nullptr) {
    counters_.drop_reply_no_buffer.add();
    return false;
  }
  const auto length = static_cast<std::uint32_t>(message.size());
  auto sum = wire::ipv6_pseudo_header(source.bytes, destination.bytes, wire::kNextIcmpv6, length);
  sum.add(message);
  store(message.data() + offsetof(wire::Icmpv6Header, checksum), sum.checksum());
  wire::Ipv6Header ip;
  ip.set_class_and_flow(traffic_class_, 0);
  ip.payload_length.set(static_cast<std::uint16_t>(length));
  ip.next_header = wire::kNextIcmpv6;
  ip.hop_limit = wire::kNdHopLimit;
  ip.source = source.bytes;
  ip.destination = destination.bytes;
  store(buffer.data, wire::EthernetHeader{to, mac_, Be16(wire::kEtherTypeIpv6)});
  store(buffer.data + kEthernetHeaderBytes, ip);
  std::memcpy(buffer.data + kEthernetHeaderBytes + sizeof ip, message.data(), message.size());
  platform::TxSegment segment;
  segment.data = buffer.data;
  segment.length = static_cast<std::uint32_t>(kEthernetHeaderBytes + sizeof ip) + length;
  segment.handle = buffer.handle;
  egress_.send({&segment, 1});
  return true;
}

bool NdSender::solicit(const IpAddress& target, const IpAddress& source,
                       const EthernetAddress* to) noexcept {
  std::array<std::byte, sizeof(NeighborMessage) + sizeof(NdLinkLayerOption)> bytes{};
  NeighborMessage message;
  message.header.type = Icmpv6Type::neighbor_solicitation;
  message.target = target.bytes;
  store(bytes.data(), message);
  store(bytes.data() + sizeof message, NdLinkLayerOption{wire::kNdSourceLinkLayer, 1, mac_});
  const bool with_option = source != IpAddress{};
  const IpAddress group{wire::solicited_node(target.bytes)};
  const bool sent = send(to != nullptr ? *to : wire::multicast_mac(group.bytes), source,
                         to != nullptr ? target : group,
                         std::span(bytes).first(with_option ? bytes.size() : sizeof message));
  if (sent) counters_.nd_solicitations_out.add();
  return sent;
}

bool NdSender::advertise(const IpAddress& target, const IpAddress& destination,
                         const EthernetAddress& to, std::uint32_t flags) noexcept {
  std::array<std::byte, sizeof(NeighborMessage) + sizeof(NdLinkLayerOption)> bytes{};
  NeighborMessage message;
  message.header.type = Icmpv6Type::neighbor_advertisement;
  message.header.word.set(flags);
  message.target = target.bytes;
  store(bytes.data(), message);
  store(bytes.data() + sizeof message, NdLinkLayerOption{wire::kNdTargetLinkLayer, 1, mac_});
  const bool sent = send(to, target, destination, bytes);
  if (sent) counters_.nd_advertisements_out.add();
  return sent;
}

bool NdSender::solicit_routers(const IpAddress& source) noexcept {
  std::array<std::byte, sizeof(wire::Icmpv6Header) + sizeof(NdLinkLayerOption)> bytes{};
  wire::Icmpv6Header header;
  header.type = Icmpv6Type::router_solicitation;
  store(bytes.data(), header);
  store(bytes.data() + sizeof header, NdLinkLayerOption{wire::kNdSourceLinkLayer, 1, mac_});
  const bool sent = send(wire::multicast_mac(wire::kIpv6AllRouters), source,
                         IpAddress{wire::kIpv6AllRouters}, bytes);
  if (sent) counters_.nd_router_solicitations_out.add();
  return sent;
}

}  // namespace pollux::net
