// How the frames of one port find their worker and what its queues have counted, for people and
// programs.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pollux::service {

struct SteeringReport {
  std::string name;
  std::string steering;  ///< how received frames find their worker
  std::vector<std::pair<std::string, std::uint64_t>> counters;
};

/// One queue pair of one port.
struct QueueCounters {
  std::string port;
  std::uint32_t worker = 0;
  std::vector<std::pair<std::string, std::uint64_t>> counters;
};

}  // namespace pollux::service
