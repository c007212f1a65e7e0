// How long a connection is believed in: keepalive probes when nothing moves, a second look at the
// path when nothing is answered, and the retransmission timeout of the timer profiles.
// Read first: RFC 9293 3.8.3 and 3.8.4, RFC 6298 2.4.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

constexpr std::uint8_t kR1 = 3;  // RFC 9293 3.8.3 SHLD-9: at least 3 retransmissions

}  // namespace

Duration Engine::Impl::rto_least(const Connection& c) const noexcept {
  return c.ts_ok ? timers.rto_min : timers.rto_min_plain;
}

Instant Engine::Impl::retransmit_at(const Connection& c, Instant now) const noexcept {
  const bool may_be_delayed = timers.rto_covers_ack_delay && c.ts_ok && c.flight() <= c.mss;
  return now + c.rtt.current(timers.rto_max) +
         (may_be_delayed ? timers.peer_ack_delay : Duration::zero());
}

/// RFC 9293 3.8.3 (a) and (b): R1 is a hint to look at the path again, R2 (user_timeout) the end.
void Engine::Impl::note_timeout(Connection& c, Instant now) noexcept {
  if (c.resent == 0 || c.resent_una != c.snd_una) {
    c.resent_una = c.snd_una;
    c.resent = 0;
  }
  if (c.resent <= kR1) ++c.resent;
  if (c.resent < kR1) return;
  // RFC 9293 3.8.3 MUST-20 (a): a neighbour that has moved, or a gateway that has died, is found
  // by asking; from R1 on each timeout does, as one question may be lost as well.
  interface.suspect(c.remote.address, now);
  c.route_known = false;
  if (c.resent != kR1) return;
  counters.struggling.add();
  raise(c, kStruggling);
}

// --- Keepalive
// ------------------------------------------------------------------------------------

void Engine::Impl::start_keepalive(Connection& c, Instant now) noexcept {
  c.heard_at = now;
  if (!c.keepalive.enabled) return;
  c.keepalive_at = now + c.keepalive.idle;
  arm(c, c.keepalive_at);
}

void Engine::Impl::on_keepalive_timer(Connection& c, Instant now) noexcept {
  c.keepalive_at = kNever;
  if (!is_synchronized(c.state) || c.state == State::time_wait) return;
  // RFC 9293 3.8.4 MUST-26: only when no sent data is outstanding; what waits to be sent or to be
  // acknowledged has timers of its own, and so has a closed window.
  const bool is_busy = c.flight() != 0 || c.unsent() != 0 || c.timer_kind != TimerKind::none;
  if (c.keepalive_sent != 0 && c.heard_at >= c.keepalive_sent_at) c.keepalive_sent = 0;
  if (is_busy) c.keepalive_sent = 0;
  if (is_busy || (c.keepalive_sent == 0 && now < c.heard_at + c.keepalive.idle)) {
    c.keepalive_at = is_busy ? now + c.keepalive.idle : c.heard_at + c.keepalive.idle;
    return;
  }
  // MUST-29: one probe without an answer proves nothing.
  if (c.keepalive_sent >= std::max<std::uint8_t>(c.keepalive.count, 2))
    return abort(c, EndReason::keepalive_timeout);
  ++c.keepalive_sent;
  c.keepalive_sent_at = now;
  c.keepalive_due = true;
  c.keepalive_at = now + c.keepalive.interval;
  mark_dirty(c);
}

/// SEG.SEQ = SND.NXT-1 and no data (RFC 9293 3.8.4): the peer has had that number and answers.
std::size_t Engine::Impl::send_keepalive(Connection& c, Instant now) noexcept {
  if (c.flight() != 0 || c.state == State::time_wait) {
    c.keepalive_due = false;
    return 0;
  }
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(c, options.data(), now);
  Frame frame;
  if (!begin_frame(frame, option_bytes, Urgency::reserve)) {
    mark_dirty(c);
    return 0;
  }
  finish_frame(c, frame, c.snd_nxt - 1, wire::kTcpAck, window_field(c),
               {options.data(), option_bytes});
  c.keepalive_due = false;
  counters.keepalives_sent.add();
  after_ack_sent(c);
  return 1;
}

}  // namespace pollux::tcp
