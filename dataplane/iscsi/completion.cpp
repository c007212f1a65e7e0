// How commands and connections end. Every accepted command gets exactly one completion; a write
// gets it only when no frame can carry the caller's memory any more
// (docs/decisions/0004-write-completion.md).
#include <algorithm>
#include <cstring>

#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {
namespace {

/// Key, ASC and ASCQ of fixed (70h, 71h) and descriptor (72h, 73h) sense data (SPC-4 4.5).
void decode_sense(std::span<const std::byte> sense, pollux_completion& completion) noexcept {
  const auto at = [&](std::size_t i) {
    return i < sense.size() ? std::to_integer<std::uint8_t>(sense[i]) : std::uint8_t{0};
  };
  const std::uint8_t format = at(0) & 0x7f;
  if (format == 0x70 || format == 0x71) {
    completion.sense_key = at(2) & 0x0f;
    completion.asc = at(12);
    completion.ascq = at(13);
  } else if (format == 0x72 || format == 0x73) {
    completion.sense_key = at(1) & 0x0f;
    completion.asc = at(2);
    completion.ascq = at(3);
  }
}

}  // namespace

pollux_completion& Initiator::next_completion(worker::CommandQueue& queue) noexcept {
  pollux_completion* const slot = queue.completions.slot();
  POLLUX_ASSERT(slot != nullptr);  // the ring is as large as the queue is deep
  return *slot;
}

void Initiator::deliver(worker::CommandQueue& queue) noexcept {
  queue.completions.publish(1);
  --queue.open_commands;
}

void Initiator::unlink(Task& task) noexcept {
  Connection& connection = *task.connection;
  if (task.session_link.linked) {
    (task.state == TaskState::pending ? connection.session.pending : connection.session.active)
        .remove(task);
  }
  if (task.write_link.linked) connection.writers.remove(task);
  task.range_count = 0;
  // The rest of a data segment that is just arriving for it goes nowhere.
  if (connection.reader.task == &task) {
    connection.reader.task = nullptr;
    connection.reader.sink = DataSink::none;
  }
}

void Initiator::drop_lent(Task& task) noexcept {
  worker::LentRecord* record = std::exchange(task.lent, nullptr);
  if (record == nullptr) return;
  memory_.release({record->handles, record->view_count});
  lent_budget_ += record->reserved_bytes;
  record->view_count = 0;
  record->next = task.queue->free_records;
  task.queue->free_records = record;
  --task.queue->records_out;
}

void Initiator::complete_with(Task& task, int result, Instant now) noexcept {
  complete(task, {.result = result}, now);
}

void Initiator::fill(pollux_completion& completion, Task& task, const Outcome& outcome) noexcept {
  completion = {};
  completion.result = outcome.result;
  completion.scsi_status = outcome.scsi_status;
  completion.transferred = outcome.transferred;
  if (!outcome.sense.empty()) [[unlikely]] {
    decode_sense(outcome.sense, completion);
    completion.sense_length =
        static_cast<std::uint8_t>(std::min(outcome.sense.size(), sizeof(completion.sense)));
    std::memcpy(completion.sense, outcome.sense.data(), completion.sense_length);
  }
  completion.context = task.context;
  completion.callback = task.callback;
  completion.flags = task.flags;
  if (task.memory_exhausted && completion.result == 0)
    completion.result = (task.flags & POLLUX_LENT) != 0 ? POLLUX_EAGAIN : POLLUX_EINVAL;
  if (task.lent != nullptr && completion.result == 0 && completion.scsi_status == 0 &&
      task.lent->view_count != 0) {
    completion.views = task.lent->views;
    completion.view_count = task.lent->view_count;
    completion.lent = reinterpret_cast<pollux_lent*>(std::exchange(task.lent, nullptr));
  }
  drop_lent(task);
}

void Initiator::complete(Task& task, const Outcome& outcome, Instant now) noexcept {
  const StageScope stage(stages_, Stage::completion);
  Connection& connection = *task.connection;
  unlink(task);
  counters_.commands_completed.add();

  // In the common case the response came after TCP's acknowledgement of the data, and the first
  // copies of the frames have left because they were sent in order.
  const bool alive = connection.state != ConnectionState::ended;
  const bool registered = task.writes() && (task.flags & POLLUX_REGISTERED) != 0;
  if (!registered || (alive && task.reference.count == 0)) {
    fill(next_completion(*task.queue), task, outcome);
    deliver(*task.queue);
    tasks_.give_back(task);
    report_drained(connection);
    return;
  }
  task.state = TaskState::draining;
  fill(task.completion, task, outcome);
  task.started = now;
  (alive ? draining_acks_ : draining_frames_).push_back(task);
}

