// Frames: headers from a template, payload attached or copied behind them.
// A frame that was handed to the interface is never touched again; a retransmission is a new one.
// Read first: RFC 9293 3.1, RFC 791 3.1, RFC 6864 4, RFC 8200 3.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/tcp/engine_impl.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::tcp {
namespace {

constexpr std::uint32_t kCopyBelow = 256;  // attaching a shorter piece costs more than copying it
constexpr std::uint32_t kResetsPerSecond = 100;

/// What the frames of one flow start with: Ethernet and IP, but for lengths and checksums. Returns
/// its bytes.
std::uint8_t write_link_header(std::span<std::byte, kLinkBytesMax> out, const net::Route& route,
                               const net::IpAddress& source, const net::IpAddress& destination,
                               std::uint32_t flow_label) noexcept {
  std::memcpy(out.data(), route.ethernet.data(), net::kEthernetHeaderBytes);
  std::byte* ip = out.data() + net::kEthernetHeaderBytes;
  if (destination.is_v4()) {
    wire::Ipv4Header header;
    header.type_of_service = route.traffic_class;
    // RFC 6864 4.1: a datagram that is never fragmented (DF) needs no identification.
    header.flags_fragment_offset.set(wire::Ipv4Header::kDontFragment);
    header.time_to_live = route.hop_limit;
    header.protocol = wire::kProtocolTcp;
    header.source.set(source.v4_host());
    header.destination.set(destination.v4_host());
    store(ip, header);
    return net::kEthernetHeaderBytes + net::kIpv4HeaderBytes;
  }
  wire::Ipv6Header header;
  // RFC 6437 3: the same for all of a flow, and not to be guessed.
  header.set_class_and_flow(route.traffic_class, flow_label);
  header.next_header = wire::kNextTcp;
  header.hop_limit = route.hop_limit;
  header.source = source.bytes;
  header.destination = destination.bytes;
  store(ip, header);
  return net::kEthernetHeaderBytes + net::kIpv6HeaderBytes;
}

/// Puts the link header in front of a frame whose TCP part is complete.
void put_link_header(Frame& frame, std::span<const std::byte> link) noexcept {
  std::uint32_t tcp_bytes = 0;
  for (std::size_t i = 0; i < frame.count; ++i) tcp_bytes += frame.segments[i].length;
  const auto link_bytes = static_cast<std::uint32_t>(link.size());
  std::byte* head = frame.tcp - link_bytes;
  // Two overlapping halves, so that the checksum reads addresses that were written in one piece.
  const auto copy = [&link, head](std::size_t first, auto bytes) {
    std::memcpy(head + first, link.data() + first, bytes);
  };
  using Half = std::integral_constant<std::size_t, 16>;
  if (link_bytes == kLinkBytesMax) {
    std::memcpy(head, link.data(), kLinkBytesMax);
  } else {
    copy(0, Half{});
    copy(net::kEthernetHeaderBytes + net::kIpv4HeaderBytes - Half::value, Half{});
    copy(Half::value, std::integral_constant<std::size_t, 2>{});
  }
  std::byte* ip = head + net::kEthernetHeaderBytes;
  if (link_bytes == kLinkBytesMax)
    store(ip + offsetof(wire::Ipv6Header, payload_length),
          Be16{static_cast<std::uint16_t>(tcp_bytes)});
  else
    store(ip + offsetof(wire::Ipv4Header, total_length),
          Be16{static_cast<std::uint16_t>(net::kIpv4HeaderBytes + tcp_bytes)});
  // RFC 3168 5: the two bits behind the DSCP, whatever that is.
  if (frame.ecn == wire::kEcnNotEct) {
    // They are zero already.
  } else if (link_bytes == kLinkBytesMax)
    ip[1] |= std::byte{static_cast<std::uint8_t>(frame.ecn << 4)};
  else
    ip[1] |= std::byte{frame.ecn};
  frame.segments[0].data = head;
  frame.segments[0].length += link_bytes;
}

}  // namespace

