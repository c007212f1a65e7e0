// IPv4 on the way in: every check of RFC 791 and RFC 1122 3.2.1 that a host owes, before TCP or
// ICMP see a byte. Fragments are dropped and counted, never reassembled: TCP sends with DF and asks
// for no less.
#pragma once

#include <cstdint>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/interface_config.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pollux::net {

enum class Ipv4Verdict : std::uint8_t { drop, tcp, icmp };

/// The IPv4 side of an interface's own address.
struct Ipv4Subnet {
  explicit Ipv4Subnet(const InterfaceConfig& config) noexcept;
  [[nodiscard]] bool on_link(std::uint32_t host) const noexcept {
    return ((host ^ address) & mask) == 0;
  }
  /// RFC 1122 3.2.1.3: may be the address of one host, other than ours.
  [[nodiscard]] bool is_other_host(std::uint32_t host) const noexcept;
  /// Limited or directed broadcast, or multicast.
  [[nodiscard]] bool is_group(std::uint32_t host) const noexcept;

  std::uint32_t address;
  std::uint32_t mask;
  std::uint32_t broadcast;  ///< all ones when the subnet has none (RFC 3021)
};

/// Where the IPv4 packet lies in its frame, once it has been checked.
struct Ipv4Packet {
  wire::Ipv4Header header;
  std::uint32_t payload = 0;  ///< offset in the frame
  std::uint32_t end = 0;      ///< offset behind the packet; the rest of the frame is padding

  [[nodiscard]] IpAddress source() const noexcept {
    return IpAddress::from_v4_host(header.source.get());
  }
  [[nodiscard]] IpAddress destination() const noexcept {
    return IpAddress::from_v4_host(header.destination.get());
  }
  [[nodiscard]] std::uint8_t ecn() const noexcept {
    return header.type_of_service & wire::kEcnMask;
  }
  [[nodiscard]] wire::InternetSum pseudo_header(std::uint8_t protocol) const noexcept {
    return wire::InternetSum::pseudo_header(header.source, header.destination, protocol,
                                            static_cast<std::uint16_t>(end - payload));
  }
};

/// Checks an IPv4 frame that was sent to our hardware address (or to a group: `to_group`).
Ipv4Verdict check_ipv4(const FrameView& frame, const Ipv4Subnet& subnet, bool to_group,
                       Counters& counters, Ipv4Packet& packet) noexcept;

}  // namespace pollux::net
