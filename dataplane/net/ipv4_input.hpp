// IPv4 on the way in: every check of RFC 791 and RFC 1122 3.2.1 that a host owes, before TCP or
// ICMP see a byte. Fragments are dropped and counted, never reassembled: TCP sends with DF and asks
// for no less.
#pragma once

#include <cstdint>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/interface_config.hpp"

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
};

/// Checks an IPv4 frame that was sent to our hardware address (or to a group: `to_group`).
Ipv4Verdict check_ipv4(const FrameView& frame, const Ipv4Subnet& subnet, bool to_group,
                       Counters& counters, Ipv4Packet& packet) noexcept;

/// Checks the TCP header and checksum and fills `datagram`; trims the frame's segments to the
/// payload. `dropped(handle)` takes every segment that the datagram does not own. False: all of
/// them.
template <class Dropped>
bool make_datagram(const FrameView& frame, const Ipv4Packet& packet, Counters& counters,
                   TcpDatagram& datagram, Dropped dropped) noexcept;

/// Data offset and length; 0 when wrong, else the bytes of the TCP header.
std::uint32_t tcp_header_bytes(const FrameView& frame, const Ipv4Packet& packet) noexcept;
bool tcp_checksum_right(const TcpDatagram& datagram, const Ipv4Packet& packet) noexcept;

template <class Dropped>
bool make_datagram(const FrameView& frame, const Ipv4Packet& packet, Counters& counters,
                   TcpDatagram& datagram, Dropped dropped) noexcept {
  const unsigned flags = frame.segments.front().flags;
  const std::uint32_t header = tcp_header_bytes(frame, packet);
  if (header == 0) [[unlikely]] {
    counters.drop_tcp_header.add();
    trim(frame.segments, 0, 0, dropped);
    return false;
  }
  datagram.source = IpAddress::from_v4_host(packet.header.source.get());
  datagram.destination = IpAddress::from_v4_host(packet.header.destination.get());
  datagram.header = frame.head.subspan(packet.payload, header);
  datagram.payload_bytes = packet.end - packet.payload - header;
  datagram.ecn = packet.header.type_of_service & wire::kEcnMask;
  const auto payload = trim(frame.segments, packet.payload + header, packet.end, dropped);
  datagram.payload = payload;
  // RFC 9293 3.1 MUST-3: checked here unless the port has done it.
  const bool bad =
      (flags & platform::kRxL4ChecksumBad) != 0 ||
      ((flags & platform::kRxL4ChecksumGood) == 0 && !tcp_checksum_right(datagram, packet));
  if (bad) [[unlikely]] {
    counters.drop_tcp_checksum.add();
    for (const platform::RxSegment& segment : payload) dropped(segment.handle);
    return false;
  }
  counters.rx_tcp.add();
  return true;
}

}  // namespace pollux::net
