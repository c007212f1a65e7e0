// How one port is addressed. Filled by control from the configuration, constant afterwards.
#pragma once

#include <cstdint>

#include "dataplane/net/ip_address.hpp"

namespace pollux::net {

struct InterfaceConfig {
  IpAddress address;                ///< IPv4; all zero: none
  std::uint8_t prefix_length = 24;  ///< of the IPv4 address
  IpAddress gateway;                ///< all zero: none
  IpAddress address6;               ///< IPv6, beside the link-local one; all zero: none
  std::uint8_t prefix_length6 = 64;
  IpAddress gateway6;       ///< all zero: none, or those that advertise themselves (accept_ra)
  bool link_local = false;  ///< IPv6 even without address6: the link-local address alone
  bool accept_ra = false;   ///< take routers and prefixes from Router Advertisements
  std::uint8_t dad_transmits = 1;  ///< RFC 4862 5.1 DupAddrDetectTransmits; 0: no check
  std::uint8_t zone = 0;           ///< RFC 4007 6: names this link among those of the process
  std::uint16_t vlan_id = 0;       ///< 802.1Q; 0: untagged
  std::uint8_t priority = 0;       ///< PCP; not 0 without a vlan_id: priority tags
  std::uint8_t dscp = 0;           ///< RFC 2474, of every packet
  /// RFC 5227 2.1: nobody else has the IPv4 address, asked before its first use. That takes 5 to 7
  /// seconds, and the address is an operator's choice: off unless asked for.
  bool detect_conflicts = false;
  bool announce = true;  ///< RFC 5227 2.3: the IPv4 address, at the start and when a link comes up

  [[nodiscard]] constexpr bool has_ipv4() const noexcept { return address.is_v4(); }
  [[nodiscard]] constexpr bool has_ipv6() const noexcept {
    return link_local || accept_ra || address6 != IpAddress{};
  }
  [[nodiscard]] constexpr bool tagged() const noexcept { return vlan_id != 0 || priority != 0; }
};

}  // namespace pollux::net
