// Whether the congestion window is what holds a sender back, and so whether it may grow; and when
// it starts again or shrinks. Read first: RFC 7661 4.1 and 4.3, RFC 5681 3.1 and 4.1.
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

/// Output is done with the connection for now; `in_pipe` bytes are in the network.
void Engine::Impl::note_window_use(Connection& c, std::uint32_t in_pipe) noexcept {
  // No room for a full segment more: what is in flight now proves this window when it is
  // acknowledged, whatever the application does meanwhile.
  if (in_pipe + c.mss > c.congestion.cwnd) c.cwnd_limited_end = c.snd_nxt;
}

/// `acked` bytes left the `flight_before` that were out; snd_una has moved.
void Engine::Impl::grow_window(Connection& c, std::uint32_t acked, std::uint32_t flight_before,
                               Instant now) noexcept {
  const TcpSeq una_before = c.snd_una - acked;
  const bool was_full = una_before.precedes(c.cwnd_limited_end);
  // A recorded end must not fall so far behind that it seems to lie ahead (2 GiB).
  if (c.cwnd_limited_end.precedes(c.snd_una)) c.cwnd_limited_end = c.snd_una;
  // RFC 7661 4.1: half a window in use proves enough while every round trip doubles it.
  const bool proves =
      was_full || (c.congestion.in_slow_start() && 2 * flight_before >= c.congestion.cwnd);
  // RFC 3168 6.1.2: no growth for an acknowledgment that tells of congestion.
  if (proves && !(c.ecn.marks && c.ecn.echo_seen))
    c.congestion.on_ack(acked, c.mss, now, c.rtt.srtt);
}

/// Nothing is in flight and data is about to leave.
void Engine::Impl::restart_if_idle(Connection& c, Instant now) noexcept {
  if (limits.congestion.idle_restart && now - c.last_send_at > c.rtt.rto)
    c.congestion.on_idle(c.mss);
}

/// FlightSize for a reduction, with `flight` bytes out now. Acknowledgments come in bursts, and one
/// that covers much before it tells of a loss leaves little out: where the window was full when the
/// data at snd_una was in flight, the window is what was used (RFC 9438 4.6). What left on top of
/// it for duplicates does not count (RFC 5681 3.2 (2)).
std::uint32_t Engine::Impl::window_used(const Connection& c, std::uint32_t flight) const noexcept {
  if (c.snd_una.precedes(c.cwnd_limited_end)) return c.congestion.cwnd;
  return std::min(flight, c.congestion.cwnd);
}

/// A loss was found while `flight` bytes were out: ssthresh falls, unless an echo has lowered it
/// for this window of data.
void Engine::Impl::reduce_for_loss(Connection& c, std::uint32_t flight) noexcept {
  // RFC 3168 6.1.2: a mark and a loss in one window are one congestion.
  const bool is_answered = c.ecn.marks && c.snd_una.precedes(c.ecn.cwr_end);
  if (!is_answered) c.congestion.on_congestion(window_used(c, flight), c.mss);
  note_window_reduced(c);
}

}  // namespace pollux::tcp
