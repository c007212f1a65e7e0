// Every way a connection comes to its end.
// Read first: RFC 9293 3.6, 3.10.4 and 3.10.5, RFC 1337.
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::close(Connection& c, Instant now) noexcept {
  switch (c.state) {
    case State::syn_sent:
      return end(c, EndReason::closed);
    case State::syn_received:
      c.fin_queued = true;  // the FIN follows the handshake
      return;
    case State::established:
      c.state = State::fin_wait_1;
      break;
    case State::close_wait:
      c.state = State::last_ack;
      break;
    case State::closed:
    case State::listen:
    case State::fin_wait_1:
    case State::fin_wait_2:
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      return;
  }
  c.fin_queued = true;
  if (c.flight() == 0) c.progress_at = now;
  mark_dirty(c);
}

void Engine::Impl::abort(Connection& c, EndReason reason) noexcept {
  if (c.state == State::closed || c.state == State::time_wait) return;
  // RFC 9293 3.10.5: only a peer that may know of the connection is told.
  c.rst_pending = c.state != State::syn_sent && c.route_known;
  end(c, reason);
}

void Engine::Impl::release(Connection& c) noexcept {
  if (c.state != State::time_wait) abort(c, EndReason::aborted);
  c.released = true;
  ++c.generation;
  views_held -= c.received.size();
  for (; !c.received.empty(); c.received.pop()) give_back(c.received.front().handle);
  c.readable = 0;
  flush_releases();
  free_if_done(c);
}

void Engine::Impl::enter_time_wait(Connection& c, Instant now) noexcept {
  c.state = State::time_wait;
  c.end_reason = EndReason::closed;
  stop_timer(c);
  drop_send_queue(c);
  c.limit_at = now + timers.time_wait;
  arm(c, c.limit_at);
  raise(c, kEnded);
}

void Engine::Impl::leave_flow_table(Connection& c) noexcept {
  if (!c.in_flow_table) return;
  flows.erase(c.flow_hash, c.slot);
  c.in_flow_table = false;
}

/// The connection is no more. What was received stays readable until release().
void Engine::Impl::end(Connection& c, EndReason reason) noexcept {
  const bool was_told = c.state == State::time_wait;
  c.state = State::closed;
  stop_timer(c);
  c.ack_at = kNever;
  c.limit_at = kNever;
  c.mtu_at = kNever;
  c.ack_now = false;
  c.syn_pending = false;
  wheel.cancel(c.timer);
  leave_flow_table(c);
  drop_send_queue(c);
  views_held -= c.reassembly.count();
  for (std::uint32_t i = 0; i < c.reassembly.count(); ++i) give_back(c.reassembly[i].handle);
  c.reassembly.clear();
  if (!was_told) {
    c.end_reason = reason;
    raise(c, kEnded);
  }
  if (c.rst_pending) mark_dirty(c);
  free_if_done(c);
}

}  // namespace pollux::tcp
