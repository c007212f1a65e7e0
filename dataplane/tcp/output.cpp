// What leaves: the pass over connections with something to say, and the choice of the next segment.
// Read first: RFC 9293 3.8.6, RFC 5681 3 and 4, RFC 6675 5, RFC 3042.
#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

/// How often a connection looks again whether its silent neighbour is back.
constexpr Duration kUnreachableRetry = 200ms;

std::uint32_t minus(std::uint32_t a, std::uint32_t b) noexcept { return a > b ? a - b : 0; }

/// Bytes that the peer's window still takes beyond snd_nxt; none when it has shrunk below that.
std::uint32_t window_room(const Connection& c) noexcept { return minus(c.snd_wnd, c.flight()); }

}  // namespace

/// Addresses come from the slot alone: nothing of the connection need be there yet. Queues that run
/// empty start over at the front of their storage.
void Engine::prefetch_send(ConnectionId id) const noexcept {
  constexpr std::size_t kLine = 64;
  const EngineLimits& limits = impl_->limits;
  if (id.slot >= limits.connections) return;
  const std::uint32_t slot = id.slot;
  const Connection& c = impl_->connections[slot];
  const auto* const end = reinterpret_cast<const std::byte*>(&c.rack);
  for (const auto* at = reinterpret_cast<const std::byte*>(&c); at < end; at += kLine)
    __builtin_prefetch(at, 1);
  __builtin_prefetch(impl_->inline_rings.home(slot), 1);
  __builtin_prefetch(impl_->descriptor_rings.home(slot), 1);
  __builtin_prefetch(impl_->transmission_rings.home(slot), 1);
}

std::size_t Engine::Impl::output(Instant now) noexcept {
  std::size_t frames = 0;
  for (std::uint32_t left = dirty.count; left != 0; --left) {
    Connection& c = *dirty.pop();
    c.dirty = false;
    frames += output_one(c, now);
    free_if_done(c);
  }
  counters.segments_sent.add(frames);
  flush_releases();
  return frames;
}

std::size_t Engine::Impl::output_one(Connection& c, Instant now) noexcept {
  if (c.state == State::closed && !c.rst_pending) {
    free_if_done(c);
    return 0;
  }
  settle_timer(c, now);
  if (std::exchange(c.was_read, false)) after_read(c, now);
  if (c.waits_for_egress) drop_acknowledged(c);
  if (c.fin_known) take_fin(c, now);  // a reader may have drained what lay before it
  switch (refresh_route(c, now)) {
    case RouteVerdict::ready:
      break;
    case RouteVerdict::wait:
      mark_dirty(c);
      return 0;
    case RouteVerdict::unreachable:
      on_unreachable(c, now);
      return 0;
  }
  if (c.rst_pending) {
    const bool sent = send_reset(c, now);
    if (sent) c.rst_pending = false;
    sent ? free_if_done(c) : mark_dirty(c);
    return sent ? 1 : 0;
  }
  if (c.syn_pending) {
    const bool sent = send_syn(c, now);
    if (!sent) mark_dirty(c);
    return sent ? 1 : 0;
  }
  if (c.received.size() > kPiecesInPlace) [[unlikely]] copy_waiting(c);
  std::size_t sent = c.keepalive_due ? send_keepalive(c, now) : 0;
  // SACK blocks find room only in an acknowledgment without data.
  const bool has_blocks = c.sack_ok && (!c.reassembly.empty() || c.dsack_pending);
  if (c.ack_now && has_blocks && send_ack(c, now)) ++sent;
  if (may_send(c.state)) sent += send_data(c, now);
  if (c.ack_held && now < c.ack_held_until)
    mark_dirty(c);
  else if (c.ack_held)
    c.ack_now = true;
  if (c.ack_now && c.state != State::syn_sent) {
    if (send_ack(c, now))
      ++sent;
    else
      mark_dirty(c);
  }
  return sent;
}

void Engine::Impl::on_unreachable(Connection& c, Instant now) noexcept {
  c.rst_pending = false;
  if (c.state == State::closed) return free_if_done(c);
  if (!is_synchronized(c.state)) return end(c, EndReason::host_unreachable);
  // Its sender may be waiting for a minute before it asks again.
  const bool is_owed = c.ack_now || c.ack_held;
  c.ack_now = c.ack_held = false;
  if (is_owed) {
    c.ack_at = now + kUnreachableRetry;
    arm(c, c.ack_at);
  }
  // RFC 1122 4.2.3.9: soft for a connection that has stood; its own timers decide. With nothing in
  // flight none runs: that of the closed window tries again, up to the user timeout.
  const bool is_waiting = may_send(c.state) && (c.unsent() != 0 || (c.fin_queued && !c.fin_sent));
  if (!is_waiting || c.timer_kind != TimerKind::none) return;
  c.progress_at = now;
  start_timer(c, TimerKind::persist, now + c.rtt.current(timers.rto_max));
}

