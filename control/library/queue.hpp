// The object behind pollux_queue.
#pragma once

#include <pollux/pollux.h>

#include <atomic>

#include "dataplane/worker/command_queue.hpp"
#include "dataplane/worker/nap_bell.hpp"

struct pollux_queue {
  pollux_queue(std::uint32_t depth, std::uint32_t lent_views) : rings(depth, lent_views) {
    rings.owner = this;
  }

  pollux::worker::CommandQueue rings;
  pollux_instance* instance = nullptr;
  /// Whether memory is registered with the instance; null in simulation, where all memory will do.
  bool (*is_registered)(const pollux_instance& instance, const iovec& piece) = nullptr;
  /// Of a worker that may sleep; else null, and submission costs no fence.
  pollux::worker::NapBell* nap_bell = nullptr;
  std::uint32_t worker = 0;
  std::uint32_t lent_read_bytes_max = 0;
  /// Written by the queue's thread, read by pollux_memory_unregister().
  std::atomic<std::uint32_t> registered_in_flight{0};
  /// Up on the queue's thread, down on whichever thread releases.
  std::atomic<std::uint32_t> lent_out{0};
};
