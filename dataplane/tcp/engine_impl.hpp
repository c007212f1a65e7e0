// The inside of Engine: what the files of this folder share. Each group of functions lives in the
// file named in its banner.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/random.hpp"
#include "dataplane/base/timer_wheel.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/tcp/connection.hpp"
#include "dataplane/tcp/copy_store.hpp"
#include "dataplane/tcp/counters.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/tcp/flow_table.hpp"
#include "dataplane/tcp/isn.hpp"
#include "dataplane/tcp/segment.hpp"
#include "dataplane/tcp/time_wait.hpp"
#include "dataplane/wire/tcp.hpp"

namespace pollux::tcp {

/// First in, first out through a link in the connection itself.
template <Connection* Connection::*Next>
struct ConnectionList {
  Connection* head = nullptr;
  Connection* last = nullptr;
  std::uint32_t count = 0;

  void push(Connection& c) noexcept {
    c.*Next = nullptr;
    (head == nullptr ? head : last->*Next) = &c;
    last = &c;
    ++count;
  }
  Connection* pop() noexcept {
    Connection* c = head;
    head = c->*Next;
    --count;
    return c;
  }
};

inline constexpr std::uint32_t kNoSlot = FlowTable::kNone;

struct Engine::Impl {
  Impl(const EngineLimits& limits, const EngineTimers& timers, net::Interface& interface,
       platform::PacketMemory& memory, Random random, Instant start);
  ~Impl();

  // --- engine.cpp: slots, lists, memory
  // ---------------------------------------------------------------
  Connection* find(ConnectionId id) noexcept;
  [[nodiscard]] SendSpace send_space(const Connection* c) const noexcept;
  Connection* take_slot() noexcept;
  void free_slot(Connection& c) noexcept;
  /// The slot is free once its owner is done with it and nothing is left to send or to wait for.
  void free_if_done(Connection& c) noexcept;
  void mark_dirty(Connection& c) noexcept {
    if (c.dirty) return;
    c.dirty = true;
    dirty.push(c);
  }
  void raise(Connection& c, std::uint32_t bits) noexcept;
  void give_back(void* handle) noexcept {
    release_batch[release_count++] = handle;
    if (release_count == release_batch.size()) flush_releases();
  }
  void flush_releases() noexcept;
  void drop_payload(const Segment& segment) noexcept;
  [[nodiscard]] std::uint32_t timestamp(const Connection& c, Instant now) const noexcept;
  [[nodiscard]] net::Endpoint local_endpoint(const Connection& c) const noexcept;

  // --- open.cpp
  // ---------------------------------------------------------------------------------------
  OpenError open(const OpenRequest& request, Instant now, ConnectionId& id) noexcept;
  void start(Connection& c, const OpenRequest& request, Instant now) noexcept;
  [[nodiscard]] std::uint16_t choose_port(const net::Endpoint& remote) noexcept;
  [[nodiscard]] std::uint16_t judge_port(const net::Endpoint& remote,
                                         std::uint16_t candidate) noexcept;
  [[nodiscard]] bool is_port_free(const net::Endpoint& remote, std::uint16_t port) noexcept;
  void set_iss(Connection& c, TcpSeq iss) noexcept;
  [[nodiscard]] Connection* lookup(const net::IpAddress& remote, std::uint16_t remote_port,
                                   std::uint16_t local_port) noexcept;
  /// False when the listener refuses: the SYN is then answered with RST.
  [[nodiscard]] bool accept_syn(const net::TcpDatagram& datagram, const net::Endpoint& remote,
                                std::uint16_t local_port, const Segment& segment,
                                Instant now) noexcept;
  void take_syn_options(Connection& c, const Segment& segment, Instant now) noexcept;
  void set_mss(Connection& c) noexcept;
  void input_syn_sent(Connection& c, Segment& segment, Instant now) noexcept;
  void on_established(Connection& c, Instant now) noexcept;

  // --- prediction.cpp
  // ---------------------------------------------------------------------------------
  /// Asks the cache for the connection of a segment, unless it is that of the one `before` it.
  void prefetch(const net::TcpDatagram& datagram, const net::TcpDatagram& before) const noexcept;
  bool input_predicted(Connection& c, const net::TcpDatagram& datagram, Instant now) noexcept;
  /// The connection of a segment that was sent to the right address of ours.
  [[nodiscard]] Connection* lookup(const net::TcpDatagram& datagram) noexcept;

