// What connections do when their port comes back, or goes for good. While a link is down nothing is
// sent and timers run on, so the user timeout still bounds every wait.
// Read first: RFC 9293 3.8.3, RFC 6069 (why an outage of the link is no congestion).
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

/// The link is up again. What was in flight is probably lost, and a timer that has backed off for
/// seconds would add as many to the outage: everybody who waits tries now.
void Engine::Impl::link_restored(Instant now) noexcept {
  for (std::uint32_t slot = 0; slot < limits.connections; ++slot) {
    Connection& c = connections[slot];
    if (!c.in_use || c.state == State::closed || c.timer_kind == TimerKind::none) continue;
    if (!is_synchronized(c.state) || c.timer_kind == TimerKind::persist) {
      start_timer(c, c.timer_kind, now);
      continue;
    }
    // RFC 6069 4.2: the expiries of the outage say nothing about the path.
    c.rtt.backoff = 0;
    if (c.phase != Phase::loss) {
      start_timer(c, TimerKind::retransmit, now);
      continue;
    }
    c.rtx_pending = true;
    start_timer(c, TimerKind::retransmit, now + c.rtt.current(timers.rto_max));
    mark_dirty(c);
  }
}

/// The port is gone: every connection ends here and now, without a word to anybody.
void Engine::Impl::port_removed() noexcept {
  is_port_gone = true;
  for (std::uint32_t slot = 0; slot < limits.connections; ++slot) {
    Connection& c = connections[slot];
    if (!c.in_use) continue;
    c.rst_pending = false;
    if (c.state != State::closed) end(c, EndReason::port_removed);
  }
  // Nobody calls output() any more, which would have let go of these.
  for (std::uint32_t left = dirty.count; left != 0; --left) {
    Connection& c = *dirty.pop();
    c.dirty = false;
    free_if_done(c);
  }
  flush_releases();
}

}  // namespace pollux::tcp
