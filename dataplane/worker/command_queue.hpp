// The two rings between an application thread and the worker its queue is bound to, and the records
// of lent reads. The C face (pollux.h) is a thin layer on this.
#pragma once

#include <pollux/pollux.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "dataplane/base/spsc_ring.hpp"

namespace pollux::worker {

struct CommandQueue;

/// What one lent read holds; recycled through the queue's free list.
struct LentRecord {
  CommandQueue* queue = nullptr;
  LentRecord* next = nullptr;  ///< in the worker's free list or in the returned list
  std::uint32_t view_count = 0;
  std::uint32_t view_capacity = 0;
  std::size_t reserved_bytes = 0;  ///< of the worker's lent budget
  pollux_view* views = nullptr;
  void** handles = nullptr;  ///< one for each view; given back to packet memory
};

/// A command as it crosses to the worker: the caller's words, checked for form.
struct Submission {
  std::uint64_t session_id = 0;
  std::uint64_t lun = 0;
  const iovec* iov = nullptr;
  void* context = nullptr;
  pollux_callback callback = nullptr;
  std::uint32_t iov_count = 0;
  std::uint32_t length = 0;
  std::uint8_t flags =
      0;  ///< pollux_command_flag, with a direction for every command that has data
  std::uint8_t cdb_length = 0;
  std::uint8_t cdb[16]{};
};
static_assert(std::is_trivially_copyable_v<Submission>);

/// Shared by exactly two threads: the application's and the worker's.
struct CommandQueue {
  CommandQueue(std::uint32_t depth_, std::uint32_t lent_views_max);

  const std::uint32_t depth;
  void* owner = nullptr;  ///< for whoever made the queue
  SpscRing<Submission> submissions;
  SpscRing<pollux_completion> completions;  ///< as large as depth, so a completion always has room

  // Application side.
  std::uint32_t in_flight = 0;  ///< submitted and not yet fetched; never above depth

  // Worker side.
  std::uint32_t open_commands = 0;  ///< taken from submissions, completion not yet pushed
  LentRecord* free_records = nullptr;
  std::uint32_t records_out = 0;

  /// Any thread pushes, the worker takes all: records whose views the application has released.
  alignas(128) std::atomic<LentRecord*> returned{nullptr};

 private:
  std::unique_ptr<LentRecord[]> records_;
  std::unique_ptr<pollux_view[]> views_;
  std::unique_ptr<void*[]> handles_;
};

}  // namespace pollux::worker
