// What an acknowledgment does to the send side: bytes leave the queue, the round trip is measured,
// the windows move. Read first: RFC 9293 3.10.7.4 fifth step, RFC 6298 3 and 5, RFC 5681 2 and 3.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

void Engine::Impl::take_ack(Connection& c, const Segment& segment, Instant now) noexcept {
  if (segment.ack.precedes(c.snd_una)) return;  // an old one; RFC 5961 5.2 lets its data in
  AckNews news{.ack = segment.ack,
               .tsecr = segment.options.tsecr,
               .has_timestamp = segment.options.has_timestamps,
               .is_new = segment.ack != c.snd_una};
  const bool same_window = (std::uint32_t{segment.window} << c.snd_wnd_shift) == c.snd_wnd;
  c.rack.begin_ack();
  const std::uint32_t sacked_before = c.scoreboard.sacked_bytes();
  if (c.sack_ok && segment.options.sack_count != 0) take_sack(c, segment, news, now);
  const bool sack_news = c.scoreboard.sacked_bytes() != sacked_before;
  // RFC 5681 2: no data, nothing new acknowledged, the same window. RFC 6675 2: with SACK, a
  // duplicate is one that reports something new.
  news.is_duplicate = !news.is_new && c.flight() != 0 && segment.length == 0 && !segment.fin() &&
                      (c.sack_ok ? sack_news : same_window);
  if (news.is_new) take_new_ack(c, news, now);
  if (c.state == State::closed || c.state == State::time_wait) return;
  news.delivered = news.acked + c.scoreboard.sacked_bytes() - sacked_before;
  on_ack_news(c, news, now);
  take_window(c, segment, now);
}

void Engine::Impl::take_sack(Connection& c, const Segment& segment, AckNews& news,
                             Instant now) noexcept {
  const wire::TcpOptions& options = segment.options;
  for (std::uint8_t i = 0; i < options.sack_count; ++i) {
    const wire::SackBlock& block = options.sack[i];
    if (i == 0) {
      // RFC 2883 4: the first block reports a duplicate when it lies below the acknowledgment or
      // inside the second block.
      const bool is_below = block.right.precedes_or_is(segment.ack);
      const bool is_inside = options.sack_count > 1 &&
                             options.sack[1].left.precedes_or_is(block.left) &&
                             block.right.precedes_or_is(options.sack[1].right);
      if (block.left.precedes(block.right) && (is_below || is_inside)) {
        news.has_dsack = true;
        news.dsack = block;
        continue;
      }
    }
    c.scoreboard.add(block, c.snd_una, c.snd_nxt,
                     [&](const Transmission& run) { note_delivered(c, run, news, now); });
  }
}

/// The run answers only its last copy if the echoed timestamp is not older than that copy
/// (RFC 8985 6.2 step 2).
void Engine::Impl::note_delivered(Connection& c, const Transmission& run, const AckNews& news,
                                  Instant now) noexcept {
  const bool is_ambiguous = run.ever_resent && c.ts_ok && news.has_timestamp &&
                            static_cast<std::int32_t>(news.tsecr - timestamp(c, run.sent_at())) < 0;
  c.rack.on_delivered(run, is_ambiguous, now);
}

