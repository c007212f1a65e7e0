// Finding and repairing losses: RACK, or RFC 6675's counts, or NewReno without SACK; and the
// retransmission timeout. Read first: RFC 5681 3.2, RFC 6582 3.2, RFC 6675 4 and 5, RFC 6937 3,
// RFC 8985 6, RFC 6298 5.4 to 5.6.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

/// The one place where an acknowledgment is turned into decisions about losses.
void Engine::Impl::on_ack_news(Connection& c, AckNews& news, Instant now) noexcept {
  if (news.is_duplicate) count_duplicate(c);
  if (!c.sack_ok) settle_duplicates(c, news);
  settle_tail_probe(c, news);
  if (news.has_dsack) {
    counters.dsacks_received.add();
    c.rack.on_dsack(c.snd_una, c.snd_nxt);
  }
  if (c.phase != Phase::open && try_undo(c, news, now)) return;
  if (c.phase != Phase::open && c.recover.precedes_or_is(c.snd_una)) leave_recovery(c);
  if (c.flight() == 0) return;
  const bool found = find_losses(c, now);
  if (c.phase == Phase::open) {
    if (found) {
      enter_fast_recovery(c, now);
      on_recovery_ack(c, news, false, now);
    }
  } else if (news.is_new || news.delivered != 0 || found) {
    on_recovery_ack(c, news, news.is_new && !found, now);
  }
}

void Engine::Impl::count_duplicate(Connection& c) noexcept {
  if (c.dupacks < 255) ++c.dupacks;
  mark_dirty(c);
}

/// Without SACK a duplicate says that one segment more has arrived, and an acknowledgment in a
/// recovery covers some of those: RFC 6582 3.2 (3) and (5), RFC 6937 3. However many duplicates
/// somebody forges, they stand for no more than what was in flight behind the missing segment when
/// the loss was found (RFC 5681 3.2, step 4).
void Engine::Impl::settle_duplicates(Connection& c, AckNews& news) noexcept {
  if (c.phase == Phase::loss) {
    c.duplicate_bytes = 0;
    return;
  }
  const std::uint32_t mss = c.mss;
  if (news.is_new && c.phase == Phase::fast_recovery) {
    const std::uint32_t counted =
        std::min(c.duplicate_bytes, news.acked > mss ? news.acked - mss : 0);
    c.duplicate_bytes -= counted;
    news.delivered = news.acked - counted;
  } else if (news.is_duplicate) {
    news.delivered = mss;
    c.duplicate_bytes += mss;
  }
  std::uint32_t behind = c.scoreboard.pipe(c.flight());
  if (c.phase == Phase::fast_recovery && c.snd_una.precedes(c.recover))
    behind = std::min(behind, c.recover.distance_from(c.snd_una));
  c.duplicate_bytes = std::min(c.duplicate_bytes, behind > mss ? behind - mss : 0);
}

/// Marks what is lost now. True when something is that was not.
bool Engine::Impl::find_losses(Connection& c, Instant now) noexcept {
  const std::uint32_t before = c.scoreboard.lost_bytes() - c.scoreboard.resent_bytes();
  if (!c.sack_ok) {
    // RFC 6582 3.2 (1): duplicates of what was in flight at the last loss start no second recovery.
    if (c.phase == Phase::open && c.dupacks >= Scoreboard::kDupThresh &&
        c.recover.precedes(c.snd_una) && !c.scoreboard.empty())
      c.scoreboard.mark_lost(0);
  } else if (limits.recovery.rack) {
    // In order and nothing in doubt: what is left in flight left later.
    if (c.phase == Phase::open && c.scoreboard.sacked_bytes() == 0 && before == 0) return false;
    const Rack::Detection detection =
        c.rack.detect(c.scoreboard, c.phase != Phase::open, c.rtt.srtt, now);
    if (detection.wait != Duration::zero())
      start_timer(c, TimerKind::reordering, now + detection.wait);
    if (detection.copies_lost != 0) on_copies_lost(c, detection, now);
  } else if (c.phase != Phase::loss && c.scoreboard.sacked_bytes() != 0) {
    c.scoreboard.mark_lost_by_threshold(c.mss);
    // RFC 6675 5 (1): the count of duplicates finds it as well, whatever they reported.
    if (c.phase == Phase::open && c.dupacks >= Scoreboard::kDupThresh && !c.scoreboard[0].lost &&
        !c.scoreboard[0].sacked)
      c.scoreboard.mark_lost(0);
  }
  // What was lost behind the recovery point is a loss of its own once that recovery is over.
  const std::uint32_t wanting = c.scoreboard.lost_bytes() - c.scoreboard.resent_bytes();
  return c.phase == Phase::open ? wanting != 0 : wanting != before;
}

