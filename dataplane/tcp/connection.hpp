// The state of one connection (TCB), named as in the RFCs; fields of the fast paths come first.
// Read first: RFC 9293 3.3.1.
//
//   send:     snd_una          snd_nxt             snd_end
//             |--- in flight ---|---- not sent -----|  (FIN takes snd_end when fin_queued)
//   receive:  rcv_nxt                               rcv_edge
//             |------ the peer was told it may send --|  rcv_edge never moves left
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/base/timer_wheel.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/tcp/congestion.hpp"
#include "dataplane/tcp/ecn.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/tcp/inline_ring.hpp"
#include "dataplane/tcp/path_mtu.hpp"
#include "dataplane/tcp/prr.hpp"
#include "dataplane/tcp/rack.hpp"
#include "dataplane/tcp/reassembly.hpp"
#include "dataplane/tcp/rtt.hpp"
#include "dataplane/tcp/scoreboard.hpp"
#include "dataplane/tcp/slab_ring.hpp"

namespace pollux::tcp {

/// One run of queued bytes. Trivial, so that unused storage is never touched.
struct SendDescriptor {
  const std::byte* data;  ///< external memory; nullptr: in inline_bytes at inline_at
  platform::TxTracker* tracker;
  SendReference* reference;
  std::uint32_t start;  ///< sequence number of the first byte
  std::uint32_t length;
  std::uint32_t inline_at;  ///< position in inline_bytes
};

struct ReceivedView {
  std::byte* data;
  void* handle;
  std::uint32_t length;
};

/// How losses are being repaired.
enum class Phase : std::uint8_t {
  open,           ///< nothing is known to be lost
  fast_recovery,  ///< RFC 6582, or RFC 6675 when the peer reports SACK
  loss,           ///< after a timeout: everything up to recover is sent again
};

enum class TimerKind : std::uint8_t {
  none,
  retransmit,  ///< RFC 6298
  tail_probe,  ///< RFC 8985 7: stands in for retransmit until the probe is out
  reordering,  ///< RFC 8985 6.2: something will be lost if it does not arrive by then
  persist,     ///< RFC 9293 3.8.6.1
};

/// What tells whether a recovery was needless. Read first: RFC 3522 3.2, RFC 3708 3, RFC 4015.
struct UndoState {
  bool is_possible = false;       ///< a recovery has begun
  bool was_answered = false;      ///< something new was acknowledged since the first copy
  std::uint32_t timestamp = 0;    ///< TSval of the first copy
  std::uint32_t copies_sent = 0;  ///< segments
  std::uint32_t copies_open = 0;  ///< of those, not reported as duplicates
  TcpSeq una;                     ///< snd_una when the recovery began
};

/// RFC 8985 7: the probe that is out.
struct TailProbe {
  bool is_due = false;   ///< the timer has fired
  bool is_out = false;   ///< until `end` is acknowledged
  bool is_copy = false;  ///< of something sent before
  TcpSeq end;            ///< snd_nxt behind it
};

/// Ethernet and the longer one of the IP headers. The VLAN tag is put in below.
inline constexpr std::size_t kLinkBytesMax = net::kEthernetHeaderBytes + net::kIpv6HeaderBytes;

/// The order is that of use: an in-order segment is found and taken with the first five lines of
/// the cache, a frame is built with the sixth and seventh besides.
struct alignas(64) Connection {
  // Line 1: whose it is, and what comes next.
  net::Endpoint remote;
  std::uint16_t local_port = 0;
  State state = State::closed;
  Phase phase = Phase::open;
  bool ts_ok = false;
  bool sack_ok = false;
  net::IpAddress local;
  TcpSeq rcv_nxt;
  TcpSeq rcv_edge;
  TcpSeq last_ack_sent;
  std::uint32_t ts_recent = 0;
  std::uint32_t readable = 0;
  std::uint32_t ack_pending_bytes = 0;  ///< received and not yet acknowledged
  // Line 2: what has been sent.
  std::uint16_t rcv_mss = 536;  ///< largest payload the peer is expected to send
  bool ack_now = false;
  bool ack_held = false;  ///< due, and waits until ack_held_until for data that carry it
  bool dirty = false;
  std::uint8_t snd_wnd_shift = 0;
  std::uint8_t rcv_wnd_shift = 0;
  bool events_queued = false;
  bool was_read = false;  ///< since output() last looked whether the window may open
  bool reader_made_room = false;
  TcpSeq snd_una;
  TcpSeq snd_nxt;
  TcpSeq snd_end;
  std::uint32_t snd_wnd = 0;
  TcpSeq snd_wl1;
  TcpSeq snd_wl2;
  std::uint32_t max_snd_wnd = 0;
  std::uint32_t ts_offset = 0;
  std::uint16_t mss = 536;   ///< payload of a full segment, options already taken off
  std::uint8_t dupacks = 0;  ///< in a row; saturates
  bool fin_queued = false;
  bool fin_sent = false;
  bool probe_sent = false;  ///< the byte at snd_nxt went out as a window probe
  bool probe_due = false;   ///< the persist timer has fired
  bool rtt_timing = false;
  bool fin_known = false;  ///< the peer's FIN has the number fin_seq
  bool in_use = false;
  bool released = false;
  std::uint32_t slot = 0;
  std::uint32_t owner = 0;
  TcpSeq cwnd_limited_end;  ///< snd_nxt when cwnd last was full
  // Line 3: the reader's queue.
  SlabRing<ReceivedView> received;
  Instant heard_at{};  ///< last acceptable segment of the peer
  Instant ts_recent_at{};
  Instant ack_at = kNever;  ///< delayed acknowledgment
  Connection* next_dirty = nullptr;
  std::uint32_t event_bits = 0;
  std::uint32_t generation = 1;
  // Line 4.
  Connection* next_event = nullptr;
  Scoreboard scoreboard;
  TailProbe tail_probe;
  // Line 5.
  EcnState ecn;
  std::uint32_t send_cursor = 0;  ///< ring index of the descriptor that holds snd_nxt
  Reassembly reassembly;
  // Line 6: frames.
  std::array<std::byte, kLinkBytesMax> link_header{};  ///< Ethernet and IP; lengths, sums open
  std::uint8_t link_bytes = 0;                         ///< of link_header, as the family has it
  bool route_known = false;
  bool syn_pending = false;
  bool rst_pending = false;
  bool dsack_pending = false;
  bool keepalive_due = false;
  std::uint32_t route_generation = 0;
  // Line 7: the send queue, and when it is looked at again.
  SlabRing<SendDescriptor> queue;
  std::uint64_t egress_mark = 0;  ///< of the newest frame that may point into the owner's memory
  bool waits_for_egress = false;  ///< acknowledged memory is kept until that frame has left
  Instant timer_at = kNever;      ///< retransmission or persist timer
  Instant progress_at{};          ///< since when sent data has waited for an acknowledgment
  Instant last_send_at{};
  Instant ack_held_until{};
  Instant rtt_start{};
  TcpSeq rtt_seq;
  TimerKind timer_kind = TimerKind::none;
  bool timer_restart_due = false;  ///< an acknowledgment moved timer_at; where to is open
  // Line 8 and on: congestion and timers.
  Congestion congestion;
  RttEstimator rtt;
  Duration user_timeout{};
  Instant confirm_at{};  ///< from when on the neighbour may be told that the path works
  TimerNode timer;
  Instant limit_at = kNever;  ///< connect_timeout, or silence in FIN-WAIT-2

