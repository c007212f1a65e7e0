// Neighbour discovery on the wire: reading messages with every validity rule of RFC 4861 6.1 and
// 7.1, and sending ours. What they mean is decided in nd_table, router_list and ipv6_addresses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/wire/icmpv6.hpp"

namespace pollux::net {

/// Options of one message. Unknown ones were skipped (RFC 4861 4.6).
struct NdOptions {
  static constexpr std::size_t kPrefixesMax = 8;  ///< of one message; more are left out

  std::optional<wire::EthernetAddress> source_mac;
  std::optional<wire::EthernetAddress> target_mac;
  std::optional<std::uint32_t> mtu;
  std::array<wire::NdPrefixOption, kPrefixesMax> prefixes{};
  std::size_t prefix_count = 0;
};

/// False: a length of zero, one beyond the end, or one that is wrong for its type; a link-layer
/// address that names a group of stations.
[[nodiscard]] bool parse_nd_options(std::span<const std::byte> bytes, NdOptions& options) noexcept;

/// A message that has passed the rules.
struct NeighborInput {
  wire::NeighborMessage message;
  NdOptions options;
};
/// RFC 4861 7.1.1 and 7.1.2, but for hop limit, checksum and code, which icmpv6.cpp has checked.
[[nodiscard]] bool parse_solicitation(std::span<const std::byte> message,
                                      const wire::Ipv6Header& ip, NeighborInput& out) noexcept;
[[nodiscard]] bool parse_advertisement(std::span<const std::byte> message,
                                       const wire::Ipv6Header& ip, NeighborInput& out) noexcept;

struct RouterInput {
  wire::RouterAdvertisement message;
  NdOptions options;
};
/// RFC 4861 6.1.2, but for the same three.
[[nodiscard]] bool parse_router_advertisement(std::span<const std::byte> message,
                                              const wire::Ipv6Header& ip,
                                              RouterInput& out) noexcept;

/// Builds and queues our messages. Each is one frame of one buffer; false: no room or no buffer,
/// which is counted.
class NdSender {
 public:
  NdSender(const wire::EthernetAddress& mac, Egress& egress, Counters& counters,
           std::uint8_t traffic_class) noexcept;

  /// Neighbor Solicitation. `to` nullptr: to the solicited-node group. An unspecified source (only
  /// duplicate address detection) leaves the link-layer option out.
  bool solicit(const IpAddress& target, const IpAddress& source,
               const wire::EthernetAddress* to) noexcept;
  /// Neighbor Advertisement of our own address `target`; `flags` of NeighborMessage.
  bool advertise(const IpAddress& target, const IpAddress& destination,
                 const wire::EthernetAddress& to, std::uint32_t flags) noexcept;
  bool solicit_routers(const IpAddress& source) noexcept;

 private:
  bool send(const wire::EthernetAddress& to, const IpAddress& source, const IpAddress& destination,
            std::span<std::byte> message) noexcept;

  wire::EthernetAddress mac_;
  Egress& egress_;
  Counters& counters_;
  std::uint8_t traffic_class_;
};

}  // namespace pollux::net
