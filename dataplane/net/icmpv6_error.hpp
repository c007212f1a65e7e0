// What an ICMPv6 error says about one TCP segment that we have sent (RFC 4443 3). The
// form has been checked; that the quoted numbers belong to a connection has not.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/net/path_error.hpp"

namespace pollux::net {

enum class Icmpv6ErrorVerdict : std::uint8_t { good, malformed, not_tcp, mtu_too_small };

/// `message` is an error (types 1 to 4) from its type on, checksum verified. That the quoted packet
/// is ours is not looked at.
Icmpv6ErrorVerdict parse_icmpv6_error(std::span<const std::byte> message, PathError& out) noexcept;

}  // namespace pollux::net
