// Tail loss probe: when nothing has come back for two round trips, one segment is sent so that the
// peer's answer shows a loss at the end of a flight long before the retransmission timer would.
// Read first: RFC 8985 7.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

/// RFC 8985 7.2: one probe at a time, and only while no loss is suspected.
bool Engine::Impl::may_probe_tail(const Connection& c) const noexcept {
  return limits.recovery.tail_loss_probe && c.sack_ok && c.phase == Phase::open &&
         !c.tail_probe.is_out && c.scoreboard.sacked_bytes() == 0 && c.rtt.has_sample &&
         is_synchronized(c.state);
}

Duration Engine::Impl::probe_timeout(const Connection& c) const noexcept {
  // The peer acknowledges two full segments at once, and may keep the acknowledgment of less.
  const Duration kept = c.flight() < 2u * c.mss ? timers.peer_ack_delay : Duration::zero();
  return std::max<Duration>(2 * c.rtt.srtt, timers.tail_probe_min) + kept;
}

void Engine::Impl::on_tail_probe_timer(Connection& c, Instant now) noexcept {
  c.tail_probe.is_due = true;
  start_timer(c, TimerKind::retransmit, retransmit_at(c, now));
  mark_dirty(c);
}

/// RFC 8985 7.3: something new if the peer's window lets it, the last segment again otherwise.
void Engine::Impl::send_tail_probe(Connection& c, Instant now, std::size_t& sent) noexcept {
  if (c.flight() == 0 || c.phase != Phase::open || c.scoreboard.empty()) {
    c.tail_probe.is_due = false;
    return;
  }
  const std::uint32_t room = c.snd_wnd > c.flight() ? c.snd_wnd - c.flight() : 0;
  const std::uint32_t fresh = std::min<std::uint32_t>(c.unsent(), c.mss);
  const bool is_copy = fresh == 0 || fresh > room || c.scoreboard.full();
  const bool done = is_copy ? send_retransmission(c, c.scoreboard.tail(c.mss), now) != 0
                            : send_new(c, fresh, now);
  if (!done) return mark_dirty(c);
  ++sent;
  counters.tail_probes_sent.add();
  c.tail_probe = {.is_out = true, .is_copy = is_copy, .end = c.snd_nxt};
  start_timer(c, TimerKind::retransmit, retransmit_at(c, now));
}

/// RFC 8985 7.4.2: whether the probe has repaired a loss that nobody else will ever hear of.
void Engine::Impl::settle_tail_probe(Connection& c, const AckNews& news) noexcept {
  TailProbe& probe = c.tail_probe;
  if (!probe.is_out || c.snd_una.precedes(probe.end)) return;
  if (!probe.is_copy) {
    probe.is_out = false;
  } else if (news.has_dsack && news.dsack.right == probe.end) {
    probe.is_out = false;  // the original had arrived as well
  } else if (probe.end.precedes(c.snd_una)) {
    // No duplicate was reported, so the probe was the only copy to arrive: a loss, and congestion.
    probe.is_out = false;
    counters.tail_losses_repaired.add();
    if (c.phase == Phase::open) {
      // Nothing is left in flight by now, as a rule: what counts is what the probe found there.
      reduce_for_loss(c, c.flight() + news.acked);
      c.congestion.cwnd = std::min(c.congestion.cwnd, c.congestion.ssthresh);
      c.congestion.forget_undo();  // the loss is repaired, and was one
    }
  } else if (!news.is_new && !news.has_dsack && news.acked == 0 && news.delivered == 0) {
    probe.is_out = false;  // a plain duplicate: both copies arrived
  }
}

}  // namespace pollux::tcp
