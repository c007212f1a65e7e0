// A command on its way: from submission to its one completion. Tasks are objects of the session,
// with the connection as a field. A task keeps ranges (R2T, DataSN) and the caller's extents, never
// bytes: the caller's buffer is the store.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/base/assert.hpp"
#include "dataplane/base/intrusive_list.hpp"
#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/iscsi/iov_cursor.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/worker/command_queue.hpp"

namespace pollux::iscsi {

struct Connection;

enum class TaskKind : std::uint8_t {
  scsi,     ///< of a queue
  control,  ///< Text or Logout sent for control: its responses go there
  ping,     ///< our NOP-Out
};

enum class TaskState : std::uint8_t {
  free,
  pending,   ///< waits for the command window or send space
  active,    ///< the command PDU is queued
  draining,  ///< has its result; waits until no frame can carry its memory any more
};

/// A range the target asked for (RFC 7143 11.8), or the unsolicited data after a command.
struct OutRange {
  std::uint32_t target_transfer_tag = 0;
  std::uint32_t offset = 0;  ///< next byte to send
  std::uint32_t end = 0;
  std::uint32_t data_sn = 0;
};

struct Task {
  // What every response touches.
  TaskState state = TaskState::free;
  TaskKind kind = TaskKind::scsi;
  std::uint8_t flags = 0;  ///< pollux_command_flag
  std::uint8_t cdb_length = 0;
  bool memory_exhausted = false;  ///< the data did not fit the caller's memory or the lent record
  std::uint16_t slot = 0;
  std::uint16_t generation = 0;  ///< 15 bits
  std::uint32_t length = 0;      ///< Expected Data Transfer Length
  std::uint32_t received = 0;    ///< bytes of Data-In accepted
  std::uint32_t next_data_sn = 0;
  Connection* connection = nullptr;
  IovCursor cursor;
  worker::CommandQueue* queue = nullptr;
  worker::LentRecord* lent = nullptr;
  void* context = nullptr;
  pollux_callback callback = nullptr;

  // Membership.
  ListLink<Task> session_link;  ///< pending or open list of the session
  ListLink<Task> write_link;    ///< connection's list of tasks with data to send; or draining list

  // What a command and its writes need.
  std::uint64_t lun = 0;
  std::uint8_t cdb[16]{};
  Instant started{};
  tcp::SendReference reference;
  platform::TxTracker* tracker = nullptr;
  std::array<OutRange, kOutstandingR2tMax + 1> ranges{};  ///< front is being sent; + 1: unsolicited
  std::uint8_t range_count = 0;
  std::uint32_t next_r2t_sn = 0;
  std::uint32_t solicited_end = 0;  ///< highest byte any range has covered

  // The result, while draining.
  pollux_completion completion{};

  [[nodiscard]] bool reads() const noexcept { return (flags & POLLUX_FROM_DEVICE) != 0; }
  [[nodiscard]] bool writes() const noexcept { return (flags & POLLUX_TO_DEVICE) != 0; }
  [[nodiscard]] std::uint32_t initiator_task_tag() const noexcept {
    return std::uint32_t{generation} << 16 | slot;
  }
};

/// Fixed slots with a free list. A tag finds its task only while slot and generation agree, so a
/// late or forged response finds nothing.
class TaskTable {
 public:
  TaskTable(std::size_t count, platform::PacketMemory& memory)
      : tasks_(new Task[count]), count_(count) {
    POLLUX_ASSERT(count <= kTasksMax && count <= memory.tracker_count());
    for (std::size_t i = count; i-- > 0;) {
      tasks_[i].slot = static_cast<std::uint16_t>(i);
      tasks_[i].tracker = memory.tracker(i);
      push_free(tasks_[i]);
    }
  }

  /// nullptr when all are in use.
  Task* take() noexcept {
    Task* task = free_;
    if (task == nullptr) return nullptr;
    free_ = task->session_link.next;
    task->session_link.next = nullptr;
    ++in_use_;
    return task;
  }

  void give_back(Task& task) noexcept {
    POLLUX_ASSERT(task.state != TaskState::free);
    task.state = TaskState::free;
    task.generation = static_cast<std::uint16_t>((task.generation + 1) & 0x7fff);
    --in_use_;
    push_free(task);
  }

  [[nodiscard]] Task* find(std::uint32_t initiator_task_tag) noexcept {
    const std::uint32_t slot = initiator_task_tag & 0xffff;
    if (slot >= count_) return nullptr;
    Task& task = tasks_[slot];
    if (task.state == TaskState::free || task.initiator_task_tag() != initiator_task_tag)
      return nullptr;
    return &task;
  }

  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }

 private:
  // Last in, first out: the slot that was used last is still in the cache.
  void push_free(Task& task) noexcept {
    task.session_link.next = free_;
    free_ = &task;
  }

  std::unique_ptr<Task[]> tasks_;
  std::size_t count_;
  std::size_t in_use_ = 0;
  Task* free_ = nullptr;
};

}  // namespace pollux::iscsi
