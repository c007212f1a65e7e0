// How one port is addressed. Filled by control from the configuration, constant afterwards.
#pragma once

#include <cstdint>

#include "dataplane/net/ip_address.hpp"

namespace pollux::net {

struct InterfaceConfig {
  IpAddress address;
  std::uint8_t prefix_length = 24;  ///< of the IPv4 address
  IpAddress gateway;                ///< all zero: none
};

}  // namespace pollux::net
