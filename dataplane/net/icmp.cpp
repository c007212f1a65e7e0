#include "dataplane/net/icmp.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pollux::net {

using wire::IcmpHeader;

namespace {

constexpr std::uint8_t kReplyTimeToLive = 64;  // RFC 1122 3.2.1.7: configurable default
constexpr std::uint32_t kReplyHeaderBytes = kEthernetHeaderBytes + kIpv4HeaderBytes;

/// RFC 792: a quote holds the IP header and 64 bits: of TCP the ports and the sequence number.
constexpr std::uint32_t kQuotedTcpBytes = 8;

PathErrorKind unreachable_kind(std::uint8_t code) noexcept {
  switch (code) {
    case IcmpHeader::kFragmentationNeeded:
      return PathErrorKind::packet_too_big;
    case IcmpHeader::kProtocolUnreachable:
    case IcmpHeader::kPortUnreachable:
      return PathErrorKind::hard_unreachable;
    default:
      // RFC 9293 3.9.2.2 names 0, 1 and 5; later codes (RFC 1122 3.2.2.1, RFC 1812 5.2.7.1) come
      // from routers that speak of the moment as well.
      return PathErrorKind::soft_unreachable;
  }
}

/// Calls visit(bytes) for each contiguous piece of the frame's bytes [first, end).
template <class Visit>
void for_each_piece(std::span<const platform::RxSegment> segments, std::uint32_t first,
                    std::uint32_t end, Visit visit) noexcept {
  std::uint32_t at = 0;
  for (const platform::RxSegment& segment : segments) {
    const std::uint32_t from = std::max(at, first);
    const std::uint32_t to = std::min(at + segment.length, end);
    if (from < to) visit(std::span<const std::byte>(segment.data + (from - at), to - from));
    at += segment.length;
  }
}

}  // namespace

Icmp::Icmp(const wire::EthernetAddress& mac, Egress& egress, const platform::PortInfo& info,
           const Ipv4Subnet& subnet, Counters& counters, PathErrorQueue& errors,
           Instant start) noexcept
    : mac_(mac),
      egress_(egress),
      info_(info),
      subnet_(subnet),
      counters_(counters),
      errors_(errors),
      credited_at_(start) {}

bool Icmp::spend(Instant now) noexcept {
  if (now > credited_at_) {
    credit_ = now - credited_at_ >= kReplyCredit
                  ? kReplyCredit
                  : std::min(kReplyCredit, credit_ + (now - credited_at_));
    credited_at_ = now;
  }
  if (credit_ < kReplyCost) return false;
  credit_ -= kReplyCost;
  return true;
}

void Icmp::input(const FrameView& frame, const Ipv4Packet& packet, Instant now) noexcept {
  if (packet.end - packet.payload < sizeof(IcmpHeader)) {
    counters_.drop_icmp_malformed.add();
    return;
  }
  wire::InternetSum sum;
  for_each_piece(frame.segments, packet.payload, packet.end, [&](auto piece) { sum.add(piece); });
  if (!sum.verifies()) {
    counters_.drop_icmp_checksum.add();
    return;
  }
  const auto icmp = load<IcmpHeader>(frame.head.data() + packet.payload);
  switch (icmp.type) {
    case IcmpHeader::kEchoRequest:
      counters_.icmp_echo_in.add();
      spend(now) ? reply(frame, packet) : counters_.drop_icmp_rate.add();
      return;
    case IcmpHeader::kDestinationUnreachable:
      counters_.icmp_unreachable_in.add();
      return input_error(frame, packet, unreachable_kind(icmp.code), icmp.sequence.get());
    case IcmpHeader::kTimeExceeded:
      counters_.icmp_time_exceeded_in.add();
      return input_error(frame, packet, PathErrorKind::time_exceeded, 0);
    case IcmpHeader::kParameterProblem:
      counters_.icmp_parameter_problem_in.add();
      return input_error(frame, packet, PathErrorKind::parameter_problem, 0);
    case IcmpHeader::kSourceQuench:
      counters_.icmp_source_quench_in.add();
      return input_error(frame, packet, PathErrorKind::source_quench, 0);
    case IcmpHeader::kRedirect:
      counters_.icmp_redirect_in.add();
      return;
    default:
      counters_.icmp_other_in.add();
  }
}

