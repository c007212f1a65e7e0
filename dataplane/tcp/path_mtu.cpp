// What ICMP and silence say about a path: error messages are matched with what is in flight, the
// path MTU falls when a segment was too big and rises again when that is long ago.
// Read first: RFC 5927 4 to 7, RFC 1191 5 to 7, RFC 8201 4, RFC 4821 7.7, RFC 9293 3.9.2.2.
#include "dataplane/tcp/path_mtu.hpp"

#include <algorithm>

#include "dataplane/net/path_error.hpp"
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

// RFC 1191 3 allows paths of 68 bytes. No network in use has them, and a forger who sees our
// segments would like us to believe in one: below this, what a message says is clamped.
constexpr std::uint16_t kIpv4MtuMin = 552;
constexpr std::uint16_t kIpv6MtuMin = 1280;  // RFC 8200 5

/// RFC 1191 7, table 7-1: sizes of networks in use then; a router that names no size has the next.
constexpr std::uint16_t kPlateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508};

/// What is tried when full segments vanish: a switch without jumbo frames, a tunnel or two, and the
/// sizes that every host takes.
constexpr std::uint16_t kBlackHoleSteps[] = {1500, 1280, 1024, 576};
/// A segment that fits this is not suspected: every IPv6 path carries it, so IPv4 paths do.
constexpr std::uint32_t kInnocentBytes = 1280;

std::uint16_t plateau_below(std::uint16_t bytes) noexcept {
  for (const std::uint16_t plateau : kPlateaus)
    if (plateau < bytes) return plateau;
  return 0;
}

bool is_v6(const Connection& c) noexcept { return !c.remote.address.is_v4(); }

/// The IP packet of a full segment.
std::uint32_t full_packet_bytes(const Connection& c) noexcept {
  const std::uint32_t options = c.ts_ok ? wire::kTimestampsBytes : 0;
  return c.mss + options + (is_v6(c) ? 60u : 40u);
}

std::uint16_t black_hole_step(const Connection& c) noexcept {
  const std::uint32_t bytes = full_packet_bytes(c);
  for (const std::uint16_t step : kBlackHoleSteps)
    if (step < bytes && (!is_v6(c) || step >= kIpv6MtuMin)) return step;
  return 0;
}

}  // namespace

std::uint16_t PathMtuCache::find(const net::IpAddress& destination, Instant now,
                                 Instant& until) const noexcept {
  for (const Entry& entry : entries_) {
    if (entry.until <= now || entry.destination != destination) continue;
    until = std::min(until, entry.until);
    return entry.mtu;
  }
  return kUnknown;
}

void PathMtuCache::lower(const net::IpAddress& destination, std::uint16_t mtu,
                         Instant now) noexcept {
  Entry* place = &entries_[0];
  for (Entry& entry : entries_) {
    if (entry.until > now && entry.destination == destination) {
      place = &entry;
      mtu = std::min(mtu, entry.mtu);
      break;
    }
    if (entry.until < place->until) place = &entry;
  }
  *place = {destination, now + kLifetime, mtu};
}

void Engine::on_path_error(const net::PathError& error, Instant now) noexcept {
  impl_->on_path_error(error, now);
}

void Engine::Impl::on_path_error(const net::PathError& error, Instant now) noexcept {
  // RFC 6633 1 (RFC 9293 MUST-55): ignored whatever it quotes.
  if (error.kind == net::PathErrorKind::source_quench) return counters.ignored_source_quench.add();
  Connection* found = lookup(error.destination, error.destination_port, error.source_port);
  if (found == nullptr || found->state == State::closed ||
      local_endpoint(*found).address != error.source)
    return counters.ignored_path_error_no_connection.add();
  Connection& c = *found;
  // RFC 5927 4.1: SND.UNA <= SEG.SEQ < SND.NXT, or it is about nothing that can still be on its
  // way.
  if (!TcpSeq{error.sequence}.in_window(c.snd_una, c.snd_max().distance_from(c.snd_una)))
    return counters.ignored_path_error_stale.add();
  switch (error.kind) {
    case net::PathErrorKind::packet_too_big:
      return on_packet_too_big(c, error, now);
    case net::PathErrorKind::hard_unreachable:
      // RFC 5927 5.2: hard only for a connection that does not stand yet. One that does is carried
      // by its acknowledgments and ended by its own timers.
      if (c.state != State::syn_sent) return counters.ignored_hard_unreachable.add();
      counters.hard_unreachable.add();
      return end(c, EndReason::refused);
    case net::PathErrorKind::soft_unreachable:
    case net::PathErrorKind::time_exceeded:
      // RFC 9293 3.9.2.2 MUST-56: no reason to end it. If it times out all the same, this is why.
      c.unreachable_noted = true;
      return counters.soft_unreachable.add();
    case net::PathErrorKind::parameter_problem:
    case net::PathErrorKind::source_quench:
      return counters.soft_unreachable.add();
  }
}