void Engine::Impl::take_new_ack(Connection& c, AckNews& news, Instant now) noexcept {
  const std::uint32_t flight_before = c.flight();
  news.acked = news.ack.distance_from(c.snd_una);
  sample_rtt(c, news, now);
  if (c.snd_nxt.precedes(news.ack)) {
    // The peer took the byte of a window probe.
    c.snd_nxt = news.ack;
    c.probe_sent = false;
    end_persist(c);
    advance_cursor(c);
  }
  c.snd_una = news.ack;
  c.progress_at = now;
  confirm_path(c, now);
  drop_acknowledged(c);
  // Of runs that left once and in order the last one tells RACK all that the others would.
  const Transmission* last = nullptr;
  c.scoreboard.advance(news.ack, [&](const Transmission& run) {
    if (run.ever_resent || c.rack.was_overtaken(run))
      note_delivered(c, run, news, now);
    else
      last = &run;
  });
  if (last != nullptr) c.rack.on_delivered(*last, false, now);
  if (c.phase == Phase::open) {
    c.dupacks = 0;
    c.duplicate_bytes = 0;
    // The last recovery point must not fall so far behind that it seems to lie ahead (2 GiB).
    if (c.recover.precedes(news.ack)) c.recover = news.ack - 1;
    grow_window(c, news.acked, flight_before, now);
  }
  // RFC 6298 5.2 and 5.3.
  if (c.flight() == 0)
    stop_timer(c);
  else if (c.timer_kind == TimerKind::retransmit || c.timer_kind == TimerKind::tail_probe)
    c.timer_restart_due = true;
  else
    restart_retransmission_timer(c, now);
  mark_dirty(c);
  if (c.fin_sent && news.ack == c.snd_end + 1) on_fin_acknowledged(c, now);
}

/// RFC 9293 3.10.7.4: only a segment no older than the last one that did may change the window.
void Engine::Impl::take_window(Connection& c, const Segment& segment, Instant now) noexcept {
  // A higher acknowledgment was sent later even when its data had been sent before (it fills a
  // hole): the old window, counted from the new snd_una, would reach beyond what was offered.
  const bool is_later = c.snd_wl2.precedes(segment.ack);
  if (!is_later && !c.snd_wl1.precedes(segment.seq) &&
      !(c.snd_wl1 == segment.seq && c.snd_wl2 == segment.ack))
    return;
  if (c.snd_wl1.precedes(segment.seq)) c.snd_wl1 = segment.seq;
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

void Engine::Impl::take_rtt_sample(Connection& c, const AckNews& news, Instant now) noexcept {
  if (c.rtt_timing) {
    if (!c.rtt_seq.precedes_or_is(news.ack)) return;
    c.rtt_timing = false;
    c.rtt.on_sample(now - c.rtt_start, rto_least(c), timers.rto_max);
    return;
  }
  // RFC 6298 3: something was sent twice, so only a timestamp tells which copy was answered.
  if (!c.ts_ok || !news.has_timestamp) return;
  const std::uint32_t elapsed_ms = timestamp(c, now) - news.tsecr;
  if (elapsed_ms > 600'000) return;  // no echo of ours
  c.rtt.on_sample(std::max<Duration>(std::chrono::milliseconds(elapsed_ms), 1ms), rto_least(c),
                  timers.rto_max);
}

void Engine::Impl::give_back_reference(SendDescriptor& descriptor) noexcept {
  if (descriptor.reference != nullptr) --descriptor.reference->count;
}

void Engine::Impl::drop_acknowledged(Connection& c) noexcept {
  bool made_room = false;
  c.waits_for_egress = false;
  while (!c.queue.empty()) {
    SendDescriptor& d = c.queue.front();
    const TcpSeq start{d.start};
    if (!start.precedes(c.snd_una)) break;
    const std::uint32_t covered = std::min(c.snd_una.distance_from(start), d.length);
    if (d.data == nullptr) {
      c.inline_bytes.drop_before(d.inline_at + covered);
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
    // A peer that acknowledges what is still in our queue must not make the owner write to memory
    // that has yet to leave.
    if (d.data != nullptr && !interface.has_left(c.egress_mark)) [[unlikely]] {
      c.waits_for_egress = true;
      mark_dirty(c);
      break;
    }
    made_room = true;
    give_back_reference(d);
    c.queue.pop();
  }
  if (static_cast<std::int32_t>(c.send_cursor - c.queue.head) < 0) c.send_cursor = c.queue.head;
  if (c.queue.empty()) {
    c.queue.rewind();
    c.send_cursor = 0;
    c.inline_bytes.rewind();
  }
  if (made_room) raise(c, kSendSpace);
}

void Engine::Impl::drop_send_queue(Connection& c) noexcept {
  for (; !c.queue.empty(); c.queue.pop()) give_back_reference(c.queue.front());
  c.send_cursor = c.queue.head;
  c.inline_bytes.drop_all();
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
