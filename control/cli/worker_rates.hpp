// What a worker did between two looks at its counters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/cli/render.hpp"

namespace pollux::cli {

/// Counters of one worker as the service's statistics have them. What an older service does not
/// say is zero.
struct WorkerSnapshot {
  std::uint64_t busy_cycles = 0;
  std::uint64_t idle_cycles = 0;
  std::uint64_t away_cycles = 0;
  std::uint64_t commands = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t received_bursts = 0;  ///< of any size
  std::uint64_t sent_bursts = 0;
  std::uint64_t retransmitted_segments = 0;
  std::uint64_t buffers_in_use = 0;
  std::uint64_t tasks_in_use = 0;
  std::vector<std::string> stages;            ///< their names, fit for a terminal
  std::vector<std::uint64_t> sampled_cycles;  ///< one for each of them
};

/// One for each worker of the document that POLLUX_OP_STATS answers with.
[[nodiscard]] std::vector<WorkerSnapshot> worker_snapshots(const Json& stats);

/// Zero where there is nothing to divide by.
struct WorkerRates {
  double iops = 0;
  double read_mib = 0;  ///< in a second
  double written_mib = 0;
  double busy_percent = 0;  ///< of all cycles of the worker
  double cycles_per_io = 0;
  double received_burst = 0;  ///< frames, on average
  double sent_burst = 0;
  double retransmissions = 0;  ///< in a second
  std::uint64_t buffers_in_use = 0;
  std::uint64_t tasks_in_use = 0;
  std::vector<std::pair<std::string, double>> stage_percent;  ///< of busy cycles
};

/// `seconds` lie between the two. A counter that went back has not moved.
[[nodiscard]] WorkerRates rates_between(const WorkerSnapshot& before, const WorkerSnapshot& after,
                                        double seconds);

}  // namespace pollux::cli
