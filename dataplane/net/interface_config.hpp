// How one port is addressed. Filled by control from the configuration, constant afterwards.
#pragma once

#include <cstdint>

#include "dataplane/net/ip_address.hpp"

namespace pollux::net {

struct InterfaceConfig {
  IpAddress address;
  std::uint8_t prefix_length = 24;  ///< of the IPv4 address
  IpAddress gateway;                ///< all zero: none
  /// RFC 5227 2.1: nobody else has the IPv4 address, asked before its first use. That takes 5 to 7
  /// seconds, and the address is an operator's choice: off unless asked for.
  bool detect_conflicts = false;
  bool announce = true;  ///< RFC 5227 2.3: the IPv4 address, at the start and when a link comes up
};

}  // namespace pollux::net
