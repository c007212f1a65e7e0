// The Ethernet II header (RFC 894) and the addresses in it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

using EthernetAddress = std::array<std::uint8_t, 6>;

inline constexpr EthernetAddress kEthernetBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;

/// Broadcast or multicast.
constexpr bool is_group_address(const EthernetAddress& address) noexcept {
  return (address[0] & 1) != 0;
}

struct EthernetHeader {
  EthernetAddress destination{};
  EthernetAddress source{};
  Be16 ether_type;
};
static_assert(WireLayout<EthernetHeader> && sizeof(EthernetHeader) == 14);
static_assert(offsetof(EthernetHeader, source) == 6 && offsetof(EthernetHeader, ether_type) == 12);

}  // namespace pollux::wire
