#include "tests/support/segment_audit.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pollux::sim {
namespace {

std::uint32_t byte_at(std::span<const std::byte> bytes, std::size_t i) {
  return std::to_integer<std::uint32_t>(bytes[i]);
}
std::uint16_t word16(std::span<const std::byte> bytes, std::size_t i) {
  return static_cast<std::uint16_t>(byte_at(bytes, i) << 8 | byte_at(bytes, i + 1));
}
std::uint32_t word32(std::span<const std::byte> bytes, std::size_t i) {
  return std::uint32_t{word16(bytes, i)} << 16 | word16(bytes, i + 2);
}

/// The 64-bit number near `expected` that stands for `raw`, counted from `first`.
std::uint64_t unwrap(std::uint32_t raw, std::uint32_t first, std::uint64_t expected) {
  const std::uint32_t relative = raw - first;
  const auto ahead = static_cast<std::int32_t>(relative - static_cast<std::uint32_t>(expected));
  return expected + static_cast<std::uint64_t>(std::int64_t{ahead});
}

bool newer(std::uint32_t tsval, std::uint32_t than) {
  return static_cast<std::int32_t>(tsval - than) > 0;
}

}  // namespace

std::string read_segment(std::span<const std::byte> frame, const TcpFrame& at, WireSegment& out) {
  out.source_port = word16(frame, at.tcp);
  out.destination_port = word16(frame, at.tcp + 2);
  out.seq = word32(frame, at.tcp + 4);
  out.ack = word32(frame, at.tcp + 8);
  out.flags = static_cast<std::uint8_t>(frame[at.tcp + 13]);
  out.window = word16(frame, at.tcp + 14);
  out.urgent = word16(frame, at.tcp + 18);
  out.payload = frame.subspan(at.payload, at.end - at.payload);
  const std::span<const std::byte> options = frame.subspan(at.tcp + 20, at.payload - at.tcp - 20);
  out.option_bytes = options.size();
  std::uint32_t seen = 0;
  for (std::size_t i = 0; i < options.size();) {
    const std::uint32_t kind = byte_at(options, i);
    if (kind == 0) {
      // RFC 9293 3.1 MUST-69: nothing but zeros follows the end of the list.
      for (; i < options.size(); ++i)
        if (options[i] != std::byte{0}) return "padding behind the options is not zero";
      break;
    }
    if (kind == 1) {
      ++i;
      continue;
    }
    if (i + 2 > options.size()) return "an option without a length";
    const std::uint32_t length = byte_at(options, i + 1);
    if (length < 2 || i + length > options.size()) return "an option of impossible length";
    if (kind < 32 && (seen >> kind & 1) != 0) return fmt::format("option {} twice", kind);
    if (kind < 32) seen |= 1u << kind;
    const auto wrong = [&](std::uint32_t right) { return length != right; };
    if (kind == 2) {
      if (wrong(4)) return "MSS of wrong length";
      out.has_mss = true;
      out.mss = word16(options, i + 2);
    } else if (kind == 3) {
      if (wrong(3)) return "window scale of wrong length";
      out.has_scale = true;
      out.scale = static_cast<std::uint8_t>(byte_at(options, i + 2));
    } else if (kind == 4) {
      if (wrong(2)) return "SACK-permitted of wrong length";
      out.has_sack_permitted = true;
    } else if (kind == 5) {
      if (length < 10 || length > 34 || (length - 2) % 8 != 0) return "SACK of wrong length";
      out.sack_count = (length - 2) / 8;
      for (std::size_t b = 0; b < out.sack_count; ++b)
        out.sack[b] = {word32(options, i + 2 + b * 8), word32(options, i + 6 + b * 8)};
    } else if (kind == 8) {
      if (wrong(10)) return "timestamps of wrong length";
      out.has_timestamps = true;
      out.tsval = word32(options, i + 2);
      out.tsecr = word32(options, i + 6);
    } else {
      return fmt::format("option {} is none of ours", kind);
    }
    i += length;
  }
  return {};
}

