// IPv6 on the way in: every check of RFC 8200 and RFC 4291 that a host owes, before TCP or ICMPv6
// see a byte. Extension headers are walked in bounded work; fragments are dropped and counted,
// never reassembled: the path MTU is kept instead.
#pragma once

#include <cstdint>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/ipv6_addresses.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::net {

enum class Ipv6Verdict : std::uint8_t { drop, tcp, icmp };

inline constexpr unsigned kExtensionHeadersMax = 6;

/// Where the upper-layer packet lies in its frame, once it has been checked.
struct Ipv6Packet {
  wire::Ipv6Header header;
  std::uint32_t payload = 0;  ///< offset in the frame, behind extension headers
  std::uint32_t end = 0;      ///< offset behind the packet; the rest of the frame is padding

  [[nodiscard]] IpAddress source() const noexcept { return {header.source}; }
  [[nodiscard]] IpAddress destination() const noexcept { return {header.destination}; }
  [[nodiscard]] std::uint8_t ecn() const noexcept {
    return header.traffic_class() & wire::kEcnMask;
  }
  [[nodiscard]] wire::InternetSum pseudo_header(std::uint8_t protocol) const noexcept {
    return wire::ipv6_pseudo_header(header.source, header.destination, protocol, end - payload);
  }
};

/// TCP without extension headers needs nothing behind the first kHeadBytes of a frame.
bool has_extension_headers(const FrameView& frame) noexcept;

/// Checks an IPv6 frame that was sent to our hardware address (or to a group: `to_group`).
Ipv6Verdict check_ipv6(const FrameView& frame, const Ipv6Addresses& addresses, bool to_group,
                       Counters& counters, Ipv6Packet& packet) noexcept;

}  // namespace pollux::net
