// What a port tells people about itself.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pollux::service {

struct PortReport {
  std::string name;
  std::string steering;  ///< how received frames find their worker
  std::vector<std::pair<std::string, std::uint64_t>> counters;
};

}  // namespace pollux::service
