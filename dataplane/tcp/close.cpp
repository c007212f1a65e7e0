// Every way a connection comes to its end.
// Read first: RFC 9293 3.6, 3.10.4 and 3.10.5. TIME-WAIT is in time_wait.cpp.
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

/// States in which close() has something to do, once both sides are synchronized.
constexpr bool is_open_for_close(State state) noexcept {
  return state == State::established || state == State::close_wait;
}

}  // namespace

void Engine::Impl::close(Connection& c, Instant now) noexcept {
  // RFC 1122 4.2.2.13, RFC 9293 3.10.4: an orderly end would tell the peer that all was read.
  if (c.readable != 0 && is_open_for_close(c.state)) return abort(c, EndReason::aborted);
  end_sending(c, now);
}

void Engine::Impl::end_sending(Connection& c, Instant now) noexcept {
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
  drop_received(c);
  flush_releases();
  free_if_done(c);
}

void Engine::Impl::leave_flow_table(Connection& c) noexcept {
  if (!c.in_flow_table) return;
  flows.erase(c.flow_hash, c.slot);
  c.in_flow_table = false;
}

/// The connection is no more. What was received stays readable until release().
void Engine::Impl::end(Connection& c, EndReason reason) noexcept {
  c.state = State::closed;
  stop_timer(c);
  c.ack_at = c.limit_at = c.keepalive_at = c.mtu_at = kNever;
  c.ack_now = c.ack_held = false;
  c.syn_pending = false;
  wheel.cancel(c.timer);
  leave_flow_table(c);
  drop_send_queue(c);
  drop_reassembly(c);
  c.end_reason = reason;
  raise(c, kEnded);
  if (c.rst_pending) mark_dirty(c);
  free_if_done(c);
}

}  // namespace pollux::tcp