std::string SegmentAudit::check_ip(std::span<const std::byte> frame, const TcpFrame& at) const {
  if (byte_at(frame, at.ip) != 0x45) return "IP header with options";
  if (at.end != frame.size()) return "bytes behind the IP packet";
  if (!ip_checksum_good(frame)) return "IP checksum wrong";
  if (!tcp_checksum_good(frame, at)) return "TCP checksum wrong";
  const std::uint16_t fragment = word16(frame, at.ip + 6);
  if (fragment != 0x4000) return "DF is not the only fragment bit";
  // RFC 6864 4.1: what is never fragmented needs no identification, and ours is zero.
  if (word16(frame, at.ip + 4) != 0) return "identification of an atomic datagram";
  if (byte_at(frame, at.ip + 8) == 0) return "TTL 0";
  return {};
}

void SegmentAudit::on_sent(std::size_t from, std::span<const std::byte> frame) {
  if (!complaint_.empty() || ignored_[from]) return;
  const TcpFrame at = dissect(frame);
  if (!at.valid) return;
  std::string what;
  if (strict_[from]) what = check_ip(frame, at);
  WireSegment segment;
  if (std::string problem = read_segment(frame, at, segment); what.empty()) what = problem;
  const std::uint16_t port = from == 0 ? segment.source_port : segment.destination_port;
  const std::uint16_t other = from == 0 ? segment.destination_port : segment.source_port;
  Pair& pair = pairs_[key(port, other)];
  if (!strict_[from]) return follow(pair.half[from], pair.half[1 - from], segment);
  if (what.empty()) what = check(from, pair, segment);
  if (what.empty()) return;
  complaint_ = fmt::format(
      "end {} sent what it must not: {} (flags {:#x}, seq +{}, ack +{}, "
      "{} bytes)",
      from, what, segment.flags, segment.seq - pair.half[from].iss,
      segment.ack - pair.half[1 - from].iss, segment.payload.size());
}

/// Takes note of what an end that may do anything has sent.
void SegmentAudit::follow(Half& own, const Half& other, const WireSegment& segment) {
  if (segment.is(WireSegment::kRst)) {
    own.rst_sent = true;
    return;
  }
  if (segment.is(WireSegment::kSyn)) {
    if (!own.syn_seen || own.iss != segment.seq) own = Half{.stream = own.stream};
    own.syn_seen = true;
    own.iss = segment.seq;
    own.max = std::max<std::uint64_t>(own.max, 1);
    take_syn_options(own, segment);
  }
  if (segment.has_timestamps && (!own.tsval_any || newer(segment.tsval, own.tsval))) {
    own.tsval_any = true;
    own.tsval = segment.tsval;
  }
  if (segment.is(WireSegment::kAck)) {
    const std::uint64_t ack = unwrap(segment.ack, other.iss, own.acked);
    const bool scaled = own.scale_offered && other.scale_offered && !segment.is(WireSegment::kSyn);
    own.acked = std::max(own.acked, ack);
    own.edge =
        std::max(own.edge, ack + (std::uint64_t{segment.window} << (scaled ? own.scale : 0)));
  }
  const std::uint64_t seq = unwrap(segment.seq, own.iss, own.max);
  const std::uint64_t length =
      segment.payload.size() + (segment.is(WireSegment::kFin) || segment.is(WireSegment::kSyn));
  own.max = std::max(own.max, seq + length);
}

void SegmentAudit::take_syn_options(Half& own, const WireSegment& segment) {
  own.mss = segment.has_mss ? segment.mss : 536;
  own.scale_offered = segment.has_scale;
  own.scale = segment.scale;
  own.sack_offered = segment.has_sack_permitted;
  own.timestamps_offered = segment.has_timestamps;
  // RFC 7323 2.2: never scaled.
  own.edge = std::max<std::uint64_t>(own.edge, 1u + segment.window);
}