std::size_t Engine::Impl::send_data(Connection& c, Instant now) noexcept {
  std::size_t sent = 0;
  if (c.probe_due) send_due_probe(c, now, sent);
  if (c.snd_nxt == c.snd_una) {
    if (c.unsent() == 0 && (!c.fin_queued || c.fin_sent)) return sent;
    restart_if_idle(c, now);
  }
  if (c.tail_probe.is_due) send_tail_probe(c, now, sent);
  // Others have their turn, and a window that opens wide does not leave as one burst.
  std::uint32_t budget = std::max<std::uint32_t>(limits.burst_bytes, c.mss);
  Heading heading;
  heading.option_bytes = write_options(c, heading.options.data(), now);
  bool has_sent_new = false;
  while (true) {
    if (budget < c.mss) {
      mark_dirty(c);
      break;
    }
    const std::uint32_t in_pipe = c.pipe();
    std::uint32_t length = 0;
    std::uint32_t bytes = 0;
    const bool may_repeat = c.phase != Phase::open &&
                            (c.rtx_pending || in_pipe == 0 || in_pipe + c.mss <= c.congestion.cwnd);
    const bool has_new = sendable(c, in_pipe, now, length);
    const std::uint32_t run = may_repeat ? next_retransmission(c, has_new) : c.scoreboard.size();
    if (run != c.scoreboard.size() && may_resend(c, run)) {
      bytes = send_retransmission(c, run, now);
    } else if (has_new) {
      const TcpSeq before = c.snd_nxt;
      has_sent_new |= send_new(c, large_length(c, in_pipe, length, budget), heading, now);
      bytes = c.snd_nxt.distance_from(before);
    } else {
      break;
    }
    if (bytes == 0) {
      mark_dirty(c);
      break;
    }
    c.rtx_pending = false;
    ++sent;
    budget -= std::min(budget, bytes);
  }
  if (has_sent_new) start_retransmission_timer(c, now);
  note_window_use(c, c.pipe());
  return sent;
}

/// A window that has shrunk is obeyed, but for the segment at snd_una (RFC 9293 3.8.6 SHLD-16, 17).
bool Engine::Impl::may_resend(const Connection& c, std::uint32_t run) const noexcept {
  const Transmission& which = c.scoreboard[run];
  const std::uint32_t end =
      which.start - c.snd_una.raw() + std::min<std::uint32_t>(which.bytes(), c.mss);
  return which.start == c.snd_una.raw() || end <= c.snd_wnd;
}

void Engine::Impl::send_due_probe(Connection& c, Instant now, std::size_t& sent) noexcept {
  if (c.flight() != 0 || c.unsent() == 0) {
    c.probe_due = false;
    return;
  }
  // RFC 1122 4.2.3.4: a window that stays small is used after all once the timer has fired.
  const std::uint32_t room = std::min({window_room(c), c.unsent(), std::uint32_t{c.mss}});
  const bool done = room == 0 ? send_probe(c, now) : send_new(c, room, now);
  if (done) {
    ++sent;
    c.probe_due = false;
  } else {
    mark_dirty(c);
  }
}

bool Engine::Impl::sendable(Connection& c, std::uint32_t in_pipe, Instant now,
                            std::uint32_t& length) noexcept {
  const std::uint32_t unsent = c.unsent();
  length = 0;
  if (c.scoreboard.full()) return false;  // what is in flight makes room, or the timer repairs it
  if (unsent == 0) return c.fin_queued && !c.fin_sent;
  const std::uint32_t room = window_room(c);
  // RFC 3042: what duplicates report has left the pipe, and lets as much out.
  const std::uint32_t cwnd_room = minus(c.congestion.cwnd, in_pipe);
  const std::uint32_t wanted = std::min<std::uint32_t>(unsent, c.mss);
  if (cwnd_room < wanted && in_pipe != 0) return false;
  // RFC 9293 3.8.6.2.1 MUST-38: whole segments, the last one, or half of the largest window seen.
  // Nagle's rule is not used: what belongs together is queued together.
  if (wanted <= room) {
    length = wanted;
    return true;
  }
  if (room != 0 && room >= c.max_snd_wnd / 2) {
    length = room;
    return true;
  }
  if (c.flight() == 0 && c.timer_kind != TimerKind::persist) {
    c.progress_at = now;
    start_timer(c, TimerKind::persist, now + c.rtt.current(timers.rto_max));
  }
  return false;
}

