// The eight bytes every ICMP message of RFC 792 starts with; identifier and sequence are those of
// echo. In a "fragmentation needed" the latter is the next-hop MTU (RFC 1191 4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

struct IcmpHeader {
  static constexpr std::uint8_t kEchoReply = 0;
  static constexpr std::uint8_t kDestinationUnreachable = 3;
  static constexpr std::uint8_t kSourceQuench = 4;
  static constexpr std::uint8_t kRedirect = 5;
  static constexpr std::uint8_t kEchoRequest = 8;
  static constexpr std::uint8_t kTimeExceeded = 11;
  static constexpr std::uint8_t kParameterProblem = 12;

  // Codes of destination unreachable (RFC 1122 3.2.2.1).
  static constexpr std::uint8_t kProtocolUnreachable = 2;
  static constexpr std::uint8_t kPortUnreachable = 3;
  static constexpr std::uint8_t kFragmentationNeeded = 4;

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  Be16 checksum;
  Be16 identifier;
  Be16 sequence;
};
static_assert(WireLayout<IcmpHeader> && sizeof(IcmpHeader) == 8);
static_assert(offsetof(IcmpHeader, checksum) == 2 && offsetof(IcmpHeader, sequence) == 6);

}  // namespace pollux::wire
