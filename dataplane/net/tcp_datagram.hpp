// The last check below TCP, for packets of both families: the header's length and the checksum over
// the pseudo-header, the header and the payload. Read first: RFC 9293 3.1, RFC 8200 8.1.
#pragma once

#include <cstdint>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pollux::net {

/// Data offset and length; 0 when wrong, else the bytes of the TCP header. `payload` and `end` are
/// offsets in the frame.
inline std::uint32_t tcp_header_bytes(const FrameView& frame, std::uint32_t payload,
                                      std::uint32_t end) noexcept {
  constexpr std::uint32_t kTcpHeaderBytes = 20;
  constexpr std::size_t kDataOffset = 12;
  const std::uint32_t length = end - payload;
  if (length < kTcpHeaderBytes || frame.head.size() < payload + kTcpHeaderBytes) return 0;
  const auto field = std::to_integer<std::uint32_t>(frame.head[payload + kDataOffset]);
  const std::uint32_t header = (field >> 4) * 4;
  // With long extension headers in front it may lie beyond the head.
  const bool fits = header <= length && payload + header <= frame.head.size();
  return header >= kTcpHeaderBytes && fits ? header : 0;
}

inline bool tcp_checksum_right(const TcpDatagram& datagram, wire::InternetSum sum) noexcept {
  sum.add(datagram.header);
  for (const platform::RxSegment& segment : datagram.payload)
    sum.add({segment.data, segment.length});
  return sum.verifies();
}

/// Checks the TCP header and checksum and fills `datagram`; trims the frame's segments to the
/// payload. `dropped(handle)` takes every segment that the datagram does not own. False: all of
/// them.
template <class Packet, class Dropped>
bool make_datagram(const FrameView& frame, const Packet& packet, Counters& counters,
                   TcpDatagram& datagram, Dropped dropped) noexcept {
  constexpr std::uint8_t kProtocolTcp = 6;
  const unsigned flags = frame.segments.front().flags;
  const std::uint32_t header = tcp_header_bytes(frame, packet.payload, packet.end);
  if (header == 0) [[unlikely]] {
    counters.drop_tcp_header.add();
    trim(frame.segments, 0, 0, dropped);
    return false;
  }
  datagram.source = packet.source();
  datagram.destination = packet.destination();
  datagram.header = frame.head.subspan(packet.payload, header);
  datagram.ecn = packet.ecn();
  datagram.payload_bytes = packet.end - packet.payload - header;
  const auto payload = trim(frame.segments, packet.payload + header, packet.end, dropped);
  datagram.payload = payload;
  // RFC 9293 3.1 MUST-3: checked here unless the port has done it.
  const bool bad = (flags & platform::kRxL4ChecksumBad) != 0 ||
                   ((flags & platform::kRxL4ChecksumGood) == 0 &&
                    !tcp_checksum_right(datagram, packet.pseudo_header(kProtocolTcp)));
  if (bad) [[unlikely]] {
    counters.drop_tcp_checksum.add();
    for (const platform::RxSegment& segment : payload) dropped(segment.handle);
    return false;
  }
  counters.rx_tcp.add();
  return true;
}

}  // namespace pollux::net