/// RFC 5681 4.3: the loss of a retransmission is a second indication of congestion, so the window
/// falls a second time: once for what was sent since it last fell.
void Engine::Impl::on_copies_lost(Connection& c, const Rack::Detection& detection,
                                  Instant now) noexcept {
  counters.retransmissions_lost.add(detection.copies_lost);
  if (c.phase != Phase::fast_recovery || detection.last_copy_sent_at < c.reduced_at) return;
  // RFC 3168 6.1.2: a new one, whatever has lowered the window for the data of this recovery.
  c.congestion.on_congestion(window_used(c, c.pipe()), c.mss);
  note_window_reduced(c);
  c.prr.start(std::max<std::uint32_t>(c.congestion.cwnd, c.mss));
  c.reduced_at = now;
}

void Engine::Impl::enter_fast_recovery(Connection& c, Instant now) noexcept {
  counters.fast_recoveries.add();
  c.phase = Phase::fast_recovery;
  c.recover = c.snd_nxt;
  c.rtx_pending = true;
  c.rescue_sent = false;
  c.rtt_timing = false;  // Karn: what is timed now may be acknowledged by a copy
  begin_undo(c);
  reduce_for_loss(c, c.flight());
  c.prr.start(c.flight());
  c.reduced_at = now;
  if (c.timer_kind == TimerKind::tail_probe) restart_retransmission_timer(c, now);
}

/// RFC 6675 5 and RFC 6582 3.2: exactly when everything is acknowledged that was in flight when the
/// loss was found.
void Engine::Impl::leave_recovery(Connection& c) noexcept {
  // RFC 6937 3: a recovery ends at the threshold. RFC 6582 3.2 (3, option 1): without SACK little
  // may be in flight by now, and a burst must not follow.
  if (c.phase == Phase::fast_recovery)
    c.congestion.cwnd = c.sack_ok ? c.congestion.ssthresh
                                  : std::min(c.congestion.ssthresh,
                                             std::max<std::uint32_t>(c.flight(), c.mss) + c.mss);
  c.phase = Phase::open;
  c.dupacks = 0;
  c.duplicate_bytes = 0;
  c.rtx_pending = false;
  c.rack.on_recovery_end();
  c.congestion.forget_undo();
}

void Engine::Impl::on_recovery_ack(Connection& c, const AckNews& news, bool is_safe,
                                   Instant now) noexcept {
  mark_dirty(c);
  if (c.phase == Phase::loss) {
    if (news.acked != 0) c.congestion.on_ack(news.acked, c.mss, now, c.rtt.srtt);
    return;
  }
  // RFC 6582 3.2, partial acknowledgment: the next hole starts at snd_una.
  if (!c.sack_ok && news.is_new && !c.scoreboard.empty() && !c.scoreboard[0].resent) {
    c.scoreboard.mark_lost(0);
    c.rtx_pending = true;
  }
  c.congestion.cwnd = c.prr.on_ack(news.delivered, c.pipe(), c.congestion.ssthresh, c.mss, is_safe);
}

void Engine::Impl::on_retransmission_timeout(Connection& c) noexcept {
  counters.timeouts.add();
  if (!c.scoreboard.empty() && c.scoreboard[0].sacked) counters.sack_reneging.add();
  if (c.phase == Phase::open) begin_undo(c);
  // RFC 5681 3.1: the threshold falls once for one loss, however often the timer expires for it.
  c.congestion.on_timeout(c.flight(), c.mss, c.rtt.backoff == 0);
  note_window_reduced(c);
  c.rtt.back_off();
  // RFC 2018 8: no report is believed any more, the peer may have dropped what it reported.
  c.scoreboard.mark_all_lost();
  c.phase = Phase::loss;
  c.recover = c.snd_nxt;
  c.rtx_pending = true;
  c.rtt_timing = false;
  c.dupacks = 0;
  c.duplicate_bytes = 0;
  c.tail_probe = {};
}

void Engine::Impl::on_reordering_timer(Connection& c, Instant now) noexcept {
  stop_timer(c);
  const bool found = find_losses(c, now);
  if (c.timer_kind == TimerKind::none) restart_retransmission_timer(c, now);
  if (!found) return;
  counters.reordering_timeouts.add();
  if (c.phase == Phase::open) enter_fast_recovery(c, now);
  on_recovery_ack(c, {.ack = c.snd_una}, false, now);
}

std::uint32_t Engine::Impl::next_retransmission(Connection& c, bool has_new_data) noexcept {
  // RFC 6675 4 NextSeg (1).
  const std::uint32_t lost = c.scoreboard.next_lost();
  const std::uint32_t none = c.scoreboard.size();
  if (lost != none || has_new_data) return lost;
  // RACK waits for send times to tell; it needs no guesses.
  if (!c.sack_ok || limits.recovery.rack || c.phase != Phase::fast_recovery) return none;
  // (3)
  const std::uint32_t unreported = c.scoreboard.next_unreported();
  if (unreported != none || c.rescue_sent) return unreported;
  // (4): once, the last segment, so that the peer's answer shows what is missing at the end.
  const std::uint32_t last = c.scoreboard.tail(c.mss);
  const Transmission& run = c.scoreboard[last];
  if (run.sacked || run.resent) return c.scoreboard.size();
  c.rescue_sent = true;
  counters.rescue_retransmissions.add();
  return last;
}

}  // namespace pollux::tcp
