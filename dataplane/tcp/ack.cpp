// What an acknowledgment does to the send side: bytes leave the queue, the round trip is measured,
// the windows move. Read first: RFC 9293 3.10.7.4 fifth step, RFC 6298 3 and 5, RFC 5681 2 and 3.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::take_ack(Connection& c, const Segment& segment, Instant now) noexcept {
  if (segment.ack.precedes(c.snd_una)) return;  // an old one; RFC 5961 5.2 lets its data in
  const bool is_new = segment.ack != c.snd_una;
  const bool same_window = (std::uint32_t{segment.window} << c.snd_wnd_shift) == c.snd_wnd;
  if (is_new)
    take_new_ack(c, segment.ack, segment.options.tsecr, segment.options.has_timestamps, now);
  if (c.state == State::closed || c.state == State::time_wait) return;
  bool sack_news = false;
  if (c.sack_ok) {
    for (std::uint8_t i = 0; i < segment.options.sack_count; ++i)
      sack_news |= c.scoreboard.add(segment.options.sack[i], c.snd_una, c.snd_nxt);
  }
  if (is_new) {
    if (sack_news) mark_dirty(c);
  } else if (c.flight() != 0 && segment.length == 0 && !segment.fin()) {
    // RFC 5681 2: no data, nothing new acknowledged, the same window. RFC 6675 2: with SACK, a
    // duplicate is one that reports something new.
    if (c.sack_ok ? sack_news : same_window) on_duplicate_ack(c, now);
  }
  take_window(c, segment, now);
}

void Engine::Impl::take_new_ack(Connection& c, TcpSeq ack, std::uint32_t tsecr, bool has_ts,
                                Instant now) noexcept {
  const std::uint32_t acked = ack.distance_from(c.snd_una);
  const std::uint32_t flight_before = c.flight();
  sample_rtt(c, ack, tsecr, has_ts, now);
  if (c.snd_nxt.precedes(ack)) {
    // The peer took the byte of a window probe.
    c.snd_nxt = ack;
    c.probe_sent = false;
    end_persist(c);
    advance_cursor(c);
  }
  c.snd_una = ack;
  c.progress_at = now;
  drop_acknowledged(c);
  c.scoreboard.advance(ack);
  if (c.phase == Phase::open) {
    c.dupacks = 0;
    // The last recovery point must not fall so far behind that it seems to lie ahead (2 GiB).
    if (c.recover.precedes(ack)) c.recover = ack - 1;
    grow_window(c, acked, flight_before, now);
  } else {
    on_recovery_ack(c, acked, now);
  }
  // RFC 6298 5.2 and 5.3.
  if (c.flight() == 0)
    stop_timer(c);
  else
    start_timer(c, TimerKind::retransmit, now + c.rtt.current(timers.rto_max));
  mark_dirty(c);
  if (c.fin_sent && ack == c.snd_end + 1) on_fin_acknowledged(c, now);
}

/// RFC 9293 3.10.7.4: only a segment no older than the last one that did may change the window.
void Engine::Impl::take_window(Connection& c, const Segment& segment, Instant now) noexcept {
  if (!c.snd_wl1.precedes(segment.seq) &&
      !(c.snd_wl1 == segment.seq && c.snd_wl2.precedes_or_is(segment.ack)))
    return;
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = segment.ack;
  const std::uint32_t window = std::uint32_t{segment.window} << c.snd_wnd_shift;
  // RFC 9293 3.8.6.1 MUST-37: as long as the peer answers probes, the connection stays.
  if (window == 0) c.progress_at = now;
  if (window != c.snd_wnd) change_window(c, window);
}

void Engine::Impl::change_window(Connection& c, std::uint32_t window) noexcept {
  c.snd_wnd = window;
  c.max_snd_wnd = std::max(c.max_snd_wnd, window);
  if (window != 0) end_persist(c);
  mark_dirty(c);
}

/// The back-off of probes says nothing about the path: what follows them starts without it.
void Engine::Impl::end_persist(Connection& c) noexcept {
  if (c.timer_kind != TimerKind::persist) return;
  stop_timer(c);
  c.rtt.backoff = 0;
}

void Engine::Impl::sample_rtt(Connection& c, TcpSeq ack, std::uint32_t tsecr, bool has_ts,
                              Instant now) noexcept {
  if (c.rtt_timing) {
    if (!c.rtt_seq.precedes_or_is(ack)) return;
    c.rtt_timing = false;
    c.rtt.on_sample(now - c.rtt_start, timers.rto_min, timers.rto_max);
    return;
  }
  // RFC 6298 3: something was sent twice, so only a timestamp tells which copy was answered.
  if (!c.ts_ok || !has_ts || (c.phase == Phase::open && c.rtt.backoff == 0)) return;
  const std::uint32_t elapsed_ms = timestamp(c, now) - tsecr;
  if (elapsed_ms > 600'000) return;  // no echo of ours
  c.rtt.on_sample(std::max<Duration>(std::chrono::milliseconds(elapsed_ms), 1ms), timers.rto_min,
                  timers.rto_max);
}

void Engine::Impl::give_back_reference(SendDescriptor& descriptor) noexcept {
  if (descriptor.reference != nullptr) --descriptor.reference->count;
}

void Engine::Impl::drop_acknowledged(Connection& c) noexcept {
  bool made_room = false;
  while (!c.queue.empty()) {
    SendDescriptor& d = c.queue.front();
    const TcpSeq start{d.start};
    if (!start.precedes(c.snd_una)) break;
    const std::uint32_t covered = std::min(c.snd_una.distance_from(start), d.length);
    if (d.data == nullptr) {
      c.inline_head = d.inline_at + covered;
      made_room = true;
    }
    if (covered != d.length) {
      // External memory stays referenced as a whole; inline bytes make room one by one.
      if (d.data == nullptr) {
        d.start += covered;
        d.inline_at += covered;
        d.length -= covered;
      }
      break;
    }
    made_room = true;
    give_back_reference(d);
    c.queue.pop();
  }
  if (static_cast<std::int32_t>(c.send_cursor - c.queue.head) < 0) c.send_cursor = c.queue.head;
  if (made_room) raise(c, kSendSpace);
}

void Engine::Impl::drop_send_queue(Connection& c) noexcept {
  for (; !c.queue.empty(); c.queue.pop()) give_back_reference(c.queue.front());
  c.send_cursor = c.queue.head;
  c.inline_head = c.inline_tail;
  c.scoreboard.clear();
}

void Engine::Impl::on_fin_acknowledged(Connection& c, Instant now) noexcept {
  switch (c.state) {
    case State::fin_wait_1:
      c.state = State::fin_wait_2;
      // The peer may stay silent for ever; the owner's patience is user_timeout.
      c.limit_at = now + c.user_timeout;
      arm(c, c.limit_at);
      break;
    case State::closing:
      enter_time_wait(c, now);
      break;
    case State::last_ack:
      end(c, EndReason::closed);
      break;
    case State::closed:
    case State::listen:
    case State::syn_sent:
    case State::syn_received:
    case State::established:
    case State::fin_wait_2:
    case State::close_wait:
    case State::time_wait:
      break;
  }
}

}  // namespace pollux::tcp