bool Engine::Impl::send_new(Connection& c, std::uint32_t length, Instant now) noexcept {
  Heading heading;
  heading.option_bytes = write_options(c, heading.options.data(), now);
  if (!send_new(c, length, heading, now)) return false;
  start_retransmission_timer(c, now);
  return true;
}

bool Engine::Impl::send_new(Connection& c, std::uint32_t length, Heading& heading,
                            Instant now) noexcept {
  Frame frame;
  if (!begin_frame(frame, heading.option_bytes)) return false;
  if (length > c.mss) widen_frame(frame);
  const std::uint32_t placed = gather(c, frame, c.snd_nxt, length, must_copy());
  if (placed == 0 && length != 0) {
    drop_frame(frame);
    return false;
  }
  if (length > c.mss && !is_large_enough(c, frame, placed)) {
    drop_frame(frame);
    return send_new(c, c.mss, heading, now);
  }
  const bool is_last = placed == c.unsent();
  const bool with_fin = c.fin_queued && is_last;
  std::uint8_t flags = wire::kTcpAck;
  if (is_last && placed != 0) flags |= wire::kTcpPsh;
  if (placed != 0) flags |= mark_new_data(c, frame);
  if (with_fin) flags |= wire::kTcpFin;
  mark_large(c, frame, placed);
  if (!heading.has_window) {
    heading.window = window_field(c);
    heading.has_window = true;
  }
  finish_frame(c, frame, c.snd_nxt, flags, heading.window,
               {heading.options.data(), heading.option_bytes});
  if (c.flight() == 0) c.progress_at = now;
  const std::uint32_t taken = placed + (with_fin ? 1u : 0u);
  note_sent(c, placed, with_fin, now);
  if (c.phase == Phase::fast_recovery) c.prr.on_sent(taken);
  c.snd_nxt += taken;
  c.fin_sent |= with_fin;
  c.probe_sent = false;
  c.last_send_at = now;
  c.egress_mark = interface.egress_mark();
  advance_cursor(c);
  counters.bytes_sent.add(placed);
  if (!c.rtt_timing && c.phase == Phase::open) {
    c.rtt_timing = true;
    c.rtt_start = now;
    c.rtt_seq = c.snd_nxt;
  }
  after_ack_sent(c);
  return true;
}

std::uint32_t Engine::Impl::send_retransmission(Connection& c, std::uint32_t run,
                                                Instant now) noexcept {
  const TcpSeq start{c.scoreboard[run].start};
  const std::uint32_t want = std::min<std::uint32_t>(c.scoreboard[run].bytes(), c.mss);
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(c, options.data(), now);
  Frame frame;
  if (!begin_frame(frame, option_bytes, Urgency::reserve)) return 0;
  // FIN has the number behind the last byte.
  const std::uint32_t until_end = start.precedes(c.snd_end) ? c.snd_end.distance_from(start) : 0;
  const std::uint32_t length = std::min(want, until_end);
  const std::uint32_t placed = gather(c, frame, start, length, true);
  if (placed == 0 && length != 0) {
    drop_frame(frame);
    return 0;
  }
  const bool reaches_end = placed == until_end;
  const bool with_fin = c.fin_sent && reaches_end;
  std::uint8_t flags = wire::kTcpAck;
  if (reaches_end && placed != 0) flags |= wire::kTcpPsh;
  if (with_fin) flags |= wire::kTcpFin;
  finish_frame(c, frame, start, flags, window_field(c), {options.data(), option_bytes});
  const std::uint32_t taken = placed + (with_fin ? 1u : 0u);
  note_copy_sent(c, now);
  c.scoreboard.on_resent(run, taken, now);
  if (c.phase == Phase::fast_recovery) c.prr.on_sent(taken);
  c.rtt_timing = false;  // RFC 6298 3
  c.last_send_at = now;
  counters.segments_retransmitted.add();
  counters.bytes_retransmitted.add(placed);
  start_retransmission_timer(c, now);
  after_ack_sent(c);
  return taken;
}

/// RFC 9293 3.8.6.1: one byte beyond the window, which snd_nxt does not count until it is taken.
bool Engine::Impl::send_probe(Connection& c, Instant now) noexcept {
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(c, options.data(), now);
  Frame frame;
  if (!begin_frame(frame, option_bytes, Urgency::reserve)) return false;
  if (gather(c, frame, c.snd_nxt, 1, true) == 0) {
    drop_frame(frame);
    return false;
  }
  finish_frame(c, frame, c.snd_nxt, wire::kTcpAck, window_field(c), {options.data(), option_bytes});
  c.probe_sent = true;
  c.last_send_at = now;
  counters.window_probes_sent.add();
  after_ack_sent(c);
  return true;
}