  // Recovery.
  bool rtx_pending = false;           ///< one lost segment goes out whatever the window says
  bool rescue_sent = false;           ///< RFC 6675 4 NextSeg (4): once in a recovery
  TcpSeq recover;                     ///< snd_nxt when the loss was found
  std::uint32_t duplicate_bytes = 0;  ///< without SACK: what duplicate ACKs say has arrived
  Rack rack;
  ProportionalRateReduction prr;
  Instant reduced_at{};  ///< when this recovery last lowered the window
  UndoState undo;
  wire::SackBlock dsack;
  TcpSeq fin_seq;

  // Opening and closing.
  TcpSeq iss;
  TcpSeq irs;
  bool syn_lost = false;
  bool is_passive = false;
  bool in_flow_table = false;
  EndReason end_reason = EndReason::none;
  std::uint8_t challenge_count = 0;
  std::uint8_t challenge_limit = 0;
  Instant challenge_until{};

  // Where it leads.
  std::uint16_t peer_mss = 536;
  std::uint32_t flow_hash = 0;
  std::uint16_t link_mtu = 1500;
  std::uint16_t path_mtu = 1500;   ///< never above link_mtu
  bool unreachable_noted = false;  ///< ICMP has said so of a segment in flight
  Instant mtu_at = kNever;         ///< when path_mtu may rise
  BlackHole black_hole;

  // Keepalive and R1 (lifetime.cpp).
  Keepalive keepalive{};
  Instant keepalive_at = kNever;  ///< when silence is looked at again
  Instant keepalive_sent_at{};
  std::uint8_t keepalive_sent = 0;  ///< probes since the peer was heard
  std::uint8_t resent = 0;          ///< timeouts since resent_una became the oldest byte
  TcpSeq resent_una;

  InlineRing inline_bytes;

  /// IP and TCP without options: what an MSS leaves of the MTU (RFC 9293 3.7.1, RFC 8200 8.3).
  [[nodiscard]] std::uint16_t header_bytes() const noexcept {
    return remote.address.is_v4() ? 40 : 60;
  }
  [[nodiscard]] std::uint32_t flight() const noexcept { return snd_nxt.distance_from(snd_una); }
  /// RFC 6675 4: bytes thought to be in the network. Without SACK, duplicates stand for reports.
  [[nodiscard]] std::uint32_t pipe() const noexcept {
    return scoreboard.pipe(flight()) - duplicate_bytes;
  }
  /// One past everything the peer can have seen.
  [[nodiscard]] TcpSeq snd_max() const noexcept { return snd_nxt + (probe_sent ? 1u : 0u); }
  [[nodiscard]] std::uint32_t rcv_wnd() const noexcept { return rcv_edge.distance_from(rcv_nxt); }
  [[nodiscard]] std::uint32_t unsent() const noexcept {
    return fin_sent ? 0 : snd_end.distance_from(snd_nxt);
  }
};

/// RFC 9293 3.3.2: both sides have agreed on sequence numbers.
[[nodiscard]] constexpr bool is_synchronized(State state) noexcept {
  return state > State::syn_received;
}
/// The peer has not sent its FIN yet.
[[nodiscard]] constexpr bool may_receive(State state) noexcept {
  return state == State::established || state == State::fin_wait_1 || state == State::fin_wait_2;
}
/// Data, or what is left of it, may still go out.
[[nodiscard]] constexpr bool may_send(State state) noexcept {
  return state == State::established || state == State::close_wait || state == State::fin_wait_1 ||
         state == State::closing || state == State::last_ack;
}

}  // namespace pollux::tcp
