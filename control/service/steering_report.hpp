// How the frames of one port find their worker and what has been counted, for people and programs.
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

/// What one worker has counted at one port, in the driver's queue or in the protocols above it.
/// `port` is empty where it is of all ports.
struct CounterReport {
  std::string port;
  std::uint32_t worker = 0;
  std::vector<std::pair<std::string, std::uint64_t>> counters;
};

}  // namespace pollux::service