std::string SegmentAudit::check(std::size_t from, Pair& pair, const WireSegment& segment) {
  Half& own = pair.half[from];
  const Half& other = pair.half[1 - from];
  if (segment.is(WireSegment::kUrg) || segment.urgent != 0) return "urgent data";
  if (segment.is(WireSegment::kRst)) {
    ++resets_;
    if (!segment.payload.empty()) return "a RST with data";
    own.rst_sent = true;
    // RFC 9293 3.10.7.1 and 3.10.5: at SND.NXT, at what the other end acknowledged, or at zero.
    const std::uint64_t seq = unwrap(segment.seq, own.iss, own.max);
    const bool answers = segment.is(WireSegment::kAck) && segment.seq == 0;
    // A forged acknowledgment may be what is answered: only our own ends send none.
    if (own.syn_seen && !answers && seq > own.max && strict_[1 - from])
      return "a RST beyond what was sent";
    return {};
  }
  if (segment.is(WireSegment::kSyn)) return check_syn(own, other, segment);
  if (!own.syn_seen) return "a segment before the SYN";
  if (own.rst_sent) return "a segment after the RST";
  if (!segment.is(WireSegment::kAck)) return "no ACK";
  if (std::string what = check_options(own, other, segment); !what.empty()) return what;
  if (std::string what = check_ack(own, other, segment); !what.empty()) return what;
  return check_text(own, other, segment);
}

std::string SegmentAudit::check_syn(Half& own, const Half& other, const WireSegment& segment) {
  if (!segment.payload.empty()) return "data in a SYN";
  if (segment.is(WireSegment::kPsh) || segment.is(WireSegment::kFin)) return "PSH or FIN in a SYN";
  if (own.syn_seen && own.iss != segment.seq) {
    if (own.max > 1 && !own.rst_sent && !own.fin_seen) return "a second SYN with another number";
    own = Half{.stream = own.stream};
  }
  const bool first = !own.syn_seen;
  own.syn_seen = true;
  own.iss = segment.seq;
  own.max = std::max<std::uint64_t>(own.max, 1);
  if (!segment.has_mss || segment.mss < 88) return "a SYN without a sensible MSS";
  if (segment.has_scale && segment.scale > 14) return "a window scale above 14";
  if (segment.sack_count != 0) return "SACK in a SYN";
  if (segment.is(WireSegment::kAck)) {
    if (!other.syn_seen || segment.ack != other.iss + 1) return "the ACK of a SYN is wrong";
    // RFC 7323 2.2 and 3.2, RFC 2018 2: an answer offers what the SYN offered.
    if (segment.has_scale && !other.scale_offered) return "window scale not offered by the SYN";
    if (segment.has_timestamps && !other.timestamps_offered) return "timestamps not offered";
    if (segment.has_sack_permitted && !other.sack_offered) return "SACK not offered by the SYN";
    own.acked = std::max<std::uint64_t>(own.acked, 1);
    own.ack_any = true;
  } else if (segment.has_timestamps && segment.tsecr != 0) {
    return "a TSecr in a first SYN";
  }
  // Both forms of a SYN (simultaneous open) say the same.
  if (!first && (own.mss != segment.mss || (segment.has_scale && own.scale != segment.scale)))
    return "a repeated SYN says something else";
  take_syn_options(own, segment);
  if (segment.has_timestamps) {
    if (own.tsval_any && newer(own.tsval, segment.tsval)) return "TSval goes back";
    own.tsval_any = true;
    own.tsval = segment.tsval;
  }
  return {};
}

std::string SegmentAudit::check_options(Half& own, const Half& other, const WireSegment& segment) {
  if (segment.has_mss || segment.has_scale || segment.has_sack_permitted)
    return "an option of SYNs in another segment";
  const bool timestamps = own.timestamps_offered && other.timestamps_offered;
  // RFC 7323 3.2.
  if (timestamps != segment.has_timestamps) return "timestamps are not as agreed";
  if (timestamps) {
    if (own.tsval_any && newer(own.tsval, segment.tsval)) return "TSval goes back";
    own.tsval_any = true;
    own.tsval = segment.tsval;
    if (other.tsval_any && newer(segment.tsecr, other.tsval)) return "TSecr was never sent";
  }
  if (segment.sack_count == 0) return {};
  if (!own.sack_offered || !other.sack_offered) return "SACK was not agreed";
  return check_sack(own, other, segment);
}