void Initiator::finish(Task& task) noexcept {
  Connection& connection = *task.connection;
  next_completion(*task.queue) = task.completion;
  deliver(*task.queue);
  tasks_.give_back(task);
  report_drained(connection);
}

void Initiator::collect(Instant now) noexcept {
  const auto nothing_queued = [this] {
    return std::all_of(paths_.begin(), paths_.end(),
                       [](const Path& path) { return path.interface->queued() == 0; });
  };
  if (snapshots_.any_lingering()) snapshots_.poll_lingering(nothing_queued());
  for (Task* task = draining_acks_.front(); task != nullptr;) {
    Task* next = draining_acks_.next(*task);
    if (task->reference.count == 0) {
      draining_acks_.remove(*task);
      finish(*task);
    }
    task = next;
  }
  for (Task* task = draining_frames_.front(); task != nullptr;) {
    Task* next = draining_frames_.next(*task);
    const bool drained = nothing_queued() && memory_.in_flight(*task->tracker) == 0;
    const bool late = now - task->started > setup_.timeouts.frame_drain;
    if (!drained && !late) {
      for (const Path& path : paths_) path.interface->reclaim();
    } else {
      if (!drained) counters_.frames_not_drained.add();
      draining_frames_.remove(*task);
      finish(*task);
    }
    task = next;
  }
}

void Initiator::end_tasks(Connection& connection, int result, Instant now) noexcept {
  Session& session = connection.session;
  while (!session.active.empty()) complete_with(*session.active.front(), result, now);
  while (!session.pending.empty()) complete_with(*session.pending.front(), result, now);
}

void Initiator::return_control_pdus(Connection& connection) noexcept {
  while (!connection.control_pdus.empty()) {
    tell({.kind = ToControlKind::pdu_sent,
          .connection = connection.ref,
          .pointer = connection.control_pdus.front()});
    connection.control_pdus.pop();
  }
}

void Initiator::report_drained(Connection& connection) noexcept {
  Session& session = connection.session;
  if (!session.reports_drained || !session.active.empty() || !session.pending.empty()) return;
  session.reports_drained = false;
  tell({.kind = ToControlKind::commands_drained, .connection = connection.ref});
}

void Initiator::lose(Connection& connection, LossReason reason, ProtocolError detail,
                     Instant now) noexcept {
  if (connection.state == ConnectionState::ended) return;
  connection.state = ConnectionState::ended;
  connection.session.accepts_commands = false;
  connection.session.reports_drained = false;
  if (connection.tcp.valid()) {
    // An ended TCP connection is released now; one that we end says kEnded first (on_event).
    const bool idle = connection.session.active.empty() && connection.session.pending.empty() &&
                      connection.snapshots.head == nullptr;
    if (connection.engine->end_reason(connection.tcp) != tcp::EndReason::none) {
      connection.engine->release(connection.tcp);
    } else if (connection.peer_closed && idle) {
      // The target has said goodbye, as after a logout: answer in kind. TCP bounds the wait for its
      // ACK.
      connection.engine->close(connection.tcp, now);
    } else {
      connection.engine->abort(connection.tcp, now);
    }
    connection.tcp = {};
  }
  snapshots_.abandon(connection.snapshots);
  wheel_.cancel(connection.timer);
  if (connection.send_link.linked) senders_.remove(connection);
  if (connection.starved_link.linked) starved_.remove(connection);
  if (Slab* slab = std::exchange(connection.reader.slab, nullptr); slab != nullptr)
    free_slabs_.push(slab);
  // Their references are gone, but frames of the dead connection may still be on their way out.
  for (Task* task = draining_acks_.front(); task != nullptr;) {
    Task* next = draining_acks_.next(*task);
    if (task->connection == &connection) {
      draining_acks_.remove(*task);
      task->started = now;
      draining_frames_.push_back(*task);
    }
    task = next;
  }
  end_tasks(connection, reason == LossReason::requested ? POLLUX_EABORTED : POLLUX_ESESSION_LOST,
            now);
  for (Task** task : {&connection.text, &connection.logout, &connection.ping})
    if (*task != nullptr) tasks_.give_back(*std::exchange(*task, nullptr));
  connection.reader.task = nullptr;
  connection.nop_replies.clear();
  return_control_pdus(connection);
  tell({.kind = ToControlKind::ended,
        .connection = connection.ref,
        .reason = reason,
        .protocol_error = detail});
}

}  // namespace pollux::iscsi
