// Runs one simulation seed to its end and checks every invariant after every event.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/seed_hits.hpp"

namespace pollux::sim {

struct SeedResult {
  std::string failure;  ///< empty: all is well
  Duration virtual_time{};
  std::uint64_t turns = 0;
};

/// `pcapng` empty: no capture. Adds to `hits` when it did not fail.
SeedResult run_seed(const SeedPlan& plan, HitTable& hits, const std::string& pcapng = {});

}  // namespace pollux::sim
