// Finding and repairing losses: NewReno, SACK-based recovery, and the retransmission timeout.
// Read first: RFC 5681 3.2, RFC 6582 3.2, RFC 6675 3 to 5, RFC 6298 5.4 to 5.6.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

constexpr std::uint8_t kDupThresh = 3;

/// Calls visit(from, to, above) for every run of bytes in flight that no SACK has reported; `above`
/// is the index of the first reported run behind it, scoreboard.count() when there is none. visit
/// returns false to stop.
template <class Visit>
void for_each_gap(const Connection& c, Visit&& visit) noexcept {
  TcpSeq at = c.snd_una;
  for (std::uint32_t i = 0; i < c.scoreboard.count(); ++i) {
    const wire::SackBlock& run = c.scoreboard[i];
    if (at.precedes(run.left) && !visit(at, run.left, i)) return;
    at = run.right;
  }
  if (at.precedes(c.snd_nxt)) visit(at, c.snd_nxt, c.scoreboard.count());
}

TcpSeq later(TcpSeq a, TcpSeq b) noexcept { return a.precedes(b) ? b : a; }
TcpSeq earlier(TcpSeq a, TcpSeq b) noexcept { return a.precedes(b) ? a : b; }

/// Bytes of [from, to) that lie below `edge`.
std::uint32_t below(TcpSeq from, TcpSeq to, TcpSeq edge) noexcept {
  return from.precedes(edge) ? earlier(to, edge).distance_from(from) : 0;
}

}  // namespace

void Engine::Impl::on_duplicate_ack(Connection& c, Instant now) noexcept {
  if (c.dupacks < 255) ++c.dupacks;
  mark_dirty(c);
  if (c.phase == Phase::loss) return;
  if (c.phase == Phase::fast_recovery) {
    // RFC 6582 3.2 (3): each duplicate says that one more segment has left the network.
    if (!c.sack_ok) c.congestion.cwnd += c.mss;
    return;
  }
  // RFC 6582 3.2 (1): duplicates of what was in flight at the last loss start no second recovery.
  // SACK tells the two cases apart by itself.
  const bool may_enter =
      c.sack_ok ? c.recover.precedes_or_is(c.snd_una) : c.recover.precedes(c.snd_una);
  const bool is_lost =
      c.dupacks >= kDupThresh || (!c.scoreboard.empty() && c.scoreboard.lost_below(0, c.mss));
  if (may_enter && is_lost) enter_fast_recovery(c, now);
}

void Engine::Impl::enter_fast_recovery(Connection& c, Instant now) noexcept {
  counters.fast_recoveries.add();
  c.phase = Phase::fast_recovery;
  c.recover = c.snd_nxt;
  c.rtx_next = c.snd_una;
  c.rtx_pending = true;
  c.rtt_timing = false;  // Karn: what is timed now may be acknowledged by a copy
  c.congestion.on_congestion(c.flight(), c.mss, now);
  c.congestion.cwnd = c.congestion.ssthresh + (c.sack_ok ? 0u : kDupThresh * c.mss);
}

void Engine::Impl::on_recovery_ack(Connection& c, std::uint32_t acked, Instant now) noexcept {
  Congestion& congestion = c.congestion;
  c.rtx_next = later(c.rtx_next, c.snd_una);
  if (c.recover.precedes_or_is(c.snd_una)) {
    // RFC 6582 3.2, full acknowledgment: leave with at most one segment more than is in flight, so
    // that no burst follows.
    if (c.phase == Phase::fast_recovery)
      congestion.cwnd =
          std::min(congestion.ssthresh, std::max<std::uint32_t>(c.flight(), c.mss) + c.mss);
    congestion.forget_undo();
    c.phase = Phase::open;
    c.dupacks = 0;
    c.rtx_pending = false;
    return;
  }
  if (c.phase == Phase::loss) {
    congestion.on_ack(acked, c.mss, now, c.rtt.srtt);
    return;
  }
  if (c.sack_ok) return;
  // RFC 6582 3.2, partial acknowledgment: the next hole starts at snd_una.
  c.rtx_pending = true;
  congestion.cwnd -= std::min(acked, congestion.cwnd - c.mss);
  if (acked >= c.mss) congestion.cwnd += c.mss;
}

void Engine::Impl::on_retransmission_timeout(Connection& c, Instant now) noexcept {
  counters.timeouts.add();
  c.congestion.on_timeout(c.flight(), c.mss, now, c.rtt.backoff == 0);
  c.rtt.back_off();
  c.phase = Phase::loss;
  c.recover = c.snd_nxt;
  c.rtx_next = c.snd_una;
  c.rtx_pending = true;
  c.rtt_timing = false;
  c.dupacks = 0;
  // RFC 2018 8: the peer may have dropped what it reported.
  c.scoreboard.clear();
}

/// RFC 6675 4 SetPipe; after a timeout everything up to recover counts as lost.
std::uint32_t Engine::Impl::pipe(const Connection& c) const noexcept {
  if (c.phase != Phase::loss && c.scoreboard.empty()) return c.flight();
  std::uint32_t total = 0;
  for_each_gap(c, [&](TcpSeq from, TcpSeq to, std::uint32_t above) {
    if (c.phase == Phase::loss) {
      total += below(from, to, c.rtx_next);
      total += to.distance_from(from) - below(from, to, c.recover);
      return true;
    }
    const bool is_lost = above != c.scoreboard.count() && c.scoreboard.lost_below(above, c.mss);
    if (!is_lost) total += to.distance_from(from);
    if (c.phase == Phase::fast_recovery) total += below(from, to, c.rtx_next);
    return true;
  });
  return total;
}

/// RFC 6675 4 NextSeg, rules 1 and 3; after a timeout whatever lies below recover.
Engine::Impl::Range Engine::Impl::next_retransmission(const Connection& c,
                                                      bool only_lost) const noexcept {
  Range found;
  for_each_gap(c, [&](TcpSeq from, TcpSeq to, std::uint32_t above) {
    if (c.phase == Phase::loss) {
      to = earlier(to, c.recover);
    } else if (above == c.scoreboard.count() ||
               (only_lost && !c.scoreboard.lost_below(above, c.mss))) {
      return false;  // gaps further up are lost even less
    }
    const TcpSeq start = later(from, c.rtx_next);
    if (!start.precedes(to)) return true;
    found = {start, std::min<std::uint32_t>(to.distance_from(start), c.mss)};
    return false;
  });
  return found;
}

}  // namespace pollux::tcp
