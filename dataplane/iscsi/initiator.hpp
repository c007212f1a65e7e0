// The iSCSI half of one worker: connections, tasks, the PDU reader and writer. Driven by Worker,
// which owns the turn; everything here is one thread, bounded, and free of clocks, locks and
// allocation. Read first: RFC 7143 sections 4.2 and 11.
//
//   messages.cpp    from control: open, gate, PDUs, close        submit.cpp     commands from
//   queues reader.cpp      stream -> header, data, digests               responses.cpp  what each
//   PDU does writer.cpp      tasks and PDUs -> send queue                  completion.cpp results,
//   loss, draining liveness.cpp    pings and time limits
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/base/stage_clock.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/base/timer_wheel.hpp"
#include "dataplane/iscsi/connection.hpp"
#include "dataplane/iscsi/counters.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/iscsi/mailbox.hpp"
#include "dataplane/iscsi/snapshot.hpp"
#include "dataplane/iscsi/task.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/worker/command_queue.hpp"
#include "dataplane/worker/link.hpp"

namespace pollux::iscsi {

/// One port of the worker with the TCP on it.
struct Path {
  net::Interface* interface = nullptr;
  tcp::Engine* engine = nullptr;
};

struct InitiatorSetup {
  Limits limits;
  Timeouts timeouts;
  std::size_t lent_budget_bytes =
      64 * MiB;  ///< packet memory that lent reads may hold, with overhead
  std::span<std::byte>
      snapshot_area;  ///< SnapshotPool::bytes_needed(limits), reachable by the ports
};

class Initiator {
 public:
  Initiator(const InitiatorSetup& setup, std::span<const Path> paths,
            platform::PacketMemory& memory, worker::Link& link, StageClock& stages, Instant start);
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  /// Trackers the packet memory must have.
  static std::size_t trackers_needed(const Limits& limits) noexcept {
    return limits.tasks + SnapshotPool::trackers_needed(limits);
  }

  /// On its way from memory while others are served: what on_event() of this owner looks at first.
  void prefetch(const tcp::Event& event) const noexcept {
    if (event.owner < setup_.limits.connections) prefetch(connections_[event.owner]);
  }

  // The turn, in the worker's order. Each returns the units of work it did.
  void on_event(const tcp::Event& event, tcp::Engine& engine, Instant now) noexcept;
  std::size_t run_timers(Instant now) noexcept;
  std::size_t take_messages(Instant now) noexcept;
  std::size_t take_submissions(Instant now) noexcept;
  /// Turns tasks and PDUs into descriptors of the TCP send queues.
  std::size_t send(Instant now) noexcept;
  /// Ends what waited for frames to leave. After the interfaces have been flushed.
  void collect(Instant now) noexcept;

