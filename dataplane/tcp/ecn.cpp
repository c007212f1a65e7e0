// Explicit congestion notification: agreed on in the handshake, CE echoed to the sender of the
// data, an echo answered by a smaller window once in a round trip; DCTCP's exact form of both.
// Read first: RFC 3168 6.1.1 to 6.1.6, RFC 8257 3.1 to 3.5.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"
#include "dataplane/wire/ipv4.hpp"

namespace pollux::tcp {
namespace {

constexpr std::uint8_t kSetup = wire::kTcpEce | wire::kTcpCwr;
/// RFC 3168 6.1.1.1: where a middlebox drops them, more ECN-setup SYN only cost time.
constexpr std::uint8_t kSetupsMost = 2;

}  // namespace

/// Flags of a SYN or SYN-ACK that is about to leave.
std::uint8_t Engine::Impl::ecn_syn_flags(Connection& c, bool is_answer) noexcept {
  EcnState& ecn = c.ecn;
  if (!limits.congestion.uses_ecn() || (is_answer && !ecn.echoes)) return 0;
  if (ecn.setups_sent == kSetupsMost) {
    if (!ecn.plain_sent) counters.ecn_fallbacks.add();
    // RFC 3168 6.1.1: who has sent a SYN without ECN sets no ECT, but still answers CE.
    ecn.plain_sent = true;
    ecn.marks = false;
    return 0;
  }
  ++ecn.setups_sent;
  ecn.offered = true;
  return is_answer ? std::uint8_t{wire::kTcpEce} : kSetup;
}

/// The peer's SYN or SYN-ACK.
void Engine::Impl::negotiate_ecn(Connection& c, const Segment& segment) noexcept {
  if (!limits.congestion.uses_ecn()) return;
  // RFC 3168 6.1.1: ECE and CWR in a SYN, ECE alone in a SYN-ACK (a peer that returns reserved bits
  // as they came agrees to nothing).
  const auto bits = static_cast<std::uint8_t>(segment.flags & kSetup);
  const bool agrees = segment.has_ack() ? c.ecn.offered && bits == wire::kTcpEce : bits == kSetup;
  c.ecn.echoes = agrees;
  c.ecn.marks = agrees && !c.ecn.plain_sent;
  c.ecn.exact = limits.congestion.algorithm == CongestionAlgorithm::dctcp;
}

void Engine::Impl::start_ecn(Connection& c) noexcept {
  c.ecn.cwr_end = c.snd_una - 1;
  c.ecn.window_end = c.snd_una;
  if (c.ecn.marks) counters.ecn_established.add();
}

/// A segment that is in the window, before its ACK and its data are taken.
void Engine::Impl::take_ecn(Connection& c, const Segment& segment, Instant now) noexcept {
  if (!c.ecn.echoes) return;
  const bool is_ce = segment.ecn == wire::kEcnCe;
  if (segment.length != 0) {
    if (is_ce) counters.ecn_marks_received.add();
    if (c.ecn.exact) {
      if (is_ce != c.ecn.echo) change_ce_state(c, is_ce, now);
    } else {
      // RFC 3168 6.1.3: CWR ends the echo; a mark on the same segment starts it again.
      if ((segment.flags & wire::kTcpCwr) != 0) c.ecn.echo = false;
      if (is_ce) c.ecn.echo = true;
    }
  }
  note_echo(c, segment.ack, (segment.flags & wire::kTcpEce) != 0);
}

/// RFC 8257 3.2: what was received under the other mark is acknowledged apart from what follows, so
/// that every acknowledged byte is reported with the mark it came with.
void Engine::Impl::change_ce_state(Connection& c, bool is_ce, Instant now) noexcept {
  if (c.ack_pending_bytes != 0 || c.ack_now) {
    const bool can_send = c.route_known && c.route_generation == interface.neighbour_generation();
    if (can_send && send_ack(c, now)) {
      counters.segments_sent.add();
      counters.ecn_change_acks.add();
    } else
      counters.ecn_acks_merged.add();
  }
  c.ecn.echo = is_ce;
  request_ack(c);
}

/// What an acknowledgment says about marks; snd_una has not moved yet.
void Engine::Impl::note_echo(Connection& c, TcpSeq ack, bool has_echo) noexcept {
  EcnState& ecn = c.ecn;
  ecn.echo_seen = has_echo;
  if (!ecn.marks) return;
  const bool is_new = c.snd_una.precedes(ack) && ack.precedes_or_is(c.snd_nxt);
  if (c.congestion.algorithm == CongestionAlgorithm::dctcp) {
    c.congestion.dctcp.on_ack(is_new ? ack.distance_from(c.snd_una) : 0, has_echo);
    if (ecn.window_end.precedes(ack)) {
      c.congestion.dctcp.end_window();
      ecn.window_end = c.snd_nxt;
    }
  }
  if (!has_echo) {
    // The end must not fall so far behind that it seems to lie ahead (2 GiB).
    if (is_new && ecn.cwr_end.precedes(ack)) ecn.cwr_end = ack - 1;
    return;
  }
  counters.ecn_echoes_received.add();
  // RFC 3168 6.1.2: once for a window of data, whether a mark or a loss came first.
  if (c.phase != Phase::open || c.flight() == 0 || !ecn.cwr_end.precedes(ack)) return;
  counters.ecn_reductions.add();
  c.congestion.on_congestion(window_used(c, c.flight()), c.mss, CongestionSignal::ecn_echo);
  c.congestion.cwnd = std::min(c.congestion.cwnd, c.congestion.ssthresh);
  note_window_reduced(c);
}

void Engine::Impl::note_window_reduced(Connection& c) noexcept {
  // RFC 3168 6.1.2: the peer is told, whatever the reason was.
  c.ecn.cwr_pending = c.ecn.marks;
  c.ecn.cwr_end = c.snd_nxt;
}

/// Data that was never sent before; returns the flags it needs.
std::uint8_t Engine::Impl::mark_new_data(Connection& c, Frame& frame) noexcept {
  // RFC 3168 6.1.4 to 6.1.6: pure ACKs, retransmissions and window probes stay without ECT.
  if (!c.ecn.marks) return 0;
  frame.ecn = wire::kEcnEct0;
  if (!c.ecn.cwr_pending) return 0;
  c.ecn.cwr_pending = false;
  return wire::kTcpCwr;
}

/// Any segment of a connection with the flags that it has so far.
std::uint8_t Engine::Impl::echo_flag(const Connection& c, std::uint8_t flags) noexcept {
  const bool is_plain_ack =
      (flags & (wire::kTcpSyn | wire::kTcpRst | wire::kTcpAck)) == wire::kTcpAck;
  return c.ecn.echo && is_plain_ack ? std::uint8_t{wire::kTcpEce} : std::uint8_t{0};
}

}  // namespace pollux::tcp