Engine::Impl::RouteVerdict Engine::Impl::refresh_route(Connection& c, Instant now) noexcept {
  if (c.route_known && c.route_generation == interface.neighbour_generation())
    return RouteVerdict::ready;
  net::Route route;
  const bool silent = c.state == State::syn_sent && c.snd_nxt == c.iss;
  // RFC 4862 5.5.4: an address that is no longer ours is no source any more.
  if (!silent && !interface.is_own(c.local)) return RouteVerdict::unreachable;
  switch (interface.route(c.remote.address, now, route)) {
    case net::RouteState::resolved:
      // Addresses may have come and gone until here; from the SYN on it stays the same.
      if (silent) c.local = route.source;
      c.link_bytes =
          write_link_header(c.link_header, route, c.local, c.remote.address, c.flow_hash);
      c.route_known = true;
      c.route_generation = route.generation;
      take_link_mtu(c, route.mtu, now);
      return RouteVerdict::ready;
    case net::RouteState::pending:
      return RouteVerdict::wait;
    case net::RouteState::unreachable:
      break;
  }
  return RouteVerdict::unreachable;
}

bool Engine::Impl::begin_frame(Frame& frame, std::size_t option_bytes, Urgency urgency) noexcept {
  frame.limit = std::min<std::size_t>(interface.port_info().tx_segments_max, Frame::kSegmentsMax);
  if (!interface.can_send(frame.limit)) return false;
  const platform::FrameBuffer buffer = interface.take_buffer(urgency);
  if (buffer.data == nullptr) {
    counters.pool_empty.add();
    return false;
  }
  // The link header is put in front at the end: its length depends on the destination.
  const auto tcp_bytes = static_cast<std::uint32_t>(wire::kTcpHeaderBytes + option_bytes);
  const auto used = static_cast<std::uint32_t>(kLinkBytesMax) + tcp_bytes;
  POLLUX_ASSERT(buffer.capacity >= used);
  frame.tcp = buffer.data + kLinkBytesMax;
  frame.segments[0] = {.data = frame.tcp, .length = tcp_bytes, .handle = buffer.handle};
  frame.count = 1;
  frame.tail = buffer.data + used;
  frame.tail_room = buffer.capacity - used;
  return true;
}

void Engine::Impl::drop_frame(Frame& frame) noexcept {
  for (std::size_t i = 0; i < frame.count; ++i)
    if (frame.segments[i].handle != nullptr) give_back(frame.segments[i].handle);
}

/// Appends a copy; `placed` grows by what found room. False when that was not all.
bool Engine::Impl::copy_in(Frame& frame, std::span<const std::byte> bytes,
                           std::uint32_t& placed) noexcept {
  while (!bytes.empty()) {
    if (frame.tail == nullptr || frame.tail_room == 0) {
      if (frame.count == frame.limit) return false;
      const platform::FrameBuffer buffer = interface.take_buffer();
      if (buffer.data == nullptr) {
        counters.pool_empty.add();
        return false;
      }
      frame.segments[frame.count++] = {.data = buffer.data, .handle = buffer.handle};
      frame.tail = buffer.data;
      frame.tail_room = buffer.capacity;
    }
    const auto n =
        static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), frame.tail_room));
    std::memcpy(frame.tail, bytes.data(), n);
    frame.tail += n;
    frame.tail_room -= n;
    frame.segments[frame.count - 1].length += n;
    counters.bytes_copied.add(n);
    placed += n;
    bytes = bytes.subspan(n);
  }
  return true;
}

void Engine::Impl::advance_cursor(Connection& c) noexcept {
  while (c.send_cursor != c.queue.tail) {
    const SendDescriptor& d = c.queue.at(c.send_cursor);
    if (!(TcpSeq{d.start} + d.length).precedes_or_is(c.snd_nxt)) break;
    ++c.send_cursor;
  }
}

/// Puts up to `want` queued bytes from `seq` on into the frame. Returns how many: fewer when the
/// frame has as many pieces as the port takes, or no buffer is left.
std::uint32_t Engine::Impl::gather(Connection& c, Frame& frame, TcpSeq seq, std::uint32_t want,
                                   bool copy) noexcept {
  if (want == 0) return 0;
  std::uint32_t index = c.send_cursor;
  if (seq != c.snd_nxt) {
    // The last descriptor that starts at or before seq.
    std::uint32_t low = 0;
    std::uint32_t high = c.queue.size();
    while (high - low > 1) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (TcpSeq{c.queue.at(c.queue.head + middle).start}.precedes_or_is(seq))
        low = middle;
      else
        high = middle;
    }
    index = c.queue.head + low;
  }
  std::uint32_t placed = 0;
  for (; placed < want && index != c.queue.tail; ++index) {
    const SendDescriptor& d = c.queue.at(index);
    const std::uint32_t offset = (seq + placed).distance_from(TcpSeq{d.start});
    const std::uint32_t length = std::min(d.length - offset, want - placed);
    if (d.data == nullptr) {
      const auto [first, rest] = c.inline_bytes.at(d.inline_at + offset, length);
      if (!copy_in(frame, first, placed) || !copy_in(frame, rest, placed)) break;
    } else if (copy || length < kCopyBelow) {
      if (!copy_in(frame, {d.data + offset, length}, placed)) break;
    } else {
      if (frame.count == frame.limit) break;
      frame.segments[frame.count++] = {
          .data = d.data + offset, .length = length, .tracker = d.tracker};
      frame.tail = nullptr;
      placed += length;
    }
  }
  return placed;
}

