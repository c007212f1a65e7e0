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
           Counters& counters, Instant start) noexcept
    : mac_(mac), egress_(egress), info_(info), counters_(counters), credited_at_(start) {}

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
  if (icmp.type == IcmpHeader::kDestinationUnreachable) {
    counters_.icmp_unreachable_in.add();
    return;
  }
  if (icmp.type != IcmpHeader::kEchoRequest) {
    counters_.icmp_other_in.add();
    return;
  }
  counters_.icmp_echo_in.add();
  if (!spend(now)) {
    counters_.drop_icmp_rate.add();
    return;
  }
  reply(frame, packet);
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
  store(head + kReplyHeaderBytes, icmp);
  egress_.send({segments.data(), used});
  counters_.icmp_echo_out.add();
}

}  // namespace pollux::net