std::string SegmentAudit::check_sack(const Half&, const Half& other, const WireSegment& segment) {
  const std::uint64_t ack = unwrap(segment.ack, other.iss, other.max);
  std::array<std::array<std::uint64_t, 2>, 4> blocks{};
  for (std::size_t i = 0; i < segment.sack_count; ++i) {
    blocks[i] = {unwrap(segment.sack[i][0], other.iss, other.max),
                 unwrap(segment.sack[i][1], other.iss, other.max)};
    if (blocks[i][0] >= blocks[i][1]) return "a SACK block that ends before it begins";
    if (blocks[i][1] > other.max) return "a SACK block of bytes that were never sent";
  }
  // RFC 2883 4: the first may report a duplicate: below the ACK or inside another block.
  std::size_t first = 0;
  if (blocks[0][0] < ack) first = 1;
  if (segment.sack_count > 1 && blocks[0][0] >= blocks[1][0] && blocks[0][1] <= blocks[1][1])
    first = 1;
  for (std::size_t i = first; i < segment.sack_count; ++i) {
    // RFC 2018 3: what touches the ACK would have been acknowledged.
    if (blocks[i][0] < ack) return "a SACK block below the ACK";
    for (std::size_t j = first; j < i; ++j)
      if (blocks[i][0] < blocks[j][1] && blocks[j][0] < blocks[i][1])
        return "SACK blocks that overlap";
  }
  return {};
}

std::string SegmentAudit::check_ack(Half& own, const Half& other, const WireSegment& segment) {
  if (!other.syn_seen) return "an ACK of nothing";
  const std::uint64_t ack = unwrap(segment.ack, other.iss, own.acked);
  if (ack > other.max) return "an ACK of what was never sent";
  if (own.ack_any && ack < own.acked) return "the ACK goes back";
  own.ack_any = true;
  own.acked = ack;
  const bool scaled = own.scale_offered && other.scale_offered;
  const std::uint64_t edge = ack + (std::uint64_t{segment.window} << (scaled ? own.scale : 0));
  if (edge < own.edge) return fmt::format("the right edge moves left by {}", own.edge - edge);
  own.edge = edge;
  return {};
}

std::string SegmentAudit::check_text(Half& own, const Half& other, const WireSegment& segment) {
  const std::uint64_t length = segment.payload.size();
  const std::uint64_t seq = unwrap(segment.seq, own.iss, own.max);
  const bool fin = segment.is(WireSegment::kFin);
  if (segment.is(WireSegment::kPsh) && length == 0) return "PSH without data";
  if (seq > own.max) return fmt::format("{} bytes are left out", seq - own.max);
  if (length == 0 && !fin) {
    // SND.NXT, or one less while a probe of the window or of a silent peer is out.
    return seq + 1 >= own.max ? "" : "a pure ACK that is not at SND.NXT";
  }
  if (seq == 0) return "data at the number of the SYN";
  // RFC 6691: the options come off the peer's MSS.
  if (length + segment.option_bytes > other.mss)
    return fmt::format("{} bytes with {} of options for an MSS of {}", length, segment.option_bytes,
                       other.mss);
  const std::uint64_t end = seq + length;
  const std::uint64_t allowed = other.edge + (length == 1 ? 1 : 0);
  if (end > allowed && end > own.max)
    return fmt::format("{} bytes beyond the window", end - allowed);
  if (own.fin_seen && end > own.fin) return "data behind the FIN";
  if (fin) {
    if (own.fin_seen && own.fin != end) return "the FIN has moved";
    if (end < own.max && !own.fin_seen) return "a FIN in the middle of what was sent";
    own.fin_seen = true;
    own.fin = end;
  }
  own.max = std::max(own.max, end + (fin ? 1 : 0));
  if (own.stream != kNoStream &&
      !StreamContent::instance().matches(own.stream, seq - 1, segment.payload))
    return fmt::format("wrong bytes at {} of the stream", seq - 1);
  return {};
}

}  // namespace pollux::sim