  // --- input.cpp
  // --------------------------------------------------------------------------------------
  void input(const net::TcpDatagram& datagram, Instant now) noexcept;
  void input_unknown(const net::TcpDatagram& datagram, const wire::TcpHeader& header,
                     Segment& segment, Instant now) noexcept;
  void input_synchronized(Connection& c, Segment& segment, Instant now) noexcept;
  bool check_timestamps(Connection& c, const Segment& segment, Instant now) noexcept;
  bool check_sequence(Connection& c, Segment& segment) noexcept;
  bool check_syn(Connection& c, const Segment& segment, Instant now) noexcept;
  bool check_ack(Connection& c, const Segment& segment, Instant now) noexcept;
  void update_ts_recent(Connection& c, const Segment& segment, Instant now) noexcept;
  void report_duplicate(Connection& c, const wire::SackBlock& run) noexcept;
  void take_text(Connection& c, Segment& segment, Instant now) noexcept;
  void take_fin(Connection& c, Instant now) noexcept;
  void challenge(Connection& c, Instant now) noexcept;
  void request_ack(Connection& c) noexcept {
    c.ack_now = true;
    mark_dirty(c);
  }
  void hold_ack(Connection& c, Instant now) noexcept;
  void count_ack_bytes(Connection& c, std::uint32_t bytes, Instant now) noexcept;

  // --- receive.cpp: queues of received bytes and the window
  // --------------------------------------------
  void append(Connection& c, std::byte* data, std::uint32_t length, void* handle) noexcept;
  bool append_copy(Connection& c, const std::byte* data, std::uint32_t length) noexcept;
  /// Small pieces of one connection that may stay in their packet buffers from turn to turn.
  static constexpr std::uint32_t kPiecesInPlace = 16;
  void copy_waiting(Connection& c) noexcept;
  void append_piece(Connection& c, std::byte* data, std::uint32_t length, void* handle) noexcept;
  using Pieces = std::span<const platform::RxSegment>;
  bool append_payload(Connection& c, Pieces payload, std::uint32_t skip,
                      std::uint32_t length) noexcept;
  [[nodiscard]] bool fits_cells(Pieces payload) const noexcept;
  void learn_fin(Connection& c, const Segment& segment) noexcept;
  void drop_piece(void* handle) noexcept;
  void drop_received(Connection& c) noexcept;
  void drop_reassembly(Connection& c) noexcept;
  bool move_to_buffer(ReceivedView& view) noexcept;
  bool file_out_of_order(Connection& c, const Segment& segment) noexcept;
  void drain_reassembly(Connection& c) noexcept;
  void after_read(Connection& c, Instant now) noexcept;
  /// Whether a queue of `held` pieces may take more: no peer empties the pool for all.
  [[nodiscard]] bool may_keep(std::uint32_t held, std::size_t pieces) const noexcept {
    return views_held + pieces <= limits.receive_views_total ||
           (held + pieces <= limits.receive_views_least &&
            views_held + pieces <= limits.receive_views_most);
  }
  /// The same for what is next in order: a reader that waits with nothing to read is never refused.
  [[nodiscard]] bool may_keep_next(const Connection& c, std::size_t pieces) const noexcept {
    return c.received.empty() || may_keep(c.received.size(), pieces);
  }
  [[nodiscard]] std::uint32_t free_window(const Connection& c) const noexcept {
    const std::uint32_t most =
        views_held < limits.receive_views_total
            ? limits.receive_window_bytes
            : std::min(limits.receive_window_bytes, limits.receive_window_least);
    return c.readable < most ? most - c.readable : 0;
  }
  /// Moves rcv_edge as far as silly-window avoidance lets it.
  void advance_edge(Connection& c) noexcept;
  [[nodiscard]] std::uint16_t window_field(Connection& c) noexcept;

  // --- ack.cpp
  // ------------------------------------------------------------------------------------------
  void take_ack(Connection& c, const Segment& segment, Instant now) noexcept;
  void take_new_ack(Connection& c, AckNews& news, Instant now) noexcept;
  void take_sack(Connection& c, const Segment& segment, AckNews& news, Instant now) noexcept;
  void note_delivered(Connection& c, const Transmission& run, const AckNews& news,
                      Instant now) noexcept;
  void take_window(Connection& c, const Segment& segment, Instant now) noexcept;
  void change_window(Connection& c, std::uint32_t window) noexcept;
  void end_persist(Connection& c) noexcept;
  void sample_rtt(Connection& c, const AckNews& news, Instant now) noexcept {
    if (c.rtt_timing || c.phase != Phase::open || c.rtt.backoff != 0) take_rtt_sample(c, news, now);
  }
  void take_rtt_sample(Connection& c, const AckNews& news, Instant now) noexcept;
  void drop_acknowledged(Connection& c) noexcept;
  void drop_send_queue(Connection& c) noexcept;
  void on_fin_acknowledged(Connection& c, Instant now) noexcept;