  [[nodiscard]] bool stop_requested() const noexcept { return stop_requested_; }
  [[nodiscard]] bool pushed_to_control() noexcept {
    return std::exchange(pushed_to_control_, false);
  }
  [[nodiscard]] Instant next_deadline() const noexcept { return wheel_.next_deadline(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t tasks_in_use() const noexcept { return tasks_.in_use(); }
  [[nodiscard]] std::size_t timers_armed() const noexcept { return wheel_.armed_count(); }
  [[nodiscard]] std::size_t snapshots_in_use() const noexcept { return snapshots_.in_use(); }
  [[nodiscard]] std::size_t slabs_in_use() const noexcept {
    return slab_count_ - free_slabs_.size();
  }
  [[nodiscard]] std::size_t lent_bytes_reserved() const noexcept {
    return lent_budget_total_ - lent_budget_;
  }

 private:
  /// With a thousand sessions the state of none of them is in the nearest caches.
  static void prefetch(const Connection& connection) noexcept {
    constexpr std::size_t kLine = 64;
    const auto* const end = reinterpret_cast<const std::byte*>(&connection.reader.scratch);
    for (const auto* at = reinterpret_cast<const std::byte*>(&connection); at < end; at += kLine)
      __builtin_prefetch(at, 1);
  }

  // messages.cpp
  void handle(const ToWorker& message, Instant now) noexcept;
  void open(Connection& connection, const ToWorker& message, Instant now) noexcept;
  void set_gate(Connection& connection, const Gate& gate, Instant now) noexcept;
  void refuse_commands(Connection& connection) noexcept;
  void abort_commands(Connection& connection, Instant now) noexcept;
  void free_slot(Connection& connection) noexcept;
  const Path* path_to(const net::IpAddress& address) const noexcept;
  /// Why there is no route.
  [[nodiscard]] LossReason no_way_to(const net::IpAddress& address,
                                     const tcp::Engine& engine) const noexcept;
  void tell(const ToControl& message) noexcept;

  // submit.cpp
  void attach(worker::CommandQueue& queue) noexcept;
  void detach(worker::CommandQueue& queue) noexcept;
  void take_returned(worker::CommandQueue& queue) noexcept;
  void start_command(worker::CommandQueue& queue, const worker::Submission& submission,
                     Instant now) noexcept;
  /// For the i-th submission that waits in `queue`; i > 0.
  void prefetch_for(const worker::CommandQueue& queue, std::size_t i) const noexcept;
  bool reserve_lent(Task& task) noexcept;
  void refuse(worker::CommandQueue& queue, const worker::Submission& submission,
              int result) noexcept;

  // reader.cpp
  void read(Connection& connection, Instant now) noexcept;
  bool read_header(Connection& connection, Instant now) noexcept;
  bool header_digest_matches(const std::byte* header) noexcept;
  bool read_data(Connection& connection, Instant now) noexcept;
  bool read_trailer(Connection& connection, Instant now) noexcept;
  bool place(Connection& connection) noexcept;
  bool lend(Connection& connection) noexcept;
  bool keep(Connection& connection, std::span<std::byte> room, std::uint32_t& used) noexcept;

  // responses.cpp: begin_* look at a header and choose where its data goes; finish_* act on the
  // whole PDU.
  enum class Begin : std::uint8_t { go_on, wait, lost };
  Begin begin_pdu(Connection& connection, Instant now) noexcept;
  Begin begin_data_in(Connection& connection, Instant now) noexcept;
  Begin begin_scsi_response(Connection& connection, Instant now) noexcept;
  Begin begin_r2t(Connection& connection, Instant now) noexcept;
  Begin begin_nop_in(Connection& connection, Instant now) noexcept;
  Begin begin_for_control(Connection& connection, Instant now) noexcept;
  Begin fail(Connection& connection, ProtocolError error, Instant now) noexcept;
  bool finish_pdu(Connection& connection, Instant now) noexcept;
  void finish_data_in(Connection& connection, Instant now) noexcept;
  void finish_scsi_response(Connection& connection, Instant now) noexcept;
  void finish_r2t(Connection& connection, Instant now) noexcept;
  void finish_nop_in(Connection& connection, Instant now) noexcept;
  void finish_for_control(Connection& connection, Instant now) noexcept;
  /// What a Reject does to the task of the rejected PDU. False: the connection cannot go on.
  bool apply_reject(Connection& connection, const Slab& slab, Instant now) noexcept;
  bool take_stat_sn(Connection& connection, StatSn stat_sn, Instant now) noexcept;
  Task* find_task(Connection& connection, std::uint32_t tag, TaskKind kind) noexcept;

  // writer.cpp
  void want_send(Connection& connection) noexcept;
  std::size_t send_connection(Connection& connection, Instant now) noexcept;
  bool send_control_pdu(Connection& connection) noexcept;
  bool send_nop_reply(Connection& connection, Instant now) noexcept;
  bool send_ping(Connection& connection) noexcept;
  bool stamp_control_pdu(Connection& connection, ControlPdu& pdu) noexcept;
  /// These two return the bytes they queued, 0 when there was no room.
  std::uint32_t send_command(Connection& connection, Task& task, Instant now) noexcept;
  std::uint32_t send_data_out(Connection& connection, Task& task) noexcept;
  bool send_with_data(Connection& connection, Task& task, const std::byte* bhs,
                      std::uint32_t offset, std::uint32_t bytes) noexcept;
  void queue_header(Connection& connection, const std::byte* bhs) noexcept;
  void queue_trailer(Connection& connection, std::uint32_t length, std::uint32_t crc) noexcept;
  std::uint32_t queue_registered(Connection& connection, Task& task, std::uint32_t bytes) noexcept;
  std::uint32_t queue_snapshot(Connection& connection, Task& task, SnapshotChunk& chunk,
                               std::uint32_t bytes) noexcept;

  // completion.cpp
  /// What a command came to.
  struct Outcome {
    int result = 0;  ///< POLLUX_OK, or why there is no status
    std::uint8_t scsi_status = 0;
    std::uint32_t transferred = 0;
    std::span<const std::byte> sense;
  };
  void complete(Task& task, const Outcome& outcome, Instant now) noexcept;
  void fill(pollux_completion& completion, Task& task, const Outcome& outcome) noexcept;
  void complete_with(Task& task, int result, Instant now) noexcept;
  void finish(Task& task) noexcept;
  /// Where deliver() expects it.
  [[nodiscard]] static pollux_completion& next_completion(worker::CommandQueue& queue) noexcept;
  static void deliver(worker::CommandQueue& queue) noexcept;
  void drop_lent(Task& task) noexcept;
  void unlink(Task& task) noexcept;
  void end_tasks(Connection& connection, int result, Instant now) noexcept;
  void lose(Connection& connection, LossReason reason, ProtocolError detail, Instant now) noexcept;
  void return_control_pdus(Connection& connection) noexcept;
  void report_drained(Connection& connection) noexcept;

  // liveness.cpp
  void start_liveness(Connection& connection, Instant now) noexcept;
  void check_liveness(Connection& connection, Instant now) noexcept;

  static constexpr std::size_t kMessagesPerTurn = 32;
  static constexpr std::size_t kSubmissionsPerTurn = 32;  ///< of one queue

  InitiatorSetup setup_;
  std::vector<Path> paths_;
  platform::PacketMemory& memory_;
  worker::Link& link_;
  StageClock& stages_;
  TimerWheel wheel_;
  TaskTable tasks_;
  SnapshotPool snapshots_;
  std::size_t lent_budget_total_;
  std::size_t lent_budget_;
  std::size_t slab_count_;
  std::unique_ptr<Slab[]> slabs_;
  FixedRing<Slab*> free_slabs_;
  std::unique_ptr<Connection[]> connections_;
  IntrusiveList<Connection, &Connection::send_link> senders_;
  IntrusiveList<Connection, &Connection::starved_link> starved_;
  IntrusiveList<Task, &Task::write_link> draining_acks_;  ///< wait for TCP to give references back
  IntrusiveList<Task, &Task::write_link>
      draining_frames_;  ///< wait for frames of a dead connection
  std::array<worker::CommandQueue*, kQueuesMax> queues_{};
  std::size_t queue_count_ = 0;
  std::size_t next_queue_ = 0;  ///< served first in the next turn
  // Filled anew in every turn; as a local it would be cleared each time.
  std::array<ToWorker, kMessagesPerTurn> messages_;
  bool pushed_to_control_ = false;
  bool stop_requested_ = false;
  Counters counters_;
};

}  // namespace pollux::iscsi
