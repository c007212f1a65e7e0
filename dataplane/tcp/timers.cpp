// Timers of a connection. Its deadlines are plain fields; one node of the wheel stands for the
// earliest of them and is left alone when a deadline moves away (it then fires early and is armed
// again). Read first: RFC 6298 5, RFC 9293 3.8.3 and 3.8.6.1, RFC 5681 4.2.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::start_timer(Connection& c, TimerKind kind, Instant at) noexcept {
  c.timer_kind = kind;
  c.timer_restart_due = false;
  c.timer_at = at;
  // Nothing waits longer for an acknowledgment than the owner has patience.
  if (is_synchronized(c.state)) c.timer_at = std::min(at, c.progress_at + c.user_timeout);
  arm(c, c.timer_at);
}

void Engine::Impl::restart_retransmission_timer(Connection& c, Instant now) noexcept {
  const Instant timeout = retransmit_at(c, now);
  if (may_probe_tail(c))
    start_timer(c, TimerKind::tail_probe, std::min(timeout, now + probe_timeout(c)));
  else
    start_timer(c, TimerKind::retransmit, timeout);
}

void Engine::Impl::start_retransmission_timer(Connection& c, Instant now) noexcept {
  if (c.timer_kind == TimerKind::none || c.timer_kind == TimerKind::persist)
    return restart_retransmission_timer(c, now);
  // More is in flight now, and its acknowledgment may be expected sooner.
  if (c.timer_kind == TimerKind::retransmit && timers.rto_covers_ack_delay &&
      retransmit_at(c, now) < c.timer_at)
    start_timer(c, TimerKind::retransmit, retransmit_at(c, now));
  if (c.timer_kind == TimerKind::tail_probe && now + probe_timeout(c) < c.timer_at)
    start_timer(c, TimerKind::tail_probe, now + probe_timeout(c));
}

void Engine::Impl::on_timer(Connection& c, Instant now) noexcept {
  if (!c.in_use) return;
  settle_timer(c, now);
  if (c.limit_at <= now) on_limit(c, now);
  if (c.ack_at <= now) {
    c.ack_at = kNever;
    request_ack(c);
  }
  if (c.mtu_at <= now) apply_path_mtu(c, now);
  if (c.timer_at <= now) {
    switch (c.timer_kind) {
      case TimerKind::retransmit:
        on_retransmit_timer(c, now);
        break;
      case TimerKind::tail_probe:
        on_tail_probe_timer(c, now);
        break;
      case TimerKind::reordering:
        on_reordering_timer(c, now);
        break;
      case TimerKind::persist:
        on_persist_timer(c, now);
        break;
      case TimerKind::none:
        break;
    }
  }
  if (c.keepalive_at <= now) on_keepalive_timer(c, now);
  const Instant next = std::min({c.timer_at, c.ack_at, c.limit_at, c.keepalive_at, c.mtu_at});
  if (c.in_use && next != kNever) arm(c, next);
}

void Engine::Impl::on_limit(Connection& c, Instant now) noexcept {
  c.limit_at = kNever;
  switch (c.state) {
    case State::syn_sent:
    case State::syn_received:
      abort(c, c.unreachable_noted ? EndReason::host_unreachable : EndReason::connect_timeout);
      break;
    case State::fin_wait_2:
      if (now < c.heard_at + c.user_timeout) {
        c.limit_at = c.heard_at + c.user_timeout;
        break;
      }
      abort(c, EndReason::user_timeout);
      break;
    case State::closed:
    case State::listen:
    case State::established:
    case State::fin_wait_1:
    case State::close_wait:
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      break;
  }
}

void Engine::Impl::on_retransmit_timer(Connection& c, Instant now) noexcept {
  note_timeout(c, now);
  if (!is_synchronized(c.state)) {
    c.syn_lost = true;
    c.rtt_timing = false;
    c.rtt.back_off();
    c.syn_pending = true;
    stop_timer(c);  // it starts again when the SYN is out
    return mark_dirty(c);
  }
  if (now >= c.progress_at + c.user_timeout) return abort(c, EndReason::user_timeout);
  on_retransmission_timeout(c);
  suspect_black_hole(c, now);
  start_timer(c, TimerKind::retransmit, retransmit_at(c, now));
  mark_dirty(c);
}

void Engine::Impl::on_persist_timer(Connection& c, Instant now) noexcept {
  if (now >= c.progress_at + c.user_timeout) return abort(c, EndReason::user_timeout);
  // RFC 9293 3.8.6.1 SHLD-29 and 30: the first after one timeout, then ever longer.
  c.rtt.back_off();
  c.probe_due = true;
  start_timer(c, TimerKind::persist, now + c.rtt.current(timers.rto_max));
  mark_dirty(c);
}

}  // namespace pollux::tcp
