// The arithmetic of packet memory: every place a buffer can be, added up, so that a configuration
// that does not fit is refused at start with a number, and one that fits cannot run dry later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/platform/dpdk_memory.hpp"

namespace pollux::platform {

/// What an installation wants. Bytes are of payload unless said otherwise.
struct MemoryPlanInput {
  std::uint32_t workers = 1;
  std::uint32_t ports = 1;         ///< that each worker has a queue pair of
  std::uint32_t sessions = 16;     ///< on all workers together, spread evenly
  std::uint32_t connections = 1;   ///< per session
  std::uint32_t queue_depth = 32;  ///< commands under way per session
  std::uint32_t mtu = 1500;
  std::uint32_t rx_descriptors = 512;  ///< per port and worker
  std::uint32_t tx_descriptors = 512;
  std::uint32_t window_bytes_min = 16 * 1024;           ///< advertised by every connection, always
  std::uint64_t window_bytes_budget = 4 * 1024 * 1024;  ///< growth of windows, per worker
  std::uint64_t lent_bytes_budget = 4 * 1024 * 1024;  ///< reads lent to the application, per worker
  std::uint32_t trackers = 64;                        ///< pieces of registered memory, per worker
  bool one_buffer_frames = false;  ///< a port receives a frame into one buffer only (net_af_xdp)
  bool in_process_wire = false;    ///< the peer's queues hold our buffers too
};

enum class PlanPool : std::uint8_t { rx, frames, reserve, external };

/// One place where buffers of one pool of one worker can be.
struct MemoryPlanLine {
  PlanPool pool;
  const char* place;
  std::uint64_t buffers;
};

struct MemoryPlan {
  DpdkMemoryOptions options;              ///< for each worker's DpdkPacketMemory
  std::vector<MemoryPlanLine> lines;      ///< sums up to the pools in options
  std::uint32_t receive_views_total = 0;  ///< tcp::EngineLimits, for the TCP of one port
  std::uint32_t receive_views_most = 0;
  std::uint32_t receive_views_least = 0;
  std::uint64_t bytes_per_worker = 0;
  std::uint64_t total_bytes = 0;  ///< all workers and what DPDK itself takes
  std::uint32_t memory_mib = 0;   ///< for EalOptions
  std::uint32_t hugepages = 0;    ///< of 2 MiB
};

/// False: the input cannot be had; `error` says which number to change to what.
[[nodiscard]] bool plan_memory(const MemoryPlanInput& input, MemoryPlan& plan, std::string& error);

}  // namespace pollux::platform
