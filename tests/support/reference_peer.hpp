// A TCP end to test against: slow, simple, one connection, 64-bit sequence numbers, written from
// RFC 9293, 7323 and 2018 and sharing no code with the engine. It has no congestion control: a
// fixed window, one timeout, go-back-N. Options can be left out, and it misbehaves on demand in
// ways that a real peer may. What the engine sends is judged by SegmentAudit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "dataplane/base/random.hpp"
#include "dataplane/base/time.hpp"
#include "tests/support/segment_audit.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::sim {

struct ReferencePeerOptions {
  std::array<std::uint8_t, 6> mac{2, 0, 0, 0, 0, 2};
  std::array<std::uint8_t, 4> address{10, 99, 0, 2};
  std::array<std::uint8_t, 4> remote{10, 99, 0, 1};
  bool mss_option = true;
  std::uint16_t mss = 1460;
  bool window_scale = true;
  std::uint8_t scale = 7;
  bool sack = true;
  bool timestamps = true;
  std::uint32_t buffer_bytes = 256 * 1024;  ///< of the receiver: the window
  std::uint32_t send_window_bytes = 64 * 1024;
  Duration timeout = 100ms;
  Duration timeout_max = 2s;
  unsigned ack_every = 2;  ///< segments
  Duration ack_delay = 5ms;
  Duration time_wait = 5s;
  std::uint64_t seed = 1;

  // Misbehaviour: chances per received data segment, in parts per million.
  std::uint32_t renege_ppm = 0;     ///< forgets what it reported by SACK (RFC 2018 8)
  std::uint32_t split_ack_ppm = 0;  ///< acknowledges in several pieces
  std::uint32_t dup_ack_ppm = 0;    ///< repeats an ACK up to five times
  std::uint32_t old_ack_ppm = 0;    ///< sends an ACK of long ago
  std::uint32_t forge_ppm = 0;      ///< RST and SYN inside the window, ACKs of the future
  std::uint32_t shrink_ppm = 0;     ///< pulls its right edge left by a quarter
  std::uint32_t overlap_ppm = 0;    ///< per sent segment: begins earlier than it need
  std::uint32_t beyond_ppm = 0;     ///< per sent segment: one behind the engine's window as well
  bool push = true;
};

struct ReferencePeerHits {
  std::uint64_t timeouts = 0, reneged = 0, split_acks = 0, dup_acks = 0, old_acks = 0, forged = 0;
  std::uint64_t shrunk = 0, overlapped = 0, beyond = 0, bad_checksums = 0, probes = 0;
  std::uint64_t paws_dropped = 0, duplicates = 0, zero_windows = 0;
};

class ReferencePeer {
 public:
  enum class State : std::uint8_t {
    closed,
    listen,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
  };

  ReferencePeer(SimWire& wire, std::size_t end, const ReferencePeerOptions& options);

  void listen(std::uint16_t port);
  void open(std::uint16_t port, std::uint16_t remote_port, Instant now);
  /// Which streams it sends and expects.
  void set_streams(std::uint64_t sent, std::uint64_t received);
  /// For forgeries, which the audit must not take for its own segments.
  void set_audit(SegmentAudit* audit) { audit_ = audit; }

  /// Takes what arrived, fires timers, sends. Returns how much happened.
  std::size_t turn(Instant now);
  [[nodiscard]] Instant next_deadline() const;

  // The application.
  void write(std::uint64_t bytes) { snd_end_ += bytes; }
  [[nodiscard]] std::uint64_t readable() const { return delivered_ - read_; }
  void read(std::uint64_t bytes);
  void close();
  void abort();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool was_established() const { return was_established_; }
  [[nodiscard]] bool peer_closed() const { return fin_received_; }
  [[nodiscard]] bool was_reset() const { return was_reset_; }
  /// Empty while all that arrived was right.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  [[nodiscard]] const ReferencePeerHits& hits() const { return hits_; }
  ReferencePeerOptions& options() { return options_; }

