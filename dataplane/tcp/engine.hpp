// The TCP of one worker on one interface: the face that iSCSI and the worker see.
// Read first: RFC 9293 (3.8 to 3.10), RFC 6298, RFC 7323, RFC 2018, RFC 5681.
// The engine reads no clock, allocates nothing after construction and calls nobody back: received
// bytes wait in queues, and what happened to a connection waits as events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/random.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/congestion_options.hpp"

namespace pollux::net {
class Interface;
struct PathError;
struct TcpDatagram;
}  // namespace pollux::net

namespace pollux::tcp {

/// Names a connection; a stale id finds nothing. Slots are reused, generations are not (until
/// wrap).
struct ConnectionId {
  std::uint32_t slot = 0xffff'ffff;
  std::uint32_t generation = 0;
  friend constexpr bool operator==(ConnectionId, ConnectionId) noexcept = default;
  [[nodiscard]] constexpr bool valid() const noexcept { return slot != 0xffff'ffff; }
};

/// RFC 9293 3.3.2.
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

/// Why a connection is no more (or never was).
enum class EndReason : std::uint8_t {
  none,
  closed,   ///< both directions ended in order
  refused,  ///< RST, or ICMP port unreachable, in answer to our SYN
  reset_by_peer,
  connect_timeout,    ///< no answer to SYN within OpenRequest::connect_timeout
  user_timeout,       ///< sent data stayed unacknowledged for OpenRequest::user_timeout
  host_unreachable,   ///< no route, no answer to ARP, or no answer at all and ICMP says so
  aborted,            ///< abort() was called, or close() with received bytes unread
  keepalive_timeout,  ///< none of Keepalive::count probes was answered
  port_removed,       ///< the device under it is gone
};

enum EventBits : std::uint32_t {
  kEstablished = 1,
  kReadable = 2,     ///< bytes were added to the receive queue
  kSendSpace = 4,    ///< acknowledged bytes made room, or references were given back
  kPeerClosed = 8,   ///< FIN received; all bytes before it are in the receive queue
  kEnded = 16,       ///< the connection is over: see end_reason(); release() frees the slot
  kStruggling = 32,  ///< R1 of RFC 9293 3.8.3: one segment was sent again three times in vain
};

struct Event {
  ConnectionId id;
  std::uint32_t bits = 0;
  std::uint32_t owner = 0;  ///< OpenRequest::owner
};

/// RFC 9293 3.8.4: probes of a connection on which nothing moves. Off unless the owner asks
/// (MUST-25); the times are the owner's, per connection (MUST-24, MUST-27).
struct Keepalive {
  bool enabled = false;
  Duration idle = std::chrono::hours(2);  ///< of silence before the first probe (MUST-28)
  Duration interval = 75s;                ///< between probes
  std::uint8_t count =
      9;  ///< unanswered in a row until the connection is dead; at least 2 (MUST-29)
};

struct OpenRequest {
  net::Endpoint remote;
  std::uint16_t local_port = 0;  ///< 0: chosen (RFC 6056)
  std::uint32_t owner = 0;       ///< given back in events
  /// R2 of a SYN: MUST-23 asks for three minutes; the owner alone may ask for less.
  Duration connect_timeout = std::chrono::minutes(3);
  /// R2 of RFC 9293 3.8.3 (MUST-20): 100 s is its least; the owner alone may ask for less
  /// (MUST-21).
  Duration user_timeout = 100s;
  Keepalive keepalive{};
};

enum class OpenError : std::uint8_t {
  none,
  no_free_connection,
  no_free_port,
  no_route,
  port_removed,
};

/// How many descriptors that point into one object's memory are still in a send queue. The owner of
/// the memory keeps it unchanged until count is zero. The engine's destructor does not touch it.
struct SendReference {
  std::uint32_t count = 0;
};

struct SendSpace {
  std::uint32_t descriptors = 0;   ///< calls of send_inline or send_external that fit
  std::uint32_t inline_bytes = 0;  ///< bytes that send_inline calls can take
};

/// A received in-order piece of the stream. Holds one reference of handle.
struct RxView {
  std::byte* data = nullptr;
  std::uint32_t length = 0;
  void* handle = nullptr;
};

/// How losses are found. RACK and the tail loss probe need a peer that reports SACK.
struct RecoveryOptions {
  bool rack = true;  ///< by send times (RFC 8985 6); otherwise by RFC 6675's counts
  bool tail_loss_probe = true;
};

/// Every maximum of one engine (memory is taken once at construction), and how it shares the path.
struct EngineLimits {
  std::uint32_t connections = 64;
  std::uint32_t receive_window_bytes = 1 << 20;  ///< most that one connection advertises
  std::uint32_t receive_views = 512;  ///< pieces waiting to be read, per connection; power of two
  /// Pieces (so packet buffers) that all connections together may keep. When they are used up,
  /// either queue of a connection (in order, out of order) may still grow to receive_views_least,
  /// windows shrink to receive_window_least, and what was offered before is dropped and counted.
  /// With receive_views_most in use only a reader that has nothing gets its next segment.
  std::uint32_t receive_views_total = 0xffff'ffff;
  std::uint32_t receive_views_most = 0xffff'ffff;
  std::uint32_t receive_views_least = 16;
  std::uint32_t receive_window_least = 16 * 1024;  ///< bytes offered when the total is used up
  std::uint32_t out_of_order_views = 256;  ///< pieces waiting for a hole to fill, per connection
  std::uint32_t send_descriptors = 1024;   ///< per connection; power of two
  std::uint32_t transmissions = 1024;      ///< segments in flight told apart; power of two above 64
  std::uint32_t send_inline_bytes = 64 * 1024;  ///< per connection; power of two
  CongestionOptions congestion;                 ///< of every connection
  RecoveryOptions recovery;                     ///< of every connection
  /// New data of one connection in one pass of output(); the rest goes in the passes that follow.
  /// At least one segment goes in each, however large. Over a round trip cwnd is the bound.
  std::uint32_t burst_bytes = 64 * 1024;
  /// Small pieces that must wait are copied into cells of 256 bytes, so that they do not keep whole
  /// packet buffers; for all connections together.
  std::uint32_t copy_cells = 1024;
  std::uint32_t time_wait_records = 4096;  ///< when all are in use, the oldest gives way
};

/// Names of EngineTimers' profiles in configurations.
enum class TimerProfile : std::uint8_t { standard, strict, san };

/// Bounds of the retransmission timeout, the ACK delay and TIME-WAIT.
struct EngineTimers {
  Duration rto_initial = 1s;
  /// RFC 6298 2.4 asks for 1 s; Linux and others have used 200 ms for decades: a documented
  /// deviation.
  Duration rto_min = 200ms;
  /// Instead of rto_min where the peer sends no timestamps: without them a timeout that was too
  /// early cannot be told from a loss, nor undone.
  Duration rto_min_plain = 200ms;
  Duration rto_max = 60s;
  /// While exactly one segment is outstanding, peer_ack_delay is added to the timeout: the peer may
  /// take its time to acknowledge it. Not needed where rto_min is far above any such delay.
  bool rto_covers_ack_delay = false;
  Duration delayed_ack = 10ms;
  /// An acknowledgment that is due for nothing but two segments' worth of bytes waits so long for
  /// data that carry it: a reader's next request is mostly on its way, and a frame saved is half of
  /// what such a command costs. Zero: it leaves in the same turn.
  Duration ack_hold = Duration::zero();
  /// Longest that a peer may keep an acknowledgment of less than two segments (RFC 8985 7.2): Linux
  /// takes 40 ms, and two ticks of a clock of 100 Hz pass until its timer runs.
  Duration peer_ack_delay = 60ms;
  /// Least time before a tail loss probe: a target that is busy for a moment is no lost segment.
  Duration tail_probe_min = 1ms;
  /// A client that closes first opens the next connection from another random port (RFC 6056), so
  /// that an old segment meets the tuple again only after tens of thousands of others; 2 MSL would
  /// hold a record for each close of four minutes to no purpose. strict() has the full time.
  Duration time_wait = 1s;