  // --- recovery.cpp
  // -------------------------------------------------------------------------------------
  void on_ack_news(Connection& c, AckNews& news, Instant now) noexcept;
  void count_duplicate(Connection& c) noexcept;
  void settle_duplicates(Connection& c, AckNews& news) noexcept;
  bool find_losses(Connection& c, Instant now) noexcept;
  void enter_fast_recovery(Connection& c, Instant now) noexcept;
  void leave_recovery(Connection& c) noexcept;
  void on_recovery_ack(Connection& c, const AckNews& news, bool is_safe, Instant now) noexcept;
  void on_copies_lost(Connection& c, const Rack::Detection& detection, Instant now) noexcept;
  void on_retransmission_timeout(Connection& c) noexcept;
  void on_reordering_timer(Connection& c, Instant now) noexcept;
  /// The next run of the scoreboard to send again; scoreboard.size() when there is none.
  /// `has_new_data`: something never sent may go instead (RFC 6675 4 NextSeg 2).
  [[nodiscard]] std::uint32_t next_retransmission(Connection& c, bool has_new_data) noexcept;

  // --- undo.cpp
  // -----------------------------------------------------------------------------------------
  void begin_undo(Connection& c) noexcept;
  void note_copy_sent(Connection& c, Instant now) noexcept;
  /// True when the news show that the recovery was needless; it is then over.
  bool try_undo(Connection& c, const AckNews& news, Instant now) noexcept;

  // --- tail_probe.cpp
  // -----------------------------------------------------------------------------------
  [[nodiscard]] bool may_probe_tail(const Connection& c) const noexcept;
  [[nodiscard]] Duration probe_timeout(const Connection& c) const noexcept;
  void on_tail_probe_timer(Connection& c, Instant now) noexcept;
  void send_tail_probe(Connection& c, Instant now, std::size_t& sent) noexcept;
  void settle_tail_probe(Connection& c, const AckNews& news) noexcept;

  // --- window_use.cpp: when cwnd may grow, and when it starts again
  // ---------------------------------------------------------------------------------------
  void note_window_use(Connection& c, std::uint32_t in_pipe) noexcept;
  void grow_window(Connection& c, std::uint32_t acked, std::uint32_t flight_before,
                   Instant now) noexcept;
  void restart_if_idle(Connection& c, Instant now) noexcept;
  [[nodiscard]] std::uint32_t window_used(const Connection& c, std::uint32_t flight) const noexcept;
  void reduce_for_loss(Connection& c, std::uint32_t flight) noexcept;

  // --- ecn.cpp
  // ---------------------------------------------------------------------------------------
  [[nodiscard]] std::uint8_t ecn_syn_flags(Connection& c, bool is_answer) noexcept;
  void negotiate_ecn(Connection& c, const Segment& segment) noexcept;
  void start_ecn(Connection& c) noexcept;
  void take_ecn(Connection& c, const Segment& segment, Instant now) noexcept;
  void change_ce_state(Connection& c, bool is_ce, Instant now) noexcept;
  void note_echo(Connection& c, TcpSeq ack, bool has_echo) noexcept;
  /// To be called with every reduction of cwnd, also for a loss.
  void note_window_reduced(Connection& c) noexcept;
  [[nodiscard]] std::uint8_t mark_new_data(Connection& c, Frame& frame) noexcept;
  [[nodiscard]] static std::uint8_t echo_flag(const Connection& c, std::uint8_t flags) noexcept;

