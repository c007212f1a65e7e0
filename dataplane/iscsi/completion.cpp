// How commands and connections end. Every accepted command gets exactly one completion; a write
// gets it only when no frame can carry the caller's memory any more
// (docs/decisions/0004-write-completion.md).
#include <algorithm>

#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {

void Initiator::deliver(worker::CommandQueue& queue, const pollux_completion& completion) noexcept {
  const bool pushed = queue.completions.push(completion);
  POLLUX_ASSERT(pushed);  // the ring is as large as the queue is deep
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
  pollux_completion outcome{};
  outcome.result = result;
  complete(task, outcome, now);
}

void Initiator::complete(Task& task, const pollux_completion& outcome, Instant now) noexcept {
  const StageScope stage(stages_, Stage::completion);
  Connection& connection = *task.connection;
  unlink(task);
  counters_.commands_completed.add();

  pollux_completion completion = outcome;
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

  // In the common case the response came after TCP's acknowledgement of the data, and the first
  // copies of the frames have left because they were sent in order.
  const bool alive = connection.state != ConnectionState::ended;
  const bool registered = task.writes() && (task.flags & POLLUX_REGISTERED) != 0;
  if (!registered || (alive && task.reference.count == 0)) {
    deliver(*task.queue, completion);
    tasks_.give_back(task);
    report_drained(connection);
    return;
  }
  task.state = TaskState::draining;
  task.completion = completion;
  task.started = now;
  (alive ? draining_acks_ : draining_frames_).push_back(task);
}

void Initiator::finish(Task& task) noexcept {
  Connection& connection = *task.connection;
  deliver(*task.queue, task.completion);
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