  /// RFC 6298 to the letter, TIME-WAIT of 2 MSL (RFC 9293 3.4.2: MSL is 2 minutes).
  [[nodiscard]] static constexpr EngineTimers strict() noexcept {
    return {.rto_min = 1s, .rto_min_plain = 1s, .time_wait = std::chrono::minutes(4)};
  }
  [[nodiscard]] static constexpr EngineTimers default_profile() noexcept { return {}; }
  /// For storage networks of one hop, where a timeout of 200 ms costs thousands of round trips.
  [[nodiscard]] static constexpr EngineTimers san() noexcept {
    return {.rto_min = 10ms, .rto_covers_ack_delay = true};
  }
  [[nodiscard]] static constexpr EngineTimers of(TimerProfile profile) noexcept {
    switch (profile) {
      case TimerProfile::strict:
        return strict();
      case TimerProfile::san:
        return san();
      case TimerProfile::standard:
        break;
    }
    return default_profile();
  }
};

/// A say in the choice of a local port, so that replies reach the worker that opened.
struct PortPolicy {
  /// Given a random free candidate: the candidate, a better port near it, or 0 to refuse it. What
  /// it returns is checked again to be free.
  std::uint16_t (*choose)(void* context, const net::Endpoint& remote,
                          std::uint16_t candidate) noexcept = nullptr;
  void* context = nullptr;
};

class Listener;   // tcp/listener.hpp
struct Counters;  // tcp/counters.hpp

class Engine {
 public:
  Engine(const EngineLimits& limits, const EngineTimers& timers, net::Interface& interface,
         platform::PacketMemory& memory, Random random, Instant start);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- Driven by the worker, in this order in every turn
  // -------------------------------------------

