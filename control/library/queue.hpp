// The object behind pollux_queue.
#pragma once

#include <pollux/pollux.h>

#include "dataplane/worker/command_queue.hpp"

struct pollux_queue {
  pollux_queue(std::uint32_t depth, std::uint32_t lent_views) : rings(depth, lent_views) {}

  pollux::worker::CommandQueue rings;
  pollux_instance* instance = nullptr;
  std::uint32_t worker = 0;
  std::uint32_t lent_read_bytes_max = 0;
};
