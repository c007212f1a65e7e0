// What the reference peer sends, and when.
#include <algorithm>
#include <cstring>

#include "tests/support/reference_peer.hpp"

namespace pollux::sim {
namespace {

void put8(std::span<std::byte> out, std::size_t at, std::uint32_t value) {
  out[at] = static_cast<std::byte>(value);
}
void put16(std::span<std::byte> out, std::size_t at, std::uint32_t value) {
  put8(out, at, value >> 8);
  put8(out, at + 1, value);
}
void put32(std::span<std::byte> out, std::size_t at, std::uint32_t value) {
  put16(out, at, value >> 16);
  put16(out, at + 2, value);
}
template <std::size_t N>
void put_bytes(std::span<std::byte> out, std::size_t at, const std::array<std::uint8_t, N>& bytes) {
  std::memcpy(&out[at], bytes.data(), N);
}

}  // namespace

/// RFC 826; a request of the other end also tells its address.
void ReferencePeer::on_arp(const Frame& frame) {
  if (std::memcmp(&frame[28], options_.remote.data(), 4) != 0 ||
      std::memcmp(&frame[38], options_.address.data(), 4) != 0)
    return;
  std::memcpy(remote_mac_.data(), &frame[22], 6);
  mac_known_ = true;
  if (frame[21] != std::byte{1}) return;
  Frame reply(60);
  std::memcpy(reply.data(), &frame[22], 6);
  put_bytes(reply, 6, options_.mac);
  std::memcpy(&reply[12], &frame[12], 9);
  put8(reply, 21, 2);
  put_bytes(reply, 22, options_.mac);
  put_bytes(reply, 28, options_.address);
  std::memcpy(&reply[32], &frame[22], 10);
  wire_.send(end_, std::move(reply));
}

void ReferencePeer::arm(Instant now) { resend_at_ = now + backoff_; }

std::size_t ReferencePeer::fire_timers(Instant now) {
  std::size_t fired = 0;
  if (ack_at_ <= now) {
    ack_now_ = true;
    ack_at_ = kNever;
    ++fired;
  }
  if (quit_at_ <= now) {
    enter(State::closed);
    resend_at_ = ack_at_ = quit_at_ = kNever;
    ++fired;
  }
  if (resend_at_ > now) return fired;
  ++fired;
  // RFC 1122 2.3.2.1: perhaps the neighbour has moved, or its address came damaged.
  if (backoff_ >= options_.timeout_max) ask_neighbour();
  if (state_ == State::syn_sent || state_ == State::syn_received) {
    send_syn(now);
    return fired;
  }
  backoff_ = std::min(backoff_ * 2, options_.timeout_max);
  resend_at_ = kNever;
  if (snd_una_ < snd_max_) {
    // Go-back-N: everything is sent again from the first unacknowledged byte.
    ++hits_.timeouts;
    snd_nxt_ = snd_una_;
    duplicates_ = 0;
  } else if (snd_wnd_ == 0 && snd_nxt_ < snd_end_) {
    ++hits_.probes;
    probing_ = true;
    send_text(snd_nxt_, 1, false, now);
    arm(now);
  }
  return fired;
}

std::size_t ReferencePeer::send_all(Instant now) {
  std::size_t sent = 0;
  if (state_ == State::established || state_ == State::fin_wait_1 || state_ == State::close_wait ||
      state_ == State::closing || state_ == State::last_ack) {
    const std::uint64_t window = std::min<std::uint64_t>(snd_wnd_, options_.send_window_bytes);
    const std::uint64_t edge = snd_una_ + window;
    while (snd_nxt_ < std::min(snd_end_, edge)) {
      const std::uint64_t before = snd_nxt_;
      send_text(snd_nxt_, std::min(snd_end_, edge) - snd_nxt_, closing_, now);
      ++sent;
      if (snd_nxt_ == before) break;
    }
    if (closing_ && snd_nxt_ == snd_end_) {
      send_text(snd_nxt_, 0, true, now);
      ++sent;
    }
    const bool waits = snd_una_ < snd_max_ || (snd_nxt_ < snd_end_ && snd_wnd_ == 0);
    if (waits && resend_at_ == kNever) arm(now);
  }
  const bool may_ack = state_ > State::syn_received;
  if (ack_now_ && may_ack) {
    send_ack(now, rcv_nxt_);
    ++sent;
  }
  return sent;
}

/// One segment from `seq` on: at most `length` bytes, and the FIN if that ends the stream.
void ReferencePeer::send_text(std::uint64_t seq, std::uint64_t length, bool fin, Instant now) {
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(options, false, now);
  std::uint64_t first = seq;
  if (seq == snd_nxt_ && seq > snd_una_ && length != 0 &&
      random_.chance_ppm(options_.overlap_ppm)) {
    first -= std::min<std::uint64_t>(seq - std::max<std::uint64_t>(snd_una_, 1), 100);
    ++hits_.overlapped;
  }
  const std::uint64_t most = std::min<std::uint64_t>(peer_mss_, options_.mss) - option_bytes;
  const std::uint64_t end = first + std::min(length + (seq - first), most);
  const bool last = end == snd_end_;
  std::uint8_t flags = kAck;
  if (last && length != 0 && options_.push) flags |= kPsh;
  if (last && fin) flags |= kFin;
  if (length != 0 && end <= first) return;
  const auto payload = StreamContent::instance().at(sent_stream_, first - 1, end - first);
  emit(raw_seq(first), raw_ack(rcv_nxt_), flags, window_field(), {options.data(), option_bytes},
       payload);
  if (random_.chance_ppm(options_.beyond_ppm)) {
    // Further than any window reaches that may have opened meanwhile.
    const std::uint64_t far = snd_una_ + 4'000'000;
    if (audit_ != nullptr) audit_->ignore(end_, true);
    emit(raw_seq(far), raw_ack(rcv_nxt_), kAck, window_field(), {options.data(), option_bytes},
         StreamContent::instance().at(sent_stream_, far - 1, most));
    if (audit_ != nullptr) audit_->ignore(end_, false);
    ++hits_.beyond;
  }
  const std::uint64_t after = end + ((flags & kFin) != 0 ? 1 : 0);
  const bool is_probe = snd_wnd_ == 0 && seq == snd_max_ && length == 1;
  if (!is_probe) {
    probing_ = false;
    if (seq == snd_nxt_) snd_nxt_ = std::max(snd_nxt_, after);
    snd_max_ = std::max(snd_max_, after);
  }
  ack_now_ = false;
  unacked_segments_ = 0;
  ack_at_ = kNever;
  last_ack_sent_ = rcv_nxt_;
}

/// RFC 826.
void ReferencePeer::ask_neighbour() {
  Frame request(60);
  put_bytes(request, 0, std::array<std::uint8_t, 6>{0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  put_bytes(request, 6, options_.mac);
  put_bytes(request, 12, std::array<std::uint8_t, 10>{8, 6, 0, 1, 8, 0, 6, 4, 0, 1});
  put_bytes(request, 22, options_.mac);
  put_bytes(request, 28, options_.address);
  put_bytes(request, 38, options_.remote);
  wire_.send(end_, std::move(request));
}

void ReferencePeer::send_syn(Instant now) {
  if (!mac_known_) {
    ask_neighbour();  // the SYN waits for the answer
    resend_at_ = now + 10ms;
    return;
  }
  const bool answer = state_ == State::syn_received;
  std::array<std::byte, 40> options{};
  std::size_t n = 0;
  if (options_.mss_option) {
    put16(options, n, 0x0204);
    put16(options, n + 2, options_.mss);
    n += 4;
  }
  if (answer ? sack_on_ : options_.sack) {
    put32(options, n, 0x01010402);
    n += 4;
  }
  if (answer ? scaled_ : options_.window_scale) {
    put32(options, n, 0x01030300u | options_.scale);
    n += 4;
  }
  if (answer ? timestamps_on_ : options_.timestamps) {
    put32(options, n, 0x0101080a);
    put32(options, n + 4, clock(now));
    put32(options, n + 8, answer ? ts_recent_ : 0);
    n += 12;
  }
  const auto window =
      static_cast<std::uint16_t>(std::min<std::uint64_t>(options_.buffer_bytes, 0xffff));
  emit(iss_, answer ? raw_ack(1) : 0, answer ? kSyn | kAck : kSyn, window, {options.data(), n}, {});
  snd_max_ = std::max<std::uint64_t>(snd_max_, 1);
  snd_nxt_ = std::max<std::uint64_t>(snd_nxt_, 1);
  arm(now);
  backoff_ = std::min(backoff_ * 2, options_.timeout_max);
}

std::uint16_t ReferencePeer::window_field() {
  const std::uint64_t held = readable();
  const std::uint64_t could =
      rcv_nxt_ + (held < options_.buffer_bytes ? options_.buffer_bytes - held : 0);
  if (could >= rcv_edge_ + std::min<std::uint64_t>(options_.mss, options_.buffer_bytes / 2))
    rcv_edge_ = could;
  const std::uint8_t shift = scaled_ ? options_.scale : 0;
  const std::uint64_t field = std::min<std::uint64_t>((rcv_edge_ - rcv_nxt_) >> shift, 0xffff);
  // What cannot be said is not offered; what was cut off by the shift still is, to be generous.
  rcv_edge_ = std::min(rcv_edge_, rcv_nxt_ + ((field + 1) << shift) - 1);
  return static_cast<std::uint16_t>(field);
}

std::size_t ReferencePeer::write_options(std::array<std::byte, 40>& out, bool with_sack,
                                         Instant now) {
  std::size_t n = 0;
  if (timestamps_on_) {
    put32(out, n, 0x0101080a);
    put32(out, n + 4, clock(now));
    put32(out, n + 8, ts_recent_);
    n += 12;
  }
  if (!with_sack || !sack_on_) return n;
  std::array<std::array<std::uint64_t, 2>, 4> blocks{};
  std::size_t count = 0;
  const std::size_t most = timestamps_on_ ? 3 : 4;
  if (dsack_right_ != 0) blocks[count++] = {dsack_left_, dsack_right_};
  dsack_right_ = 0;
  // RFC 2018 4: the newest first.
  for (const auto& [left, right] : early_)
    if (left <= newest_early_ && newest_early_ < right) blocks[count++] = {left, right};
  for (const auto& [left, right] : early_)
    if (count < most && !(left <= newest_early_ && newest_early_ < right))
      blocks[count++] = {left, right};
  if (count == 0) return n;
  put32(out, n, static_cast<std::uint32_t>(0x01010500u | (2 + 8 * count)));
  n += 4;
  for (std::size_t i = 0; i < count; ++i) {
    put32(out, n, raw_ack(blocks[i][0]));
    put32(out, n + 4, raw_ack(blocks[i][1]));
    n += 8;
  }
  return n;
}

void ReferencePeer::send_ack(Instant now, std::uint64_t ack) {
  std::array<std::byte, 40> options;
  const std::size_t option_bytes = write_options(options, ack == rcv_nxt_, now);
  emit(raw_seq(snd_max_), raw_ack(ack), kAck, window_field(), {options.data(), option_bytes}, {});
  ack_now_ = false;
  unacked_segments_ = 0;
  ack_at_ = kNever;
  last_ack_sent_ = ack;
}

void ReferencePeer::send_rst(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags) {
  if (mac_known_) emit(seq, ack, flags, 0, {}, {});
}

void ReferencePeer::emit(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags,
                         std::uint16_t window, std::span<const std::byte> options,
                         std::span<const std::byte> payload) {
  Frame frame(54 + options.size() + payload.size());
  put_bytes(frame, 0, remote_mac_);
  put_bytes(frame, 6, options_.mac);
  put16(frame, 12, 0x0800);
  put16(frame, 14, 0x4500);
  put16(frame, 16, static_cast<std::uint32_t>(frame.size() - 14));
  put16(frame, 20, 0x4000);
  put16(frame, 22, 0x4006);
  put_bytes(frame, 26, options_.address);
  put_bytes(frame, 30, options_.remote);
  put16(frame, 34, port_);
  put16(frame, 36, remote_port_);
  put32(frame, 38, seq);
  put32(frame, 42, ack);
  put16(frame, 46, static_cast<std::uint32_t>((20 + options.size()) / 4 << 12 | flags));
  put16(frame, 48, window);
  if (!options.empty()) std::memcpy(&frame[54], options.data(), options.size());
  if (!payload.empty()) std::memcpy(&frame[54 + options.size()], payload.data(), payload.size());
  write_ip_checksum(frame);
  write_tcp_checksum(frame, dissect(frame));
  wire_.send(end_, std::move(frame));
}

}  // namespace pollux::sim