  /// One received TCP segment (header checked for length and checksum by net). Takes over the
  /// handles of its payload segments, also when it drops them. With DCTCP a change of the CE mark
  /// may put one pure ACK into the interface's egress.
  void input(const net::TcpDatagram& datagram, Instant now) noexcept;
  /// A burst of them, in order. The state of later ones is on its way while earlier ones are taken.
  void input(std::span<const net::TcpDatagram> burst, Instant now) noexcept;
  /// One ICMP error that net has checked. Counted and ignored unless it quotes a segment in flight.
  void on_path_error(const net::PathError& error, Instant now) noexcept;
  /// Fires due timers, at most `limit`. Returns how many fired.
  std::size_t run_timers(Instant now, std::size_t limit) noexcept;
  /// Builds what may be sent now (data, acknowledgements, window updates) into the interface's
  /// egress: at most one pure ACK per connection and call. Returns the number of frames built.
  std::size_t output(Instant now) noexcept;
  /// Fills `events`; each connection appears at most once per call. Returns how many.
  std::size_t take_events(std::span<Event> events) noexcept;
  /// The port's link is up again: who waits for the other end tries at once.
  void link_restored(Instant now) noexcept;
  /// The port is gone for good: every connection ends with EndReason::port_removed, and output() is
  /// not called any more.
  void port_removed() noexcept;
  [[nodiscard]] bool is_port_removed() const noexcept;
  /// Earliest instant at which run_timers() or output() has something to do by itself. Slow: for
  /// simulation and idle sleep.
  [[nodiscard]] Instant next_deadline() const noexcept;

  // --- Used by the owner of a connection
  // -------------------------------------------------------------

  OpenError open(const OpenRequest& request, Instant now, ConnectionId& id) noexcept;
  /// For an owner that is done sending and goes on reading: FIN follows what is queued.
  void end_sending(ConnectionId id, Instant now) noexcept;
  /// For an owner that is done altogether: as end_sending(), but with received bytes unread it is
  /// an abort, since the peer must learn that they were lost (RFC 1122 4.2.2.13).
  void close(ConnectionId id, Instant now) noexcept;
  /// RST now; queued descriptors are dropped and their references given back.
  void abort(ConnectionId id, Instant now) noexcept;
  /// The owner has seen kEnded and is done. Unread bytes are dropped.
  void release(ConnectionId id) noexcept;

  [[nodiscard]] State state(ConnectionId id) const noexcept;  ///< closed when the id is stale
  [[nodiscard]] EndReason end_reason(ConnectionId id) const noexcept;
  [[nodiscard]] net::Endpoint local(ConnectionId id) const noexcept;
  [[nodiscard]] net::Endpoint remote(ConnectionId id) const noexcept;

  /// Payload bytes of a full segment as negotiated; at least 1.
  [[nodiscard]] std::uint32_t segment_bytes(ConnectionId id) const noexcept;
  /// Bytes in the receive queue.
  [[nodiscard]] std::uint32_t readable(ConnectionId id) const noexcept;
  /// The first bytes of the queue that lie together; empty when there are none.
  [[nodiscard]] std::span<std::byte> front(ConnectionId id) noexcept;
  /// Copies min(out.size(), readable) bytes from the front without consuming them; returns how
  /// many.
  std::size_t peek(ConnectionId id, std::span<std::byte> out) const noexcept;
  /// Drops bytes from the front (bytes <= readable) and opens the window by as much.
  void consume(ConnectionId id, std::uint32_t bytes) noexcept;
  /// Removes up to `bytes` from the front view and hands them over with a reference of their own:
  /// the caller releases view.handle. Returns the length; 0 when nothing is readable, or when a
  /// piece that had been copied out of its buffer finds no buffer to be handed over in (front() and
  /// consume() still work then).
  std::uint32_t take_front(ConnectionId id, std::uint32_t bytes, RxView& view) noexcept;

  /// What send_inline() and the frame after it will touch is on its way from memory.
  void prefetch_send(ConnectionId id) const noexcept;
  [[nodiscard]] SendSpace send_space(ConnectionId id) const noexcept;
  /// Queues a copy of `bytes`. It must fit send_space().
  void send_inline(ConnectionId id, std::span<const std::byte> bytes) noexcept;
  /// Queues memory of the caller without copying; the first transmission reads it in place, a
  /// retransmission copies. `reference->count` goes up now and down when the bytes are acknowledged
  /// or dropped. It must fit send_space(); length > 0.
  void send_external(ConnectionId id, const std::byte* data, std::uint32_t length,
                     platform::TxTracker* tracker, SendReference* reference) noexcept;

  // --- Tests and statistics
  // ----------------------------------------------------------------------------

  /// The embedded target accepts connections through this; nullptr (the default) refuses them with
  /// RST.
  void set_listener(Listener* listener) noexcept;
  /// Asked for every port that open() chooses; none by default.
  void set_port_policy(const PortPolicy& policy) noexcept;
  [[nodiscard]] const Counters& counters() const noexcept;
  [[nodiscard]] std::size_t open_connections() const noexcept;
  /// Tuples that wait out TIME-WAIT; they take no connection.
  [[nodiscard]] std::size_t waiting_tuples() const noexcept;
  /// Cells of EngineLimits::copy_cells in use.
  [[nodiscard]] std::size_t copied_pieces() const noexcept;
  [[nodiscard]] std::size_t timers_armed() const noexcept;

 private:
  friend struct EngineInspector;  // tests/support: checks invariants between events
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::tcp
