// What ICMP of either family says about a path, once everything that can be checked without
// knowing the connection has been checked, and the small queue in which it waits for TCP.
// Read first: RFC 5927 4, RFC 1191 4 and 5, RFC 8201 4.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/net/ip_address.hpp"

namespace pollux::net {

enum class PathErrorKind : std::uint8_t {
  packet_too_big,     ///< ICMPv4 type 3 code 4, ICMPv6 type 2
  hard_unreachable,   ///< ICMPv4 type 3 codes 2 and 3, ICMPv6 type 1 code 4
  soft_unreachable,   ///< every other code of destination unreachable
  time_exceeded,      ///< ICMPv4 type 11, ICMPv6 type 3
  parameter_problem,  ///< ICMPv4 type 12, ICMPv6 type 4
  source_quench,      ///< ICMPv4 type 4, deprecated by RFC 6633
};

/// An ICMP error about a TCP segment that this host may have sent: the message was whole, and the
/// packet it quotes is an unfragmented TCP packet from our address to another host. Whether such a
/// segment is in flight is for TCP to say. The quoted numbers are in host order.
struct PathError {
  PathErrorKind kind = PathErrorKind::soft_unreachable;
  std::uint16_t mtu = 0;           ///< packet_too_big: of the next hop, as told; 0: it did not say
  std::uint16_t quoted_bytes = 0;  ///< length of the quoted IP packet by its own header
  IpAddress source;                ///< ours
  IpAddress destination;           ///< the peer's
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
};

/// First in, first out; what does not fit is refused. ICMP is a hint: a flood of it costs the rest
/// of the flood.
class PathErrorQueue {
 public:
  static constexpr std::size_t kErrors = 32;

  /// False when there is no room.
  [[nodiscard]] bool push(const PathError& error) noexcept {
    if (count_ == kErrors) return false;
    errors_[(first_ + count_++) % kErrors] = error;
    return true;
  }
  /// Moves the oldest into `out`; returns how many.
  std::size_t take(std::span<PathError> out) noexcept {
    const std::size_t taken = std::min(out.size(), count_);
    for (std::size_t i = 0; i < taken; ++i) out[i] = errors_[(first_ + i) % kErrors];
    first_ = (first_ + taken) % kErrors;
    count_ -= taken;
    return taken;
  }

 private:
  std::array<PathError, kErrors> errors_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace pollux::net
