#include "tests/support/reference_peer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace pollux::sim {
namespace {

std::uint64_t unwrap(std::uint32_t raw, std::uint32_t first, std::uint64_t expected) {
  const auto ahead = static_cast<std::int32_t>(raw - first - static_cast<std::uint32_t>(expected));
  return expected + static_cast<std::uint64_t>(std::int64_t{ahead});
}

}  // namespace

ReferencePeer::ReferencePeer(SimWire& wire, std::size_t end, const ReferencePeerOptions& options)
    : wire_(wire), end_(end), options_(options), random_(options.seed) {
  iss_ = static_cast<std::uint32_t>(random_.next());
  if (random_.below(2) == 0) iss_ = 0u - random_.below(300'000);  // wraps early
}

void ReferencePeer::listen(std::uint16_t port) {
  port_ = port;
  enter(State::listen);
}

void ReferencePeer::open(std::uint16_t port, std::uint16_t remote_port, Instant now) {
  port_ = port;
  remote_port_ = remote_port;
  enter(State::syn_sent);
  backoff_ = options_.timeout;
  resend_at_ = now;
}

void ReferencePeer::set_streams(std::uint64_t sent, std::uint64_t received) {
  sent_stream_ = sent;
  received_stream_ = received;
}

std::uint32_t ReferencePeer::clock(Instant now) const {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  return static_cast<std::uint32_t>(ms.count()) + static_cast<std::uint32_t>(options_.seed);
}

void ReferencePeer::read(std::uint64_t bytes) {
  if (bytes == 0) return;
  read_ += bytes;
  // RFC 9293 3.8.6.2.2: an update once it opens a segment's worth or half of the buffer.
  const std::uint64_t could = rcv_nxt_ + options_.buffer_bytes - readable();
  if (could >= rcv_edge_ + std::min<std::uint64_t>(options_.mss, options_.buffer_bytes / 2) &&
      rcv_edge_ - std::min(rcv_edge_, rcv_nxt_) < options_.buffer_bytes / 2)
    ack_now_ = true;
}

void ReferencePeer::close() {
  closing_ = true;
  if (state_ == State::established) enter(State::fin_wait_1);
  if (state_ == State::close_wait) enter(State::last_ack);
}

void ReferencePeer::abort() {
  if (state_ != State::closed && state_ != State::listen && state_ != State::syn_sent && mac_known_)
    send_rst(raw_seq(snd_nxt_), raw_ack(rcv_nxt_), kRst | kAck);
  enter(State::closed);
  resend_at_ = ack_at_ = quit_at_ = kNever;
}

std::size_t ReferencePeer::turn(Instant now) {
  std::size_t work = 0;
  while (std::optional<Frame> frame = wire_.take(end_)) {
    on_frame(*frame, now);
    ++work;
  }
  work += fire_timers(now);
  return work + send_all(now);
}

Instant ReferencePeer::next_deadline() const { return std::min({ack_at_, resend_at_, quit_at_}); }

bool ReferencePeer::on_frame(const Frame& frame, Instant now) {
  if (frame.size() < 42) return false;
  const bool to_all = (frame[0] & std::byte{1}) != std::byte{0};
  if (!to_all && std::memcmp(frame.data(), options_.mac.data(), 6) != 0) return false;
  if (frame[12] == std::byte{8} && frame[13] == std::byte{6}) {
    on_arp(frame);
    return true;
  }
  const TcpFrame at = dissect(frame);
  if (!at.valid) return false;
  if (!ip_checksum_good(frame) || !tcp_checksum_good(frame, at)) {
    ++hits_.bad_checksums;
    return false;
  }
  if (std::memcmp(&frame[at.ip + 16], options_.address.data(), 4) != 0) return false;
  WireSegment segment;
  if (!read_segment(frame, at, segment).empty()) return false;
  if (segment.destination_port != port_) return false;
  on_segment(segment, now);
  return true;
}

void ReferencePeer::take_syn(const WireSegment& segment) {
  irs_ = segment.seq;
  rcv_nxt_ = 1;
  peer_mss_ = segment.has_mss ? segment.mss : 536;
  scaled_ = segment.has_scale && options_.window_scale;
  peer_scale_ = scaled_ ? segment.scale : 0;
  sack_on_ = segment.has_sack_permitted && options_.sack;
  timestamps_on_ = segment.has_timestamps && options_.timestamps;
  ts_recent_ = segment.tsval;
  rcv_edge_ = 1 + std::min<std::uint64_t>(options_.buffer_bytes, 0xffff);
  snd_wnd_ = segment.window;
  snd_wl1_ = 0;
  remote_port_ = segment.source_port;
}

void ReferencePeer::on_unknown(const WireSegment& segment, Instant) {
  if (segment.is(kRst)) return;
  remote_port_ = segment.source_port;
  const std::uint32_t length = static_cast<std::uint32_t>(segment.payload.size()) +
                               (segment.is(kSyn) ? 1u : 0u) + (segment.is(kFin) ? 1u : 0u);
  if (segment.is(kAck))
    send_rst(segment.ack, 0, kRst);
  else
    send_rst(0, segment.seq + length, kRst | kAck);
}

void ReferencePeer::on_syn_sent(const WireSegment& segment, Instant now) {
  const bool ack_good = segment.is(kAck) && segment.ack == iss_ + 1;
  if (segment.is(kAck) && !ack_good) {
    if (!segment.is(kRst)) send_rst(segment.ack, 0, kRst);
    return;
  }
  if (segment.is(kRst)) {
    if (ack_good) {
      was_reset_ = true;
      abort();
    }
    return;
  }
  if (!segment.is(kSyn)) return;
  take_syn(segment);
  if (!ack_good) {
    enter(State::syn_received);
    return send_syn(now);
  }
  snd_una_ = 1;
  snd_wl2_ = 1;
  resend_at_ = kNever;
  backoff_ = options_.timeout;
  was_established_ = true;
  enter(closing_ ? State::fin_wait_1 : State::established);
  ack_now_ = true;
}

void ReferencePeer::on_segment(const WireSegment& segment, Instant now) {
  if (state_ != State::listen && state_ != State::closed && segment.source_port != remote_port_)
    return;
  if (state_ == State::closed) return on_unknown(segment, now);
  if (state_ == State::listen) {
    if (segment.is(kRst)) return;
    if (segment.is(kAck) || !segment.is(kSyn)) return on_unknown(segment, now);
    take_syn(segment);
    enter(State::syn_received);
    backoff_ = options_.timeout;
    return send_syn(now);
  }
  if (state_ == State::syn_sent) return on_syn_sent(segment, now);
  // RFC 9293 3.10.7.4, in its order.
  std::uint64_t seq = unwrap(segment.seq, irs_, rcv_nxt_);
  const bool old_syn = segment.is(kSyn) && segment.seq == irs_;
  if (state_ == State::syn_received && old_syn && !segment.is(kAck)) return send_syn(now);
  const bool both_open = state_ == State::syn_received && old_syn && segment.is(kAck);
  if (both_open) ++seq;
  if (timestamps_on_ && !segment.is(kRst)) {
    if (!segment.has_timestamps) return;
    if (static_cast<std::int32_t>(segment.tsval - ts_recent_) < 0) {
      ++hits_.paws_dropped;
      ack_now_ = true;
      return;
    }
  }
  const std::uint64_t length = segment.payload.size() + (segment.is(kFin) ? 1 : 0);
  if (!acceptable(seq, segment.is(kRst) ? 0 : length)) {
    if (!segment.is(kRst)) {
      ack_now_ = true;
      if (seq + length <= rcv_nxt_ && !segment.payload.empty()) {
        ++hits_.duplicates;
        dsack_left_ = seq;
        dsack_right_ = seq + segment.payload.size();
      }
      // RFC 9293 3.10.7.4 MUST-66: the ACK of a segment that the window keeps out counts still.
      if (seq == rcv_nxt_ && segment.is(kAck)) take_ack(segment, seq, now);
    }
    return;
  }
  if (segment.is(kRst)) {
    if (state_ == State::time_wait) return;  // RFC 1337
    if (seq == rcv_nxt_) {
      was_reset_ = true;
      enter(State::closed);
      resend_at_ = ack_at_ = quit_at_ = kNever;
    } else {
      ack_now_ = true;
    }
    return;
  }
  if (segment.is(kSyn) && !both_open) {
    ack_now_ = true;
    return;
  }
  if (!segment.is(kAck)) return;
  // RFC 7323 4.3.
  if (timestamps_on_ && seq <= last_ack_sent_) ts_recent_ = segment.tsval;
  if (!take_ack(segment, seq, now)) return;
  if (state_ == State::closed) return;
  take_text(segment, seq, now);
  take_fin(now);
}

/// RFC 9293 3.4, table 6.
bool ReferencePeer::acceptable(std::uint64_t seq, std::uint64_t length) const {
  const std::uint64_t window = rcv_edge_ - rcv_nxt_;
  if (length == 0 && seq == rcv_edge_) return true;
  if (length == 0) return window == 0 ? seq == rcv_nxt_ : seq >= rcv_nxt_ && seq < rcv_edge_;
  return window != 0 && seq < rcv_edge_ && seq + length > rcv_nxt_;
}

bool ReferencePeer::take_ack(const WireSegment& segment, std::uint64_t seq, Instant now) {
  const std::uint64_t ack = unwrap(segment.ack, iss_, snd_una_);
  // The byte of a probe counts as sent once it is acknowledged.
  if (probing_ && ack == snd_max_ + 1) ++snd_max_;
  if (ack > snd_max_) {
    complaint_ = fmt::format("an ACK {} beyond what the peer sent", ack - snd_max_);
    return false;
  }
  if (state_ == State::syn_received) {
    if (ack == 0) return false;
    was_established_ = true;
    enter(closing_ ? State::fin_wait_1 : State::established);
    backoff_ = options_.timeout;
  }
  if (ack > snd_una_) {
    snd_una_ = ack;
    snd_nxt_ = std::max(snd_nxt_, snd_una_);
    duplicates_ = 0;
    backoff_ = options_.timeout;
    resend_at_ = kNever;
    if (snd_una_ < snd_max_) arm(now);
  } else if (ack == snd_una_ && segment.payload.empty() && snd_max_ > snd_una_) {
    // RFC 5681 3.2, without the congestion part: the third duplicate resends one segment.
    if (++duplicates_ == 3 && snd_una_ < snd_end_)
      send_text(snd_una_, std::min<std::uint64_t>(snd_end_, snd_max_) - snd_una_, false, now);
  }
  if (seq > snd_wl1_ || (seq == snd_wl1_ && ack >= snd_wl2_)) {
    snd_wnd_ = std::uint64_t{segment.window} << (segment.is(kSyn) ? 0 : peer_scale_);
    snd_wl1_ = seq;
    snd_wl2_ = ack;
    if (snd_wnd_ == 0) ++hits_.zero_windows;
  }
  const bool fin_acked = closing_ && snd_una_ == fin_number() + 1;
  if (!fin_acked) return true;
  if (state_ == State::fin_wait_1) enter(State::fin_wait_2);
  if (state_ == State::last_ack) {
    enter(State::closed);
    resend_at_ = ack_at_ = kNever;
  }
  if (state_ == State::closing) {
    enter(State::time_wait);
    quit_at_ = now + options_.time_wait;
    resend_at_ = kNever;
  }
  return true;
}

void ReferencePeer::take_text(const WireSegment& segment, std::uint64_t seq, Instant now) {
  if (segment.is(kFin) && seq + segment.payload.size() < rcv_edge_ + 1) {
    fin_known_ = true;
    fin_at_ = seq + segment.payload.size();
    ack_now_ = true;
  }
  const std::uint64_t begin = std::max(seq, rcv_nxt_);
  const std::uint64_t end = std::min(seq + segment.payload.size(), rcv_edge_);
  if (segment.payload.empty() || begin >= end) return;
  if (fin_received_) {
    complaint_ = "data behind the FIN";
    return;
  }
  if (!StreamContent::instance().matches(received_stream_, seq - 1, segment.payload)) {
    complaint_ = fmt::format("wrong bytes at {} of the stream", seq - 1);
    return;
  }
  if (begin > rcv_nxt_) {
    ack_now_ = true;
    newest_early_ = begin;
  }
  // Joined with what it touches, then as much as possible is in order.
  std::uint64_t left = begin;
  std::uint64_t right = end;
  for (auto it = early_.begin(); it != early_.end();) {
    if (it->second < left || it->first > right) {
      ++it;
      continue;
    }
    left = std::min(left, it->first);
    right = std::max(right, it->second);
    it = early_.erase(it);
    ack_now_ = true;
  }
  if (left <= rcv_nxt_) {
    delivered_ += right - rcv_nxt_;
    rcv_nxt_ = right;
  } else {
    early_[left] = right;
  }
  if (++unacked_segments_ >= options_.ack_every || !early_.empty())
    ack_now_ = true;
  else if (ack_at_ == kNever)
    ack_at_ = now + options_.ack_delay;
  misbehave(now);
}

void ReferencePeer::take_fin(Instant now) {
  if (!fin_known_ || rcv_nxt_ != fin_at_ || fin_received_) {
    // RFC 9293 3.10.7.4, eighth step: TIME-WAIT starts again.
    if (fin_received_ && state_ == State::time_wait && ack_now_)
      quit_at_ = now + options_.time_wait;
    return;
  }
  fin_received_ = true;
  ++rcv_nxt_;
  rcv_edge_ = std::max(rcv_edge_, rcv_nxt_);
  ack_now_ = true;
  if (state_ == State::established) {
    enter(State::close_wait);
  } else if (state_ == State::fin_wait_1) {
    enter(State::closing);
  } else if (state_ == State::fin_wait_2) {
    enter(State::time_wait);
    quit_at_ = now + options_.time_wait;
    resend_at_ = kNever;
  }
}

void ReferencePeer::misbehave(Instant now) {
  if (!early_.empty() && random_.chance_ppm(options_.renege_ppm)) {
    early_.clear();
    fin_known_ = fin_received_;
    ++hits_.reneged;
  }
  if (random_.chance_ppm(options_.split_ack_ppm) && rcv_nxt_ > last_ack_sent_ + 3) {
    const std::uint64_t step = (rcv_nxt_ - last_ack_sent_) / 3;
    const std::uint64_t base = last_ack_sent_;
    for (std::uint64_t i = 1; i < 3; ++i) send_ack(now, base + i * step);
    ack_now_ = true;
    ++hits_.split_acks;
  }
  if (random_.chance_ppm(options_.dup_ack_ppm)) {
    for (std::uint32_t i = 1 + random_.below(5); i != 0; --i) send_ack(now, rcv_nxt_);
    ++hits_.dup_acks;
  }
  if (random_.chance_ppm(options_.old_ack_ppm) && rcv_nxt_ > 1) {
    const std::uint64_t now_acked = last_ack_sent_;
    send_ack(now, rcv_nxt_ - std::min<std::uint64_t>(rcv_nxt_ - 1, 1 + random_.below(20'000)));
    last_ack_sent_ = now_acked;
    ack_now_ = true;
    ++hits_.old_acks;
  }
  if (random_.chance_ppm(options_.shrink_ppm) && rcv_edge_ > rcv_nxt_ + 4) {
    // Never below what has come: that would be forgetting.
    rcv_edge_ -= (rcv_edge_ - rcv_nxt_) / 4;
    if (!early_.empty()) rcv_edge_ = std::max(rcv_edge_, early_.rbegin()->second);
    ack_now_ = true;
    ++hits_.shrunk;
  }
  if (!random_.chance_ppm(options_.forge_ppm)) return;
  // RFC 5961: none of these may end or change the connection.
  if (audit_ != nullptr) audit_->ignore(end_, true);
  const std::uint64_t inside = snd_nxt_ + 1 + random_.below(100);
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(options, false, now);
  const std::uint32_t kind = random_.below(3);
  if (kind == 0)
    send_rst(raw_seq(inside), raw_ack(rcv_nxt_), kRst | kAck);
  else if (kind == 1)
    emit(raw_seq(inside), raw_ack(rcv_nxt_), kSyn, 1000, {options.data(), option_bytes}, {});
  else
    emit(raw_seq(snd_nxt_), raw_ack(rcv_nxt_ + 10'000'000), kAck, 1000,
         {options.data(), option_bytes}, {});
  if (audit_ != nullptr) audit_->ignore(end_, false);
  ++hits_.forged;
}

}  // namespace pollux::sim