void Engine::Impl::on_packet_too_big(Connection& c, const net::PathError& error,
                                     Instant now) noexcept {
  if (!is_synchronized(c.state)) {
    // A SYN of 60 bytes cannot be made smaller: this is code 4 without its meaning, which RFC 9293
    // 3.9.2.2 counts among the hard errors.
    if (c.state != State::syn_sent) return counters.ignored_hard_unreachable.add();
    counters.hard_unreachable.add();
    return end(c, EndReason::host_unreachable);
  }
  std::uint16_t mtu = error.mtu;
  if (is_v6(c)) {
    // RFC 8201 4: a message that names less than the IPv6 minimum must be discarded.
    if (mtu < kIpv6MtuMin) return counters.ignored_packet_too_big.add();
  } else {
    // RFC 1191 5: routers of before say nothing; guessed from the size that they have refused, so
    // that many messages about segments of one size lower the guess once.
    if (mtu == 0) mtu = plateau_below(error.quoted_bytes);
    mtu = std::max(mtu, kIpv4MtuMin);
  }
  // RFC 1191 6.3, RFC 8201 4: a message never raises the estimate.
  if (mtu >= c.path_mtu) return counters.ignored_packet_too_big.add();
  counters.path_mtu_lowered.add();
  path_mtus.lower(c.remote.address, mtu, now);
  const std::uint16_t mss_before = c.mss;
  apply_path_mtu(c, now);
  if (c.mss < mss_before) resend_too_big(c, TcpSeq{error.sequence}, now);
}

/// RFC 1191 6.4 and 6.5, RFC 8201 5.4: what was too big, from the quoted segment on (what left
/// before it may have got through), goes out again at once in smaller pieces. That is a repair
/// without a cut of the window, for no queue has overflowed. Messages about the other segments find
/// the MTU lowered already and do nothing.
void Engine::Impl::resend_too_big(Connection& c, TcpSeq from, Instant now) noexcept {
  bool found = false;
  for (std::uint32_t i = 0; i < c.scoreboard.size(); ++i) {
    const Transmission& run = c.scoreboard[i];
    if (run.sacked || run.bytes() <= c.mss || TcpSeq{run.end}.precedes_or_is(from)) continue;
    c.scoreboard.mark_lost(i);
    found = true;
  }
  if (!found) return;
  if (c.phase == Phase::open) {
    c.phase = Phase::loss;
    c.undo = {};
    c.tail_probe = {};
    c.dupacks = 0;
  }
  c.duplicate_bytes = 0;  // of runs that count as lost now
  c.recover = c.snd_nxt;
  c.rtx_pending = true;
  c.rtt_timing = false;  // RFC 6298 3
  restart_retransmission_timer(c, now);
  mark_dirty(c);
}

void Engine::Impl::take_link_mtu(Connection& c, std::uint16_t link_mtu, Instant now) noexcept {
  c.link_mtu = link_mtu;
  apply_path_mtu(c, now);
}

/// The path MTU is the smallest of what the link, messages and (for a while) silence allow. Called
/// when one of them has changed, and at c.mtu_at when one has ended.
void Engine::Impl::apply_path_mtu(Connection& c, Instant now) noexcept {
  Instant until = kNever;
  std::uint16_t mtu = std::min(c.link_mtu, path_mtus.find(c.remote.address, now, until));
  if (c.black_hole.mtu != 0 && c.black_hole.until <= now) c.black_hole.mtu = 0;
  if (c.black_hole.mtu != 0) {
    mtu = std::min(mtu, c.black_hole.mtu);
    until = std::min(until, c.black_hole.until);
  }
  if (c.state == State::closed) return;
  c.mtu_at = until;
  if (until != kNever) arm(c, until);
  if (mtu == c.path_mtu) return;
  if (mtu > c.path_mtu && is_synchronized(c.state)) counters.path_mtu_raised.add();
  c.path_mtu = mtu;
  if (!is_synchronized(c.state)) return;    // the handshake sets the MSS
  const std::uint16_t rcv_mss = c.rcv_mss;  // the other direction is another path
  set_mss(c);
  c.rcv_mss = rcv_mss;
  c.congestion.cwnd = std::max<std::uint32_t>(c.congestion.cwnd, c.mss);
}

/// RFC 4821 7.7: called at every retransmission timeout. Full segments that vanish two times in a
/// row, on a connection whose handshake got through, may be too big for a router that does not say
/// so: each further timeout tries a smaller size. When the smallest is lost as well, size was not
/// why, and what was in force before is restored.
void Engine::Impl::suspect_black_hole(Connection& c, Instant now) noexcept {
  BlackHole& hole = c.black_hole;
  if (hole.timeouts == 0 || hole.stuck_at != c.snd_una) {
    hole.stuck_at = c.snd_una;
    hole.mtu_before = hole.mtu;
    hole.timeouts = 0;
  }
  const bool started = hole.timeouts >= BlackHole::kTimeouts;
  // A peer whose window has no room for the segment is silent for that reason.
  if (hole.timeouts == BlackHole::kRuledOut || std::min(c.flight(), c.snd_wnd) < c.mss ||
      (!started && full_packet_bytes(c) <= kInnocentBytes))
    return;
  ++hole.timeouts;
  if (hole.timeouts < BlackHole::kTimeouts) return;
  const std::uint16_t step = black_hole_step(c);
  if (step != 0) {
    counters.black_hole_probes.add();
    if (!started && hole.findings < 0xff) ++hole.findings;
    hole.mtu = step;
    hole.until = now + (hole.findings < 2 ? BlackHole::kFirstTrial : PathMtuCache::kLifetime);
  } else if (hole.mtu != hole.mtu_before) {
    counters.black_holes_disproved.add();
    hole.mtu = hole.mtu_before;
    hole.timeouts = BlackHole::kRuledOut;
  } else {
    hole.timeouts = BlackHole::kRuledOut;
  }
  apply_path_mtu(c, now);
}

}  // namespace pollux::tcp
