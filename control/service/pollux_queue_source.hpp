// QueueSource over an instance of the library. A header of its own, so that only what is linked with the
// library needs its symbols.
#pragma once

#include <ctime>

#include <pollux/pollux.h>

#include "control/service/queue_source.hpp"

namespace pollux::service {

class PolluxQueue final : public Queue {
 public:
  PolluxQueue(pollux_instance* instance, pollux_queue* queue) : instance_(instance), queue_(queue) {}
  ~PolluxQueue() override {
    pollux_queue_destroy(queue_);
    if (region_ == nullptr) return;
    // Drivers free transmitted frames lazily; the worker pokes them, so this ends soon.
    constexpr int kUnregisterAttempts = 1000;
    for (int i = 0; i < kUnregisterAttempts; ++i) {
      if (pollux_memory_unregister(region_) != POLLUX_EBUSY) return;
      const timespec pause{0, 1'000'000};
      nanosleep(&pause, nullptr);
    }
  }
  int submit(std::span<const pollux_command> commands) noexcept override {
    return pollux_queue_submit(queue_, commands.data(), static_cast<std::uint32_t>(commands.size()));
  }
  int reap(std::span<pollux_completion> completions) noexcept override {
    return pollux_queue_reap(queue_, completions.data(), static_cast<std::uint32_t>(completions.size()));
  }
  void release(pollux_lent* lent) noexcept override { pollux_release(lent); }
  bool register_memory(std::span<std::byte> memory) noexcept override {
    return region_ == nullptr &&
           pollux_memory_register(instance_, memory.data(), memory.size(), &region_, nullptr) == POLLUX_OK;
  }

 private:
  pollux_instance* instance_;
  pollux_queue* queue_;
  pollux_region* region_ = nullptr;
};

class PolluxQueueSource final : public QueueSource {
 public:
  explicit PolluxQueueSource(pollux_instance* instance) : instance_(instance) {}

  std::unique_ptr<Queue> create(std::uint32_t worker, std::uint32_t depth,
                                std::uint32_t lent_read_bytes_max, std::string& error) override {
    pollux_queue_options options;
    pollux_queue_options_init(&options);
    options.worker = worker;
    options.depth = depth;
    options.lent_read_bytes_max = lent_read_bytes_max;
    pollux_queue* queue = nullptr;
    pollux_error reason{};
    if (pollux_queue_create(instance_, &options, &queue, &reason) != POLLUX_OK) {
      error = reason.message;
      return nullptr;
    }
    return std::make_unique<PolluxQueue>(instance_, queue);
  }
  bool stats(std::uint32_t worker, pollux_worker_stats& stats) noexcept override {
    stats.size = sizeof(stats);
    return pollux_worker_stats_get(instance_, worker, &stats) == POLLUX_OK;
  }

 private:
  pollux_instance* instance_;
};

}  // namespace pollux::service