 private:
  static constexpr std::uint8_t kFin = WireSegment::kFin, kSyn = WireSegment::kSyn;
  static constexpr std::uint8_t kRst = WireSegment::kRst, kPsh = WireSegment::kPsh;
  static constexpr std::uint8_t kAck = WireSegment::kAck;

  bool on_frame(const Frame& frame, Instant now);
  void on_arp(const Frame& frame);
  void on_segment(const WireSegment& segment, Instant now);
  void on_syn_sent(const WireSegment& segment, Instant now);
  void on_unknown(const WireSegment& segment, Instant now);
  void take_syn(const WireSegment& segment);
  bool acceptable(std::uint64_t seq, std::uint64_t length) const;
  bool take_ack(const WireSegment& segment, std::uint64_t seq, Instant now);
  void take_text(const WireSegment& segment, std::uint64_t seq, Instant now);
  void take_fin(Instant now);
  void misbehave(Instant now);
  std::size_t fire_timers(Instant now);
  std::size_t send_all(Instant now);
  void send_text(std::uint64_t seq, std::uint64_t length, bool fin, Instant now);
  void ask_neighbour();
  void send_syn(Instant now);
  void send_ack(Instant now, std::uint64_t ack);
  void send_rst(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags);
  void emit(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags, std::uint16_t window,
            std::span<const std::byte> options, std::span<const std::byte> payload);
  std::size_t write_options(std::array<std::byte, 40>& out, bool with_sack, Instant now);
  std::uint16_t window_field();
  void arm(Instant now);
  void enter(State state) { state_ = state; }
  [[nodiscard]] std::uint32_t clock(Instant now) const;
  [[nodiscard]] std::uint32_t raw_seq(std::uint64_t seq) const {
    return iss_ + static_cast<std::uint32_t>(seq);
  }
  [[nodiscard]] std::uint32_t raw_ack(std::uint64_t ack) const {
    return irs_ + static_cast<std::uint32_t>(ack);
  }
  [[nodiscard]] std::uint64_t fin_number() const { return snd_end_; }

  SimWire& wire_;
  std::size_t end_;
  ReferencePeerOptions options_;
  Random random_;
  SegmentAudit* audit_ = nullptr;
  ReferencePeerHits hits_;
  std::string complaint_;

  State state_ = State::closed;
  std::uint16_t port_ = 0, remote_port_ = 0;
  std::array<std::uint8_t, 6> remote_mac_{};
  bool mac_known_ = false;
  Instant arp_at_{};
  std::uint64_t sent_stream_ = 0, received_stream_ = 0;

  // Numbers count from the initial sequence numbers: SYN is 0, the first byte is 1.
  std::uint32_t iss_ = 0, irs_ = 0;
  std::uint64_t snd_una_ = 0, snd_nxt_ = 0, snd_max_ = 0, snd_end_ = 1, snd_wnd_ = 0;
  std::uint64_t snd_wl1_ = 0, snd_wl2_ = 0;
  std::uint64_t rcv_nxt_ = 0, rcv_edge_ = 0;
  std::uint64_t delivered_ = 0, read_ = 0;
  std::map<std::uint64_t, std::uint64_t> early_;  // start to end, disjoint
  std::uint64_t newest_early_ = 0;
  bool fin_known_ = false;
  std::uint64_t fin_at_ = 0;
  bool closing_ = false, fin_received_ = false, was_established_ = false, was_reset_ = false;
  bool sack_on_ = false, timestamps_on_ = false, scaled_ = false;
  std::uint16_t peer_mss_ = 536;
  std::uint8_t peer_scale_ = 0;
  std::uint32_t ts_recent_ = 0;
  std::uint64_t last_ack_sent_ = 0;
  std::uint64_t dsack_left_ = 0, dsack_right_ = 0;
  unsigned unacked_segments_ = 0, duplicates_ = 0;
  bool ack_now_ = false, probing_ = false;
  Instant ack_at_ = kNever, resend_at_ = kNever, quit_at_ = kNever;
  Duration backoff_{};
};

}  // namespace pollux::sim