  // --- output.cpp
  // ---------------------------------------------------------------------------------------
  std::size_t output(Instant now) noexcept;
  std::size_t output_one(Connection& c, Instant now) noexcept;
  std::size_t send_data(Connection& c, Instant now) noexcept;
  /// Sends (up to a segment of) run `run` of the scoreboard again; returns the bytes, 0: it could
  /// not.
  std::uint32_t send_retransmission(Connection& c, std::uint32_t run, Instant now) noexcept;
  [[nodiscard]] bool may_resend(const Connection& c, std::uint32_t run) const noexcept;
  bool send_new(Connection& c, std::uint32_t length, Instant now) noexcept;
  /// As one of a burst, which shares `heading` and starts the timer behind its last segment.
  bool send_new(Connection& c, std::uint32_t length, Heading& heading, Instant now) noexcept;
  bool send_probe(Connection& c, Instant now) noexcept;
  void send_due_probe(Connection& c, Instant now, std::size_t& sent) noexcept;
  /// How much new data may go out in one segment: false for none; a FIN alone is a length of 0.
  bool sendable(Connection& c, std::uint32_t in_pipe, Instant now, std::uint32_t& length) noexcept;
  void advance_cursor(Connection& c) noexcept;
  bool send_syn(Connection& c, Instant now) noexcept;
  [[nodiscard]] static bool settle_dsack(Connection& c) noexcept;
  bool send_ack(Connection& c, Instant now) noexcept;
  bool send_reset(Connection& c, Instant now) noexcept;
  void after_ack_sent(Connection& c) noexcept;

  // --- frame.cpp
  // ----------------------------------------------------------------------------------------
  enum class RouteVerdict : std::uint8_t { ready, wait, unreachable };
  void on_unreachable(Connection& c, Instant now) noexcept;
  RouteVerdict refresh_route(Connection& c, Instant now) noexcept;
  /// RFC 4861 7.3.1: forward progress spares the neighbour being asked. Cheap: once in a while.
  void confirm_path(Connection& c, Instant now) noexcept {
    if (now < c.confirm_at) return;
    c.confirm_at = now + net::Interface::confirm_interval();
    interface.confirm_reachable(c.remote.address, now);
  }
  using Urgency = platform::Urgency;
  bool begin_frame(Frame& frame, std::size_t option_bytes,
                   Urgency urgency = Urgency::normal) noexcept;
  std::uint32_t gather(Connection& c, Frame& frame, TcpSeq seq, std::uint32_t want,
                       bool copy) noexcept;
  bool copy_in(Frame& frame, std::span<const std::byte> bytes,
               std::uint32_t& placed) noexcept;
  void drop_frame(Frame& frame) noexcept;
  /// Writes headers, `options` among them, and hands the frame to the interface.
  void finish_frame(Connection& c, Frame& frame, TcpSeq seq, std::uint8_t flags,
                    std::uint16_t window, std::span<const std::byte> options) noexcept;
  /// Options of a segment that is not a SYN; returns their length. out has room for 40 bytes.
  std::size_t write_options(Connection& c, std::byte* out, Instant now) noexcept;
  void answer_with_reset(const net::TcpDatagram& datagram, const wire::TcpHeader& header,
                         const Segment& segment, Instant now) noexcept;

  // --- path_mtu.cpp
  // -------------------------------------------------------------------------------------
  void on_path_error(const net::PathError& error, Instant now) noexcept;
  void on_packet_too_big(Connection& c, const net::PathError& error, Instant now) noexcept;
  void resend_too_big(Connection& c, TcpSeq from, Instant now) noexcept;
  void take_link_mtu(Connection& c, std::uint16_t link_mtu, Instant now) noexcept;
  void apply_path_mtu(Connection& c, Instant now) noexcept;
  void suspect_black_hole(Connection& c, Instant now) noexcept;
  // --- tso.cpp
  // ------------------------------------------------------------------------------------------
  [[nodiscard]] std::uint32_t large_length(const Connection& c, std::uint32_t in_pipe,
                                           std::uint32_t length,
                                           std::uint32_t budget) const noexcept;
  void note_sent(Connection& c, std::uint32_t placed, bool with_fin, Instant now) noexcept;
  /// New data goes out by copy: the port cannot read the application's memory.
  [[nodiscard]] bool must_copy() const noexcept { return !interface.port_info().tx_external; }
  void widen_frame(Frame& frame) const noexcept;
  [[nodiscard]] bool is_large_enough(const Connection& c, const Frame& frame,
                                     std::uint32_t placed) const noexcept;
  void mark_large(const Connection& c, Frame& frame, std::uint32_t placed) noexcept;

  // --- link.cpp
  // -----------------------------------------------------------------------------------------
  void link_restored(Instant now) noexcept;
  void port_removed() noexcept;

