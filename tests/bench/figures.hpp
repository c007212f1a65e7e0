// What one measurement of pollux found, and its JSON: one object in the field names of
// scripts/bench. Everything is per command completed unless the name says otherwise.
#pragma once

#include <pollux/pollux.h>

#include <cstdint>
#include <string>

#include "tests/bench/load.hpp"
#include "tests/bench/rig.hpp"

namespace pollux::bench {

struct Figures {
  std::uint64_t elapsed_cycles = 0;
  std::uint64_t caller_cycles = 0;  ///< of calls that fetched completions and submitted anew
  double cpu_seconds = 0;           ///< of the thread that turns the worker
  pollux_worker_stats before{};
  pollux_worker_stats after{};
  std::uint64_t target_busy_cycles = 0;
  std::uint64_t target_idle_cycles = 0;
  double target_cpu_seconds = 0;  ///< of the embedded target's thread
  std::uint64_t violations = 0;  ///< of the protocol, as the embedded target saw them
};

/// One line.
[[nodiscard]] std::string to_json(const RigOptions& rig, const LoadOptions& options,
                                  const Load& load, const Figures& figures);

}  // namespace pollux::bench
