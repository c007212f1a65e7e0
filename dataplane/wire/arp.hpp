// RFC 826 with the sizes of Ethernet and IPv4 filled in; field names as there (ar$hrd and so on).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pollux::wire {

struct ArpPacket {
  static constexpr std::uint16_t kHardwareEthernet = 1;
  static constexpr std::uint16_t kRequest = 1;
  static constexpr std::uint16_t kReply = 2;

  Be16 hrd{kHardwareEthernet};
  Be16 pro{kEtherTypeIpv4};
  std::uint8_t hln = 6;
  std::uint8_t pln = 4;
  Be16 op;
  EthernetAddress sha{};  ///< sender's hardware address
  Be32 spa;               ///< sender's protocol address
  EthernetAddress tha{};
  Be32 tpa;
};
static_assert(WireLayout<ArpPacket> && sizeof(ArpPacket) == 28);
static_assert(offsetof(ArpPacket, op) == 6 && offsetof(ArpPacket, spa) == 14 &&
              offsetof(ArpPacket, tpa) == 24);

}  // namespace pollux::wire