std::size_t Engine::Impl::write_options(Connection& c, std::byte* out, Instant now) noexcept {
  if (!c.ts_ok) return 0;
  wire::write_timestamps(out, timestamp(c, now), c.ts_recent);
  return wire::kTimestampsBytes;
}

void Engine::Impl::finish_frame(Connection& c, Frame& frame, TcpSeq seq, std::uint8_t flags,
                                std::uint16_t window, std::span<const std::byte> options) noexcept {
  put_link_header(frame, {c.link_header.data(), c.link_bytes});
  // Word by word to where it belongs: a header that is put together elsewhere and copied waits for
  // its own fields.
  using wire::TcpHeader;
  const std::size_t header_bytes = wire::kTcpHeaderBytes + options.size();
  const auto put = [at = frame.tcp](std::size_t offset, std::uint32_t word) {
    store(at + offset, Be32{word});
  };
  put(offsetof(TcpHeader, source_port), std::uint32_t{c.local_port} << 16 | c.remote.port);
  put(offsetof(TcpHeader, sequence_number), seq.raw());
  put(offsetof(TcpHeader, acknowledgment_number),
      (flags & wire::kTcpAck) != 0 ? c.rcv_nxt.raw() : 0);
  put(offsetof(TcpHeader, data_offset),
      static_cast<std::uint32_t>(header_bytes / 4) << 28 |
          std::uint32_t{flags | unsigned{echo_flag(c, flags)}} << 16 | window);
  put(offsetof(TcpHeader, checksum), 0);
  std::byte* const behind = frame.tcp + wire::kTcpHeaderBytes;
  if (options.size() == wire::kTimestampsBytes) {
    std::memcpy(behind, options.data(), wire::kTimestampsBytes);
  } else {
    for (std::size_t i = 0; i < options.size(); i += 4)
      std::memcpy(behind + i, options.data() + i, 4);
  }
  interface.send_tcp({frame.segments.data(), frame.count}, header_bytes);
}

/// RFC 9293 3.10.7.1: the form of a RST to a segment that belongs to no connection (or to no ACK
/// that this one could have caused). Limited, so that nobody can make us send at will.
void Engine::Impl::answer_with_reset(const net::TcpDatagram& datagram,
                                     const wire::TcpHeader& header, const Segment& segment,
                                     Instant now) noexcept {
  if (now - reset_tokens_at >= 1s) {
    reset_tokens_at = now;
    reset_tokens = kResetsPerSecond;
  }
  net::Route route;
  Frame frame;
  if (reset_tokens == 0 ||
      interface.route(datagram.source, now, route) != net::RouteState::resolved ||
      !begin_frame(frame, 0)) {
    counters.suppressed_resets.add();
    return;
  }
  --reset_tokens;
  std::array<std::byte, kLinkBytesMax> link;
  const std::uint8_t link_bytes =
      write_link_header(link, route, datagram.destination, datagram.source, 0);
  put_link_header(frame, {link.data(), link_bytes});
  wire::TcpHeader reply;
  reply.source_port = header.destination_port;
  reply.destination_port = header.source_port;
  reply.set_header_bytes(wire::kTcpHeaderBytes);
  if (segment.has_ack()) {
    reply.sequence_number.set(segment.ack.raw());
    reply.flags = wire::kTcpRst;
  } else {
    reply.acknowledgment_number.set((segment.seq + segment.sequence_length()).raw());
    reply.flags = wire::kTcpRst | wire::kTcpAck;
  }
  store(frame.tcp, reply);
  interface.send_tcp({frame.segments.data(), frame.count}, wire::kTcpHeaderBytes);
  counters.resets_sent.add();
}

}  // namespace pollux::tcp
