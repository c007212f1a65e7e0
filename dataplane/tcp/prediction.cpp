// The short way of a received segment: whose it is, and the case that nearly all of them are. What
// is not plainly that goes the way of input.cpp, with nothing changed. Read first: RFC 7323 4.3.
#include <cstddef>

#include "dataplane/tcp/engine_impl.hpp"
#include "dataplane/wire/ipv4.hpp"

namespace pollux::tcp {

Connection* Engine::Impl::lookup(const net::TcpDatagram& datagram) noexcept {
  const std::byte* at = datagram.header.data();
  const std::uint16_t remote_port = load<Be16>(at + offsetof(wire::TcpHeader, source_port)).get();
  const std::uint16_t local_port =
      load<Be16>(at + offsetof(wire::TcpHeader, destination_port)).get();
  // Segments come in bursts of one connection.
  Connection* c = recent;
  if (c == nullptr || !c->in_use || c->local_port != local_port || c->remote.port != remote_port ||
      c->remote.address != datagram.source || !c->in_flow_table) {
    c = lookup(datagram.source, remote_port, local_port);
    if (c == nullptr) return nullptr;
    recent = c;
  }
  // One of our addresses does not take what belongs to another.
  return c->local == datagram.destination ? c : nullptr;
}

void Engine::Impl::prefetch(const net::TcpDatagram& datagram,
                            const net::TcpDatagram& before) const noexcept {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kLines = 6;  // of a connection; what an in-order segment and its ACK touch
  const std::uint32_t ports = load<Be32>(datagram.header.data()).get();
  if (ports == load<Be32>(before.header.data()).get() && datagram.source == before.source) return;
  const std::uint32_t hash = flows.hash(datagram.source, static_cast<std::uint16_t>(ports >> 16),
                                        static_cast<std::uint16_t>(ports));
  const std::uint32_t slot = flows.find(hash, [](std::uint32_t) { return true; });
  if (slot == kNoSlot) return;
  const auto* at = reinterpret_cast<const std::byte*>(&connections[slot]);
  for (std::size_t line = 0; line < kLines; ++line) __builtin_prefetch(at + line * kLine);
  __builtin_prefetch(&connections[slot].timer);
  // The reader's queue starts over whenever it is empty.
  __builtin_prefetch(view_rings.home(slot), 1);
}

/// The segment everybody waits for: in order, nothing unusual about it. True when it was handled.
bool Engine::Impl::input_predicted(Connection& c, const net::TcpDatagram& datagram,
                                   Instant now) noexcept {
  using wire::TcpHeader;
  const std::byte* at = datagram.header.data();
  const TcpSeq seq{load<Be32>(at + offsetof(TcpHeader, sequence_number)).get()};
  const TcpSeq ack{load<Be32>(at + offsetof(TcpHeader, acknowledgment_number)).get()};
  const unsigned flags = std::to_integer<unsigned>(at[offsetof(TcpHeader, flags)]);
  const std::uint32_t length = datagram.payload_bytes;
  if ((flags & ~unsigned{wire::kTcpPsh}) != wire::kTcpAck || seq != c.rcv_nxt ||
      c.phase != Phase::open || !c.reassembly.empty() || c.fin_known || c.dupacks != 0 ||
      c.scoreboard.sacked_bytes() != 0 || c.tail_probe.is_out || length > c.rcv_wnd() ||
      ack.distance_from(c.snd_una) > c.flight())
    return false;
  if (length != 0 && (datagram.ecn == wire::kEcnCe) != c.ecn.expects_ce()) return false;
  std::uint32_t tsecr = 0;
  if (c.ts_ok) {
    if (datagram.header.size() != wire::kTcpHeaderBytes + wire::kTimestampsBytes) return false;
    const std::byte* options = at + wire::kTcpHeaderBytes;
    if (load<Be32>(options).get() != wire::kTimestampsWord) return false;
    const std::uint32_t tsval = load<Be32>(options + 4).get();
    if (is_older_timestamp(tsval, c.ts_recent)) return false;
    tsecr = load<Be32>(options + 8).get();
    // RFC 7323 4.3: seq equals rcv_nxt here, so it is at most last_ack_sent only if all was
    // acknowledged.
    if (seq == c.last_ack_sent) {
      c.ts_recent = tsval;
      c.ts_recent_at = now;
    }
  } else if (datagram.header.size() != wire::kTcpHeaderBytes) {
    return false;
  }
  const std::uint32_t window = std::uint32_t{load<Be16>(at + offsetof(TcpHeader, window)).get()}
                               << c.snd_wnd_shift;
  if (length == 0) {
    // A pure ACK that moves nothing may be a duplicate: the slow path counts those.
    if (ack == c.snd_una) return false;
  } else if (ack == c.snd_una && seq.precedes(c.snd_wl1)) {
    // RFC 9293 3.10.7.4: a segment that was overtaken does not bring its window back.
    return false;
  } else {
    if (!append_payload(c, datagram.payload, 0, length)) return false;
    count_ack_bytes(c, length, now);
    raise(c, kReadable);
  }
  counters.segments_predicted.add();
  c.heard_at = now;
  if (window != c.snd_wnd) change_window(c, window);
  c.snd_wl1 = seq;
  c.snd_wl2 = ack;
  if (ack != c.snd_una) {
    if (c.ecn.marks) note_echo(c, ack, false);
    c.rack.begin_ack();
    AckNews news{.ack = ack, .tsecr = tsecr, .has_timestamp = c.ts_ok, .is_new = true};
    take_new_ack(c, news, now);
  }
  if (length == 0)
    for (const platform::RxSegment& piece : datagram.payload) give_back(piece.handle);
  return true;
}

}  // namespace pollux::tcp
