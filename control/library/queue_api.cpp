// Submission and completion: the calls an application makes for every command. No lock, no
// allocation, no system call (but one to wake a worker that sleeps, where that is configured); the
// checks here are of form only, since what a session allows is known to its worker.
#include <algorithm>
#include <array>
#include <cstring>

#include "control/library/queue.hpp"
#include "dataplane/base/byte_order.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/wire/scsi_cdb.hpp"

namespace {

using pollux::worker::CommandQueue;
using pollux::worker::LentRecord;
using pollux::worker::Submission;

bool iov_adds_up(const pollux_command& command) {
  std::uint64_t left = command.length;
  for (std::uint32_t i = 0; i < command.iov_count; ++i) {
    if (command.iov[i].iov_len > left) return false;  // compared, since a sum could wrap
    left -= command.iov[i].iov_len;
  }
  return left == 0;
}

/// POLLUX_OK or why the command cannot be taken.
int check(const pollux_queue& queue, const pollux_command& command) {
  if (command.length > pollux::iscsi::kTransferBytesMax) return POLLUX_EINVAL;
  if (command.iov_count != 0 && command.iov == nullptr) return POLLUX_EINVAL;
  switch (command.opcode) {
    case POLLUX_READ:
    case POLLUX_WRITE:
      if (command.block_count == 0 || command.length == 0) return POLLUX_EINVAL;
      break;
    case POLLUX_FLUSH:
      if (command.length != 0) return POLLUX_EINVAL;
      break;
    case POLLUX_SCSI: {
      const std::uint8_t n = command.cdb_length;
      if ((n != 6 && n != 10 && n != 12 && n != 16) || command.cdb == nullptr) return POLLUX_EINVAL;
      const unsigned directions = command.flags & (POLLUX_FROM_DEVICE | POLLUX_TO_DEVICE);
      if (directions == (POLLUX_FROM_DEVICE | POLLUX_TO_DEVICE) ||
          (directions == 0) != (command.length == 0))
        return POLLUX_EINVAL;
      break;
    }
    default:
      return POLLUX_EINVAL;
  }
  if ((command.flags & POLLUX_LENT) != 0) {
    const bool reads = command.opcode == POLLUX_READ ||
                       (command.opcode == POLLUX_SCSI && (command.flags & POLLUX_FROM_DEVICE) != 0);
    const bool fits = command.length <= queue.lent_read_bytes_max && command.iov_count == 0;
    return reads && fits ? POLLUX_OK : POLLUX_EINVAL;
  }
  if (!iov_adds_up(command)) return POLLUX_EINVAL;
  if ((command.flags & POLLUX_REGISTERED) != 0 && queue.is_registered != nullptr)
    for (std::uint32_t i = 0; i < command.iov_count; ++i)
      if (!queue.is_registered(*queue.instance, command.iov[i])) return POLLUX_EINVAL;
  return POLLUX_OK;
}

void add(std::atomic<std::uint32_t>& counter, std::uint32_t n) {
  // One writer: no need for an atomic addition.
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

/// The queue's books, for a completion on its way to the application.
void account(pollux_queue& queue, const pollux_completion& completion) {
  --queue.rings.in_flight;
  if ((completion.flags & POLLUX_REGISTERED) != 0) add(queue.registered_in_flight, ~0u);
  if (completion.lent != nullptr) queue.lent_out.fetch_add(1, std::memory_order_relaxed);
}

void fill(Submission& submission, const pollux_command& command) {
  submission.session_id = command.session;
  submission.lun = command.lun;
  submission.iov = command.iov;
  submission.iov_count = command.iov_count;
  submission.context = command.context;
  submission.callback = command.callback;
  submission.length = command.length;
  submission.flags = command.flags;
  // Only POLLUX_SCSI says its direction itself: a write that also reads would let the target fill
  // its memory.
  if (command.opcode != POLLUX_SCSI)
    submission.flags &= static_cast<std::uint8_t>(~unsigned{POLLUX_FROM_DEVICE | POLLUX_TO_DEVICE});
  submission.cdb_length = 16;
  const std::uint8_t options =
      (command.flags & POLLUX_FUA) != 0 ? pollux::wire::kForceUnitAccess : 0;
  const auto set = [&](pollux::wire::ScsiOperation operation) {
    const pollux::wire::Cdb cdb =
        pollux::wire::cdb_16(operation, command.lba, command.block_count, options);
    std::memcpy(submission.cdb, cdb.data(), sizeof(submission.cdb));
  };
  switch (command.opcode) {
    case POLLUX_READ:
      set(pollux::wire::ScsiOperation::read_16);
      submission.flags |= POLLUX_FROM_DEVICE;
      break;
    case POLLUX_WRITE:
      set(pollux::wire::ScsiOperation::write_16);
      submission.flags |= POLLUX_TO_DEVICE;
      break;
    case POLLUX_FLUSH:
      set(pollux::wire::ScsiOperation::synchronize_cache_16);
      break;
    default:
      // The slot may hold a longer one of before.
      std::memset(submission.cdb, 0, sizeof(submission.cdb));
      std::memcpy(submission.cdb, command.cdb, command.cdb_length);
      submission.cdb_length = command.cdb_length;
      break;
  }
}

/// As pollux_queue_submit().
int take(pollux_queue* queue, const pollux_command* commands, std::uint32_t count) {
  CommandQueue& rings = queue->rings;
  count = std::min(count, rings.depth - rings.in_flight);
  int verdict = POLLUX_OK;
  std::uint32_t taken = 0;
  for (; taken < count; ++taken) {
    const pollux_command& command = commands[taken];
    verdict = check(*queue, command);
    if (verdict != POLLUX_OK) break;
    Submission* const slot = rings.submissions.slot(taken);
    POLLUX_ASSERT(slot != nullptr);  // the ring is as large as the queue is deep
    fill(*slot, command);
    if ((command.flags & POLLUX_REGISTERED) != 0) add(queue->registered_in_flight, 1);
  }
  rings.in_flight += taken;
  rings.submissions.publish(taken);
  return taken == 0 ? verdict : static_cast<int>(taken);
}

}  // namespace

extern "C" {

int pollux_queue_submit(pollux_queue* queue, const pollux_command* commands, std::uint32_t count) {
  const int taken = take(queue, commands, count);
  if (queue->nap_bell != nullptr && taken > 0) queue->nap_bell->ring();
  return taken;
}

int pollux_queue_process(pollux_queue* queue, std::uint32_t max) {
  CommandQueue& rings = queue->rings;
  std::uint32_t done = 0;
  for (; done < max; ++done) {
    const pollux_completion* next = rings.completions.front();
    if (next == nullptr || next->callback == nullptr) break;
    // A copy: the callback may submit, and the worker may then reuse the slot.
    pollux_completion completion;
    rings.completions.pop(completion);
    account(*queue, completion);
    completion.callback(completion.context, &completion);
  }
  return static_cast<int>(done);
}

int pollux_queue_reap(pollux_queue* queue, pollux_completion* completions, std::uint32_t capacity) {
  CommandQueue& rings = queue->rings;
  const std::size_t count = rings.completions.pop({completions, capacity});
  for (std::size_t i = 0; i < count; ++i) account(*queue, completions[i]);
  return static_cast<int>(count);
}

void pollux_release(pollux_lent* lent) {
  auto* record = reinterpret_cast<LentRecord*>(lent);
  auto* queue = static_cast<pollux_queue*>(record->queue->owner);
  std::atomic<LentRecord*>& returned = record->queue->returned;
  LentRecord* head = returned.load(std::memory_order_relaxed);
  do {
    record->next = head;
    // Pairs with the acquire exchange in Initiator::take_returned().
  } while (!returned.compare_exchange_weak(head, record, std::memory_order_release,
                                           std::memory_order_relaxed));
  // Last: pollux_queue_destroy() takes zero to mean that nobody touches the queue any more.
  queue->lent_out.fetch_sub(1, std::memory_order_release);
}

}  // extern "C"