// RFC 5927 4: an error counts only as far as it quotes what we have sent. Checked here: the quote
// is an IPv4 header with the first eight bytes of TCP behind it, from our address to another host,
// and no fragment (we send with DF). The ports and the sequence number are TCP's to judge.
void Icmp::input_error(const FrameView& frame, const Ipv4Packet& packet, PathErrorKind kind,
                       std::uint16_t mtu) noexcept {
  std::array<std::byte, wire::Ipv4Header::kBytesMax + kQuotedTcpBytes> quote;
  std::size_t quoted = 0;
  const std::uint32_t first = packet.payload + static_cast<std::uint32_t>(sizeof(IcmpHeader));
  const std::uint32_t most = first + static_cast<std::uint32_t>(quote.size());
  for_each_piece(frame.segments, first, std::min(packet.end, most), [&](auto piece) {
    std::memcpy(quote.data() + quoted, piece.data(), piece.size());
    quoted += piece.size();
  });
  if (quoted < kIpv4HeaderBytes) return counters_.drop_icmp_quote_short.add();
  const auto ip = load<wire::Ipv4Header>(quote.data());
  const std::uint32_t header = ip.header_bytes();
  if (ip.version() != 4 || header < kIpv4HeaderBytes || ip.is_fragment() ||
      ip.total_length.get() < header + kQuotedTcpBytes)
    return counters_.drop_icmp_quote_malformed.add();
  if (quoted < header + kQuotedTcpBytes) return counters_.drop_icmp_quote_short.add();
  if (ip.source.get() != subnet_.address || !subnet_.is_other_host(ip.destination.get()) ||
      ip.protocol != wire::kProtocolTcp)
    return counters_.drop_icmp_quote_foreign.add();
  const std::byte* tcp = quote.data() + header;
  const PathError error{.kind = kind,
                        .mtu = mtu,
                        .quoted_bytes = ip.total_length.get(),
                        .source = IpAddress::from_v4_host(ip.source.get()),
                        .destination = IpAddress::from_v4_host(ip.destination.get()),
                        .source_port = load<Be16>(tcp).get(),
                        .destination_port = load<Be16>(tcp + 2).get(),
                        .sequence = load<Be32>(tcp + 4).get()};
  if (!errors_.push(error)) counters_.drop_path_error_full.add();
}

// Copies the ICMP message behind room for the headers into as many buffers as it takes. Returns the
// number of segments; 0 when there is no memory or it takes too many.
std::size_t Icmp::copy_out(const FrameView& frame, const Ipv4Packet& packet,
                           std::span<platform::TxSegment> reply) noexcept {
  std::array<platform::FrameBuffer, kReplySegmentsMax> buffers;
  std::size_t used = 0;
  std::uint32_t filled = 0;
  const auto next_buffer = [&](std::uint32_t reserved) {
    if (used == reply.size()) {
      counters_.drop_icmp_size.add();
      return false;
    }
    buffers[used] = egress_.take_buffer();
    if (buffers[used].data == nullptr) {
      counters_.drop_reply_no_buffer.add();
      return false;
    }
    ++used;
    filled = reserved;
    return true;
  };
  bool fits = next_buffer(kReplyHeaderBytes);
  for_each_piece(frame.segments, packet.payload, packet.end, [&](std::span<const std::byte> piece) {
    while (fits && !piece.empty()) {
      const platform::FrameBuffer& buffer = buffers[used - 1];
      if (filled == buffer.capacity) {
        fits = next_buffer(0);
        continue;
      }
      const std::size_t n = std::min<std::size_t>(piece.size(), buffer.capacity - filled);
      std::memcpy(buffer.data + filled, piece.data(), n);
      filled += static_cast<std::uint32_t>(n);
      reply[used - 1].length = filled;
      piece = piece.subspan(n);
    }
  });
  if (!fits) {
    for (std::size_t i = 0; i < used; ++i) egress_.give_back(buffers[i]);
    return 0;
  }
  for (std::size_t i = 0; i < used; ++i) {
    reply[i].data = buffers[i].data;
    reply[i].handle = buffers[i].handle;
  }
  return used;
}

void Icmp::reply(const FrameView& frame, const Ipv4Packet& packet) noexcept {
  std::array<platform::TxSegment, kReplySegmentsMax> segments;
  const std::size_t most = std::min<std::size_t>(segments.size(), info_.tx_segments_max);
  const std::uint32_t message = packet.end - packet.payload;
  if (message + kIpv4HeaderBytes > info_.mtu) {
    counters_.drop_icmp_size.add();
    return;
  }
  if (!egress_.can_reply(most)) {
    counters_.drop_reply_no_room.add();
    return;
  }
  const std::size_t used = copy_out(frame, packet, {segments.data(), most});
  if (used == 0) return;

  // The head of a frame is always a buffer of take_buffer(), so it is ours to write.
  auto* head = const_cast<std::byte*>(segments[0].data);
  const auto from = load<wire::EthernetHeader>(frame.head.data());
  store(head, wire::EthernetHeader{from.source, mac_, Be16(wire::kEtherTypeIpv4)});
  wire::Ipv4Header ip;
  ip.type_of_service = packet.header.type_of_service;
  ip.total_length.set(static_cast<std::uint16_t>(kIpv4HeaderBytes + message));
  ip.identification = packet.header.identification;
  ip.time_to_live = kReplyTimeToLive;
  ip.protocol = wire::kProtocolIcmp;
  ip.source = packet.header.destination;
  ip.destination = packet.header.source;
  store(head + kEthernetHeaderBytes, ip);
  wire::InternetSum sum;
  sum.add({head + kEthernetHeaderBytes, kIpv4HeaderBytes});
  ip.header_checksum = sum.checksum();
  store(head + kEthernetHeaderBytes, ip);

  auto icmp = load<IcmpHeader>(head + kReplyHeaderBytes);
  const Be16 old_word(static_cast<std::uint16_t>(icmp.type << 8 | icmp.code));
  icmp.type = IcmpHeader::kEchoReply;
  const Be16 new_word(icmp.code);
  icmp.checksum = wire::update_checksum(icmp.checksum, old_word, new_word);
  // RFC 1624 3: the update takes a message of nothing but zeroes for a sum of -0. All ones are
  // right for either.
  if (icmp.checksum == Be16{}) icmp.checksum.set(0xffff);
  store(head + kReplyHeaderBytes, icmp);
  egress_.send({segments.data(), used});
  counters_.icmp_echo_out.add();
}

}  // namespace pollux::net
