// What an ICMPv6 error says about one TCP segment that we have sent (RFC 4443 3.1 and 3.2). The
// form has been checked; that the quoted numbers belong to a connection has not.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/ip_address.hpp"

namespace pollux::net {

struct Icmpv6Error {
  enum class Kind : std::uint8_t { packet_too_big, unreachable };

  Kind kind = Kind::unreachable;
  std::uint8_t code = 0;
  std::uint32_t mtu = 0;       ///< packet_too_big: of the next hop, 1280 at least
  Endpoint local;              ///< source of the quoted packet
  Endpoint remote;             ///< its destination
  std::uint32_t sequence = 0;  ///< its sequence number, host order
};

enum class Icmpv6ErrorVerdict : std::uint8_t { good, malformed, not_tcp, mtu_too_small };

/// `message` is a Packet Too Big or Destination Unreachable from its type on, checksum verified.
Icmpv6ErrorVerdict parse_icmpv6_error(std::span<const std::byte> message,
                                      Icmpv6Error& out) noexcept;

}  // namespace pollux::net
