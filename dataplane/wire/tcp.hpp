// The fixed TCP header as it lies on the wire. Options are in tcp_options.hpp.
// Read first: RFC 9293 3.1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

inline constexpr std::size_t kTcpHeaderBytes = 20;
inline constexpr std::size_t kTcpHeaderBytesMax = 60;

enum TcpFlag : std::uint8_t {
  kTcpFin = 1,
  kTcpSyn = 2,
  kTcpRst = 4,
  kTcpPsh = 8,
  kTcpAck = 16,
  kTcpUrg = 32,
  kTcpEce = 64,   // RFC 3168 6.1
  kTcpCwr = 128,  // RFC 3168 6.1
};

struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence_number;
  Be32 acknowledgment_number;
  std::uint8_t data_offset = 0;  ///< upper half: header length in 32-bit words
  std::uint8_t flags = 0;        ///< TcpFlag
  Be16 window;
  Be16 checksum;
  Be16 urgent_pointer;

  [[nodiscard]] constexpr std::size_t header_bytes() const noexcept {
    return static_cast<std::size_t>(data_offset >> 4) * 4;
  }
  constexpr void set_header_bytes(std::size_t bytes) noexcept {
    data_offset = static_cast<std::uint8_t>(bytes / 4 << 4);
  }
};
static_assert(sizeof(TcpHeader) == kTcpHeaderBytes && WireLayout<TcpHeader>);
static_assert(offsetof(TcpHeader, flags) == 13 && offsetof(TcpHeader, checksum) == 16);

}  // namespace pollux::wire
