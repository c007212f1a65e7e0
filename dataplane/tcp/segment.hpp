// What the steps of the engine hand to each other: a segment that came, what its acknowledgment
// tells, a frame that is being built.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/tcp_options.hpp"

namespace pollux::tcp {

/// One received segment, in host order, as the steps of RFC 9293 3.10.7 hand it on.
struct Segment {
  TcpSeq seq;
  TcpSeq ack;
  std::uint32_t length = 0;  ///< payload bytes left after trimming
  std::uint32_t skip = 0;    ///< payload bytes trimmed off the front
  std::uint16_t window = 0;  ///< as on the wire
  std::uint8_t flags = 0;
  std::uint8_t ecn = 0;        ///< wire::EcnCodepoint of its packet
  bool payload_taken = false;  ///< the handles have passed to a queue
  wire::TcpOptions options;
  std::span<const platform::RxSegment> payload;

  [[nodiscard]] bool syn() const noexcept { return (flags & wire::kTcpSyn) != 0; }
  [[nodiscard]] bool fin() const noexcept { return (flags & wire::kTcpFin) != 0; }
  [[nodiscard]] bool rst() const noexcept { return (flags & wire::kTcpRst) != 0; }
  [[nodiscard]] bool has_ack() const noexcept { return (flags & wire::kTcpAck) != 0; }
  /// RFC 9293 3.4: SYN and FIN take a sequence number each.
  [[nodiscard]] std::uint32_t sequence_length() const noexcept {
    return length + (syn() ? 1u : 0u) + (fin() ? 1u : 0u);
  }
};

/// RFC 7323 5.2: TSval counts modulo 2^32.
[[nodiscard]] constexpr bool is_older_timestamp(std::uint32_t tsval, std::uint32_t than) noexcept {
  return static_cast<std::int32_t>(tsval - than) < 0;
}

/// What one acknowledgment has told about the send side.
struct AckNews {
  TcpSeq ack;
  std::uint32_t tsecr = 0;
  bool has_timestamp = false;
  bool is_new = false;        ///< snd_una moves
  bool is_duplicate = false;  ///< RFC 5681 2; with SACK: something new was reported (RFC 6675 2)
  bool has_dsack = false;
  wire::SackBlock dsack;
  std::uint32_t acked = 0;      ///< bytes that snd_una moved
  std::uint32_t delivered = 0;  ///< bytes that are now known to have arrived (RFC 6937)
};

/// What all segments of one burst say alike.
struct Heading {
  std::array<std::byte, 40> options;
  std::size_t option_bytes = 0;
  std::uint16_t window = 0;
  bool has_window = false;  ///< what is offered is a promise, so the first that leaves makes it
};

/// A frame while it is being put together.
struct Frame {
  static constexpr std::size_t kSegmentsMax = 16;
  /// Only the first `count` have ever been written: clearing all of them would cost more than the
  /// rest of the frame.
  union {
    std::array<platform::TxSegment, kSegmentsMax> segments;
  };
  Frame() noexcept {}
  std::size_t count = 0;
  std::size_t limit = kSegmentsMax;
  std::byte* tcp = nullptr;   ///< the TCP header; there is room for kLinkBytesMax in front of it
  std::byte* tail = nullptr;  ///< where the next copied byte goes; nullptr: a new buffer is needed
  std::uint32_t tail_room = 0;
  std::uint8_t ecn = 0;  ///< wire::EcnCodepoint it leaves with
};

}  // namespace pollux::tcp