bool Engine::Impl::send_syn(Connection& c, Instant now) noexcept {
  const bool is_answer = c.state == State::syn_received;
  wire::SynOptions offer;
  // RFC 6691 2, RFC 8201 5.4: what we take in, whatever the path to the peer takes.
  offer.mss = static_cast<std::uint16_t>(c.link_mtu - c.header_bytes());
  // RFC 7323 2.2 and 3.2: an answer offers only what the SYN offered.
  offer.window_scale_offered = !is_answer || c.rcv_wnd_shift != 0 || c.snd_wnd_shift != 0;
  offer.window_scale = window_shift;
  offer.sack_permitted = !is_answer || c.sack_ok;
  offer.timestamps = !is_answer || c.ts_ok;
  offer.tsval = timestamp(c, now);
  offer.tsecr = is_answer ? c.ts_recent : 0;
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = wire::write_syn_options(options.data(), offer);
  Frame frame;
  if (!begin_frame(frame, option_bytes)) return false;
  const auto window = static_cast<std::uint16_t>(std::min(limits.receive_window_bytes, 0xffffu));
  const auto flags = static_cast<std::uint8_t>(wire::kTcpSyn | (is_answer ? wire::kTcpAck : 0) |
                                               ecn_syn_flags(c, is_answer));
  finish_frame(c, frame, c.iss, flags, window, {options.data(), option_bytes});
  c.snd_nxt = c.iss + 1;
  c.syn_pending = false;
  if (!c.syn_lost && !c.rtt_timing) {
    c.rtt_timing = true;
    c.rtt_start = now;
    c.rtt_seq = c.snd_nxt;
  }
  if (c.syn_lost) counters.segments_retransmitted.add();
  if (c.timer_kind != TimerKind::retransmit)
    start_timer(c, TimerKind::retransmit, now + c.rtt.current(timers.rto_max));
  after_ack_sent(c);
  return true;
}

/// What else has come since may have moved rcv_nxt into the run, and grown another last. False: the
/// run can no longer be told from bytes that came once.
bool Engine::Impl::settle_dsack(Connection& c) noexcept {
  if (!c.dsack.left.precedes(c.rcv_nxt)) return c.reassembly.tell_first(c.rcv_nxt, c.dsack);
  if (c.rcv_nxt.precedes(c.dsack.right)) c.dsack.right = c.rcv_nxt;
  return true;
}

bool Engine::Impl::send_ack(Connection& c, Instant now) noexcept {
  std::array<std::byte, 40> options;
  std::size_t option_bytes = write_options(c, options.data(), now);
  std::array<wire::SackBlock, 4> blocks;
  std::size_t count = 0;
  if (c.sack_ok) {
    const std::size_t most = c.ts_ok ? 3 : 4;
    // RFC 2883 4: a duplicate is reported once, before everything else.
    if (c.dsack_pending && settle_dsack(c)) blocks[count++] = c.dsack;
    count += c.reassembly.sack_blocks(c.rcv_nxt, std::span(blocks).subspan(count, most - count));
    option_bytes += wire::write_sack(options.data() + option_bytes, {blocks.data(), count});
  }
  Frame frame;
  if (!begin_frame(frame, option_bytes, Urgency::reserve)) return false;
  const bool is_update = c.reader_made_room;
  finish_frame(c, frame, c.snd_nxt, wire::kTcpAck, window_field(c), {options.data(), option_bytes});
  c.dsack_pending = false;
  counters.pure_acks_sent.add();
  if (is_update) counters.window_updates_sent.add();
  after_ack_sent(c);
  return true;
}

bool Engine::Impl::send_reset(Connection& c, Instant now) noexcept {
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(c, options.data(), now);
  Frame frame;
  if (!begin_frame(frame, option_bytes, Urgency::reserve)) return false;
  finish_frame(c, frame, c.snd_nxt, wire::kTcpRst | wire::kTcpAck, 0,
               {options.data(), option_bytes});
  counters.resets_sent.add();
  return true;
}

void Engine::Impl::after_ack_sent(Connection& c) noexcept {
  c.ack_now = false;
  c.ack_held = false;
  c.reader_made_room = false;
  c.ack_pending_bytes = 0;
  c.ack_at = kNever;
  c.last_ack_sent = c.rcv_nxt;
}

}  // namespace pollux::tcp
