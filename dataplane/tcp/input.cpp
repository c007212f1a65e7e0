// What a received segment does that prediction.cpp has not handled: the steps of RFC 9293 3.10.7.4
// in its order, one function each. Read first: RFC 9293 3.10.7, RFC 7323 4.3 and 5, RFC 5961 3
// to 5.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"
#include "dataplane/wire/ipv4.hpp"

namespace pollux::tcp {
namespace {

/// More bytes than so many segments are acknowledged at once: a sender that fills its window waits
/// for nothing else.
constexpr std::uint32_t kHeldSegmentsMost = 64;

constexpr Duration kPawsIdle = std::chrono::hours(24 * 24);  // RFC 7323 5.5
constexpr std::uint8_t kChallengeAcksMin = 8;  // a second and connection, plus up to 7

Segment parse(const net::TcpDatagram& datagram, const wire::TcpHeader& header) noexcept {
  Segment segment;
  segment.seq = TcpSeq{header.sequence_number.get()};
  segment.ack = TcpSeq{header.acknowledgment_number.get()};
  segment.window = header.window.get();
  segment.flags = header.flags;
  segment.ecn = datagram.ecn;
  segment.payload = datagram.payload;
  segment.length = datagram.payload_bytes;
  return segment;
}

EndReason reason_of_reset(const Connection& c) noexcept {
  if (c.state == State::syn_received) return EndReason::refused;
  // RFC 9293 3.10.7.4: in CLOSING and LAST-ACK a RST reports no error. Only our FIN is open then,
  // and the peer, which has forgotten the connection, must have had everything before it.
  const bool only_fin = c.state == State::closing || c.state == State::last_ack;
  return only_fin && c.snd_una == c.snd_end ? EndReason::closed : EndReason::reset_by_peer;
}

/// RFC 7323 5.3 R1, and 5.5: what was remembered of a peer that said nothing for 24 days is no
/// measure any more.
bool is_too_old(const Connection& c, std::uint32_t tsval, Instant now) noexcept {
  return is_older_timestamp(tsval, c.ts_recent) && now - c.ts_recent_at <= kPawsIdle;
}

}  // namespace

void Engine::Impl::input(const net::TcpDatagram& datagram, Instant now) noexcept {
  counters.segments_received.add();
  Connection* c = lookup(datagram);
  if (c != nullptr && c->state == State::established && input_predicted(*c, datagram, now)) return;

  const auto header = load<wire::TcpHeader>(datagram.header.data());
  Segment segment = parse(datagram, header);
  const auto option_bytes = datagram.header.subspan(wire::kTcpHeaderBytes);
  if (parse_tcp_options(option_bytes, segment.options) != wire::OptionsVerdict::good) {
    counters.dropped_bad_options.add();
  } else if (c == nullptr) {
    if (!input_time_wait(datagram, header, segment, now))
      input_unknown(datagram, header, segment, now);
  } else if (c->state == State::syn_sent) {
    // RFC 9293 3.10.7.3, first step: an ACK of something never sent is answered with a RST.
    if (segment.has_ack() &&
        !(c->snd_una.precedes(segment.ack) && segment.ack.precedes_or_is(c->snd_nxt))) {
      counters.dropped_bad_ack.add();
      if (!segment.rst()) answer_with_reset(datagram, header, segment, now);
    } else {
      input_syn_sent(*c, segment, now);
    }
  } else if (c->state == State::syn_received && segment.has_ack() && !segment.rst() &&
             !(c->snd_una.precedes(segment.ack) && segment.ack.precedes_or_is(c->snd_nxt))) {
    // RFC 9293 3.10.7.4, fifth step, SYN-RECEIVED.
    counters.dropped_bad_ack.add();
    answer_with_reset(datagram, header, segment, now);
  } else {
    input_synchronized(*c, segment, now);
  }
  drop_payload(segment);
}

void Engine::Impl::input_unknown(const net::TcpDatagram& datagram, const wire::TcpHeader& header,
                                 Segment& segment, Instant now) noexcept {
  // RFC 9293 3.10.7.1 and 3.10.7.2.
  if (segment.rst()) {
    counters.dropped_no_connection.add();
    return;
  }
  const net::Endpoint remote{datagram.source, header.source_port.get()};
  const bool asks = listener != nullptr && segment.syn() && !segment.has_ack() && remote.port != 0;
  if (asks && accept_syn(datagram, remote, header.destination_port.get(), segment, now)) return;
  counters.dropped_no_connection.add();
  answer_with_reset(datagram, header, segment, now);
}

void Engine::Impl::input_synchronized(Connection& c, Segment& segment, Instant now) noexcept {
  if (c.state == State::syn_received && segment.syn() && !segment.has_ack() &&
      segment.seq == c.irs) {
    // The peer has not seen our SYN-ACK, or has given up ECN meanwhile.
    negotiate_ecn(c, segment);
    c.syn_pending = true;
    return mark_dirty(c);
  }
  if (c.state == State::syn_received && segment.syn() && segment.has_ack() &&
      segment.seq == c.irs) {
    // RFC 9293 3.5, figure 7: after a simultaneous open the SYN comes again with the ACK of ours.
    segment.flags = static_cast<std::uint8_t>(segment.flags & ~wire::kTcpSyn);
    segment.seq += 1;
    // RFC 7323 2.2: the window of a SYN is not scaled, and what follows scales it.
    segment.window = static_cast<std::uint16_t>(segment.window >> c.snd_wnd_shift);
  }
  if (!check_timestamps(c, segment, now)) return;
  if (!check_sequence(c, segment)) {
    if (segment.rst()) return;
    // A segment that holds data or a FIN is acknowledged whatever the rate; an empty one could be
    // half of an endless exchange between two confused ends, and a SYN is challenged (RFC
    // 5961 4.2).
    if (segment.sequence_length() != 0 && !segment.syn())
      request_ack(c);
    else
      challenge(c, now);
    return;
  }
  if (segment.rst()) {
    // Second step. RFC 5961 3.2: exactly at rcv_nxt it ends the connection; inside the window it is
    // challenged.
    if (segment.seq == c.rcv_nxt) return end(c, reason_of_reset(c));
    counters.dropped_bad_reset.add();
    return challenge(c, now);
  }
  if (!check_syn(c, segment, now)) return;
  if (!check_ack(c, segment, now)) return;
  c.heard_at = now;
  update_ts_recent(c, segment, now);
  take_ecn(c, segment, now);
  take_ack(c, segment, now);
  if (c.state == State::closed || c.state == State::time_wait) return;
  take_text(c, segment, now);
  take_fin(c, now);
}

/// RFC 7323 3.2 and 5.3, before the sequence number is looked at. A RST is exempt (5.2).
bool Engine::Impl::check_timestamps(Connection& c, const Segment& segment, Instant now) noexcept {
  if (!c.ts_ok || segment.rst()) return true;
  if (!segment.options.has_timestamps) {
    counters.dropped_no_timestamp.add();
    return false;
  }
  if (!is_too_old(c, segment.options.tsval, now)) return true;
  counters.dropped_paws.add();
  if (segment.sequence_length() != 0 && !segment.syn())
    request_ack(c);
  else
    challenge(c, now);
  return false;
}

/// First step: acceptability, and trimming to what lies in the window.
bool Engine::Impl::check_sequence(Connection& c, Segment& segment) noexcept {
  const std::uint32_t wnd = c.rcv_wnd();
  // What a RST carries takes no part: only its own number decides (RFC 5961 3.2).
  const std::uint32_t length = segment.rst() ? 0 : segment.sequence_length();
  if (length == 0) {
    const bool acceptable =
        wnd == 0 ? segment.seq == c.rcv_nxt : segment.seq.in_window(c.rcv_nxt, wnd);
    // A pure ACK exactly at the right edge is what a peer sends that has filled the window.
    if (acceptable || (segment.seq == c.rcv_edge && !segment.rst())) return true;
    counters.dropped_outside_window.add();
    return false;
  }
  if (wnd == 0 && segment.seq == c.rcv_nxt && segment.has_ack() && !segment.syn()) {
    // RFC 9293 3.10.7.4 MUST-66: the window is closed to the bytes of a probe, not to its ACK.
    counters.dropped_outside_window.add();
    segment.length = 0;
    segment.flags = static_cast<std::uint8_t>(segment.flags & ~wire::kTcpFin);
    request_ack(c);
    return true;
  }
  const TcpSeq last = segment.seq + (length - 1);
  const bool acceptable =
      wnd != 0 && (segment.seq.in_window(c.rcv_nxt, wnd) || last.in_window(c.rcv_nxt, wnd) ||
                   (segment.seq.precedes(c.rcv_nxt) && c.rcv_nxt.precedes(last)));
  if (!acceptable) {
    if (last.precedes(c.rcv_nxt)) {
      counters.duplicate_segments.add();
      if (segment.length != 0) report_duplicate(c, {segment.seq, segment.seq + segment.length});
    } else {
      counters.dropped_outside_window.add();
    }
    return false;
  }
  if (segment.syn()) return true;  // check_syn challenges it whatever it carries
  if (segment.seq.precedes(c.rcv_nxt)) {
    const std::uint32_t old = std::min(c.rcv_nxt.distance_from(segment.seq), segment.length);
    segment.skip = old;
    segment.length -= old;
    segment.seq += old;
  }
  const std::uint32_t room = c.rcv_edge.distance_from(segment.seq);
  if (segment.sequence_length() > room) {
    // What lies beyond the right edge is cut off, a FIN with it.
    segment.flags = static_cast<std::uint8_t>(segment.flags & ~wire::kTcpFin);
    segment.length = std::min(segment.length, room);
  }
  return true;
}

/// Fourth step, as RFC 5961 4.2 has it: no SYN, in the window or not, ends a connection.
bool Engine::Impl::check_syn(Connection& c, const Segment& segment, Instant now) noexcept {
  if (!segment.syn()) return true;
  counters.dropped_syn_in_connection.add();
  challenge(c, now);
  return false;
}

/// Fifth step, the range of RFC 5961 5.2. SYN-RECEIVED has been checked by input().
bool Engine::Impl::check_ack(Connection& c, const Segment& segment, Instant now) noexcept {
  if (!segment.has_ack()) {
    counters.dropped_no_ack_flag.add();
    return false;
  }
  if (c.state == State::syn_received) {
    sample_rtt(c, {.ack = segment.ack, .tsecr = segment.options.tsecr, .has_timestamp = c.ts_ok},
               now);
    c.snd_una = c.iss + 1;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = segment.ack;
    c.snd_wnd = std::uint32_t{segment.window} << c.snd_wnd_shift;
    c.max_snd_wnd = std::max(c.max_snd_wnd, c.snd_wnd);
    on_established(c, now);
    return true;
  }
  const TcpSeq oldest = c.snd_una - c.max_snd_wnd;
  if (segment.ack.distance_from(oldest) <= c.snd_max().distance_from(oldest)) return true;
  counters.dropped_bad_ack.add();
  challenge(c, now);
  return false;
}

void Engine::Impl::update_ts_recent(Connection& c, const Segment& segment, Instant now) noexcept {
  // RFC 7323 4.3 (2): only a segment that covers the last ACK sent may move it.
  if (!c.ts_ok || !segment.options.has_timestamps || is_too_old(c, segment.options.tsval, now) ||
      c.last_ack_sent.precedes(segment.seq))
    return;
  c.ts_recent = segment.options.tsval;
  c.ts_recent_at = now;
}

/// RFC 2883 4: the first run of bytes that came twice is reported, once and at once.
void Engine::Impl::report_duplicate(Connection& c, const wire::SackBlock& run) noexcept {
  if (!c.sack_ok) return;
  c.dsack = run;
  c.dsack_pending = true;
  request_ack(c);
}

/// Seventh step.
void Engine::Impl::take_text(Connection& c, Segment& segment, Instant now) noexcept {
  if (segment.skip != 0) report_duplicate(c, {segment.seq - segment.skip, segment.seq});
  learn_fin(c, segment);
  if (segment.length == 0) return;
  if (!may_receive(c.state)) {
    counters.dropped_after_end.add();
    return;
  }
  if (c.fin_known) {
    // No byte comes after a FIN.
    const std::uint32_t room =
        segment.seq.precedes(c.fin_seq) ? c.fin_seq.distance_from(segment.seq) : 0;
    if (segment.length > room) counters.dropped_after_end.add();
    segment.length = std::min(segment.length, room);
    if (segment.length == 0) return;
  }
  if (segment.seq == c.rcv_nxt && c.reassembly.empty()) {
    if (!append_payload(c, segment.payload, segment.skip, segment.length)) {
      (c.received.space() < segment.payload.size() ? counters.dropped_receive_queue_full
                                                   : counters.dropped_receive_budget)
          .add();
      request_ack(c);
      return;
    }
    segment.payload_taken = true;
    count_ack_bytes(c, segment.length, now);
    raise(c, kReadable);
    return;
  }
  if (segment.seq != c.rcv_nxt) counters.out_of_order_segments.add();
  // RFC 5681 4.2: a segment that leaves or fills a hole is acknowledged at once.
  request_ack(c);
  segment.payload_taken = file_out_of_order(c, segment);
}

/// Eighth step.
void Engine::Impl::take_fin(Connection& c, Instant now) noexcept {
  if (!c.fin_known || c.rcv_nxt != c.fin_seq || !may_receive(c.state)) return;
  c.rcv_nxt += 1;
  if (c.rcv_edge.precedes(c.rcv_nxt)) c.rcv_edge = c.rcv_nxt;
  request_ack(c);
  raise(c, kPeerClosed);
  if (c.state == State::established) {
    c.state = State::close_wait;
  } else if (c.state == State::fin_wait_1) {
    // Our FIN is not acknowledged, or take_ack would have moved on.
    c.state = State::closing;
  } else {
    enter_time_wait(c, now);
  }
}

/// RFC 5961 7: a limit for each connection, different every second, leaks nothing to a third party.
void Engine::Impl::challenge(Connection& c, Instant now) noexcept {
  if (now >= c.challenge_until) {
    c.challenge_until = now + 1s;
    c.challenge_count = 0;
    c.challenge_limit = static_cast<std::uint8_t>(kChallengeAcksMin + random.below(8));
  }
  if (c.challenge_count >= c.challenge_limit) {
    counters.suppressed_challenge_acks.add();
    return;
  }
  ++c.challenge_count;
  counters.challenge_acks.add();
  request_ack(c);
}

/// Due, but not urgent. It stays in the list of connections with something to say, so that each
/// output pass looks at it: no timer is that fine.
void Engine::Impl::hold_ack(Connection& c, Instant now) noexcept {
  if (timers.ack_hold == Duration::zero()) return request_ack(c);
  if (!c.ack_held) c.ack_held_until = now + timers.ack_hold;
  c.ack_held = true;
  mark_dirty(c);
}

/// RFC 5681 4.2 and RFC 9293 3.8.6.3: an ACK for every second full segment's worth of bytes,
/// however they were cut, or when the timer says so.
void Engine::Impl::count_ack_bytes(Connection& c, std::uint32_t bytes, Instant now) noexcept {
  c.ack_pending_bytes += bytes;
  if (c.ack_pending_bytes >= 2u * c.rcv_mss) {
    const std::uint32_t held_most = std::min(kHeldSegmentsMost * c.rcv_mss, c.rcv_wnd());
    if (c.ack_pending_bytes < held_most)
      hold_ack(c, now);
    else
      request_ack(c);
  } else if (c.ack_at == kNever) {
    c.ack_at = now + timers.delayed_ack;
    arm(c, c.ack_at);
  }
}

}  // namespace pollux::tcp
