// Commands from the application's queues become tasks.
#include <algorithm>

#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {
namespace {

/// Submissions whose connections are on their way from memory.
constexpr std::size_t kAhead = 3;

}  // namespace

void Initiator::attach(worker::CommandQueue& queue) noexcept {
  POLLUX_ASSERT(queue_count_ < kQueuesMax);
  queues_[queue_count_++] = &queue;
}

void Initiator::detach(worker::CommandQueue& queue) noexcept {
  take_returned(queue);
  POLLUX_ASSERT(queue.open_commands == 0 && queue.records_out == 0);
  for (std::size_t i = 0; i < queue_count_; ++i) {
    if (queues_[i] != &queue) continue;
    queues_[i] = queues_[--queue_count_];
    break;
  }
  tell({.kind = ToControlKind::queue_detached, .pointer = &queue});
}

void Initiator::take_returned(worker::CommandQueue& queue) noexcept {
  if (queue.returned.load(std::memory_order_relaxed) == nullptr) return;
  // Pairs with the release exchange in pollux_release(): the application is done with the views.
  worker::LentRecord* record = queue.returned.exchange(nullptr, std::memory_order_acquire);
  while (record != nullptr) {
    worker::LentRecord* next = record->next;
    memory_.release({record->handles, record->view_count});
    lent_budget_ += record->reserved_bytes;
    record->view_count = 0;
    record->next = queue.free_records;
    queue.free_records = record;
    --queue.records_out;
    record = next;
  }
}

/// Commands of one session often come one behind the other: what the first needs is there then.
void Initiator::prefetch_for(const worker::CommandQueue& queue, std::size_t i) const noexcept {
  const std::uint64_t session = queue.submissions.item(i).session_id;
  const std::size_t slot = session & 0xffff;
  if (session == queue.submissions.item(i - 1).session_id || slot >= setup_.limits.connections)
    return;
  prefetch(connections_[slot]);
}

std::size_t Initiator::take_submissions(Instant now) noexcept {
  std::size_t taken = 0;
  std::size_t q = next_queue_ < queue_count_ ? next_queue_ : 0;
  for (std::size_t left = queue_count_; left != 0; --left) {
    worker::CommandQueue& queue = *queues_[q];
    take_returned(queue);
    const std::size_t free = setup_.limits.tasks - tasks_.in_use();
    const std::size_t room = std::min(kSubmissionsPerTurn, free);
    const std::size_t count = queue.submissions.available(room);
    for (std::size_t i = 1; i < std::min(count, kAhead); ++i) prefetch_for(queue, i);
    for (std::size_t i = 0; i < count; ++i) {
      if (i + kAhead < count) prefetch_for(queue, i + kAhead);
      start_command(queue, queue.submissions.item(i), now);
    }
    if (count != 0) queue.submissions.drop(count);
    taken += count;
    if (++q == queue_count_) q = 0;
    // Whoever comes behind the one that took the last task is the first to get the next.
    if (free != 0 && count == free) next_queue_ = q;
  }
  return taken;
}

void Initiator::refuse(worker::CommandQueue& queue, const worker::Submission& submission,
                       int result) noexcept {
  pollux_completion& completion = next_completion(queue);
  completion = {};
  completion.context = submission.context;
  completion.callback = submission.callback;
  completion.flags = submission.flags;
  completion.result = result;
  ++queue.open_commands;
  deliver(queue);
}

void Initiator::start_command(worker::CommandQueue& queue, const worker::Submission& submission,
                              Instant now) noexcept {
  const std::size_t slot = submission.session_id & 0xffff;
  Connection* connection = slot < setup_.limits.connections ? &connections_[slot] : nullptr;
  if (connection == nullptr || submission.session_id == 0 ||
      connection->session.id != submission.session_id ||
      connection->state == ConnectionState::ended || connection->phase != Phase::full_feature) {
    counters_.commands_refused_session.add();
    return refuse(queue, submission, POLLUX_ENOSESSION);
  }
  if (!connection->session.accepts_commands) {
    counters_.commands_refused_session.add();
    return refuse(queue, submission, connection->discovery ? POLLUX_EINVAL : POLLUX_EABORTED);
  }

  Task& task = *tasks_.take();
  task.state = TaskState::pending;
  task.kind = TaskKind::scsi;
  task.flags = submission.flags;
  task.cdb_length = submission.cdb_length;
  task.length = submission.length;
  task.memory_exhausted = false;
  task.received = 0;
  task.next_data_sn = 0;
  task.connection = connection;
  task.cursor = IovCursor(submission.iov, submission.iov_count);
  task.queue = &queue;
  task.context = submission.context;
  task.callback = submission.callback;
  task.lent = nullptr;
  task.lun = submission.lun;
  std::copy_n(submission.cdb, sizeof(task.cdb), task.cdb);
  task.started = now;
  task.range_count = 0;
  task.next_r2t_sn = 0;
  task.solicited_end = 0;
  ++queue.open_commands;

  // Once for the commands of a turn; the send that follows finds it there.
  if (!connection->send_link.linked) connection->engine->prefetch_send(connection->tcp);
  connection->session.pending.push_back(task);
  if ((task.flags & POLLUX_LENT) != 0 && !reserve_lent(task)) {
    counters_.lent_reads_refused.add();
    return complete_with(task, POLLUX_EAGAIN, now);
  }
  want_send(*connection);
}

bool Initiator::reserve_lent(Task& task) noexcept {
  worker::CommandQueue& queue = *task.queue;
  // The application may have released a read and submitted this one since we last looked.
  if (queue.free_records == nullptr) take_returned(queue);
  worker::LentRecord* record = queue.free_records;
  // A view holds a whole buffer however few bytes are in it: count buffers, not bytes.
  const std::uint32_t segment = task.connection->engine->segment_bytes(task.connection->tcp);
  const std::size_t reserved = (std::size_t{task.length} / segment + 2) * memory_.true_size();
  if (record == nullptr || reserved > lent_budget_) return false;
  lent_budget_ -= reserved;
  queue.free_records = record->next;
  record->next = nullptr;
  record->reserved_bytes = reserved;
  ++queue.records_out;
  task.lent = record;
  return true;
}

}  // namespace pollux::iscsi