  // --- timers.cpp
  // ---------------------------------------------------------------------------------------
  void arm(Connection& c, Instant at) noexcept {
    if (!c.timer.armed() || at < c.timer.deadline) wheel.arm(c.timer, at);
  }
  void start_timer(Connection& c, TimerKind kind, Instant at) noexcept;
  /// RFC 6298 5.3 and RFC 8985 7.2: the retransmission timer, or the tail probe before it, from
  /// now.
  void restart_retransmission_timer(Connection& c, Instant now) noexcept;
  /// RFC 6298 5.1: something was sent. A running timer is only ever brought forward.
  void start_retransmission_timer(Connection& c, Instant now) noexcept;
  void stop_timer(Connection& c) noexcept {
    c.timer_kind = TimerKind::none;
    c.timer_at = kNever;
    c.timer_restart_due = false;
  }
  /// Once for all acknowledgments of a burst, before anything is sent or expires.
  void settle_timer(Connection& c, Instant now) noexcept {
    if (c.timer_restart_due) restart_retransmission_timer(c, now);
  }
  void on_timer(Connection& c, Instant now) noexcept;
  void on_limit(Connection& c, Instant now) noexcept;
  void on_retransmit_timer(Connection& c, Instant now) noexcept;
  void on_persist_timer(Connection& c, Instant now) noexcept;

  // --- close.cpp
  // ----------------------------------------------------------------------------------------
  void close(Connection& c, Instant now) noexcept;
  void end_sending(Connection& c, Instant now) noexcept;
  void abort(Connection& c, EndReason reason) noexcept;
  void release(Connection& c) noexcept;
  void give_back_reference(SendDescriptor& descriptor) noexcept;
  void end(Connection& c, EndReason reason) noexcept;
  void leave_flow_table(Connection& c) noexcept;

  // --- lifetime.cpp
  // -------------------------------------------------------------------------------------
  /// Lower bound of the timeout for this peer, for RttEstimator::on_sample.
  [[nodiscard]] Duration rto_least(const Connection& c) const noexcept;
  /// When the retransmission timer of what is in flight now runs out.
  [[nodiscard]] Instant retransmit_at(const Connection& c, Instant now) const noexcept;
  void note_timeout(Connection& c, Instant now) noexcept;
  void start_keepalive(Connection& c, Instant now) noexcept;
  void on_keepalive_timer(Connection& c, Instant now) noexcept;
  std::size_t send_keepalive(Connection& c, Instant now) noexcept;

  // --- time_wait.cpp
  // ------------------------------------------------------------------------------------
  void enter_time_wait(Connection& c, Instant now) noexcept;
  bool input_time_wait(const net::TcpDatagram& datagram, const wire::TcpHeader& header,
                       const Segment& segment, Instant now) noexcept;
  void answer_in_time_wait(const TimeWaitRecord& record, const net::Endpoint& remote,
                           const net::Endpoint& local, Instant now) noexcept;

  EngineLimits limits;
  EngineTimers timers;
  net::Interface& interface;
  platform::PacketMemory& memory;
  Random random;
  Instant start_time;
  Counters counters;
  TimerWheel wheel;
  HashKey isn_key;
  FlowTable flows;
  PathMtuCache path_mtus;
  TimeWaitTable time_wait;
  CopyStore copies;
  Listener* listener = nullptr;
  PortPolicy port_policy;
  std::uint8_t window_shift = 0;  ///< what we offer
  bool is_port_gone = false;

  std::unique_ptr<Connection[]> connections;
  std::unique_ptr<std::uint32_t[]> free_slots;
  std::uint32_t free_count = 0;
  RingSlab<ReceivedView> view_rings;
  std::unique_ptr<OutOfOrderPiece[]> piece_storage;
  RingSlab<SendDescriptor> descriptor_rings;
  Scoreboard::Slab transmission_rings;
  InlineRing::Slab inline_rings;

  ConnectionList<&Connection::next_dirty> dirty;
  ConnectionList<&Connection::next_event> with_events;
  Connection* recent = nullptr;  ///< of the last segment that found one
  std::array<void*, 64> release_batch{};
  std::size_t release_count = 0;
  std::size_t views_held = 0;        ///< queued pieces that keep a packet buffer
  std::uint32_t reset_tokens = 100;  ///< RST that may still answer unknown tuples this second
  Instant reset_tokens_at;
  std::uint32_t time_wait_tokens = 0;  ///< answers that TIME-WAIT may still give this second
  Instant time_wait_tokens_at{};
};

}  // namespace pollux::tcp
