// Queues as the service uses them: the calls of pollux.h behind a face, so that the service is a program
// on the public API and its tests need no worker. PolluxQueueSource (pollux_queue_source.hpp) is the
// real one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <pollux/pollux.h>

namespace pollux::service {

/// One thread at a time. Destroyed only when nothing is in flight.
class Queue {
 public:
  virtual ~Queue() = default;
  /// As pollux_queue_submit().
  virtual int submit(std::span<const pollux_command> commands) noexcept = 0;
  /// As pollux_queue_reap().
  virtual int reap(std::span<pollux_completion> completions) noexcept = 0;
  /// As pollux_release().
  virtual void release(pollux_lent* lent) noexcept = 0;
  /// Memory for commands with POLLUX_REGISTERED, until the queue is destroyed. False: use plain memory.
  virtual bool register_memory(std::span<std::byte> memory) noexcept = 0;
};

class QueueSource {
 public:
  virtual ~QueueSource() = default;
  /// Null with a sentence in `error`. On the control thread this must not wait for the control thread.
  virtual std::unique_ptr<Queue> create(std::uint32_t worker, std::uint32_t depth,
                                        std::uint32_t lent_read_bytes_max, std::string& error) = 0;
  /// Any thread. False when the worker has no counters.
  virtual bool stats(std::uint32_t worker, pollux_worker_stats& stats) noexcept = 0;
};

}  // namespace pollux::service
