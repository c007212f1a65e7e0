// A configuration's need of memory: the pools, what they hold, hugepages. The same numbers start
// the instance and answer --check-config.
#pragma once

#include <cstdint>
#include <string>

#include "control/service/config.hpp"
#include "dataplane/platform/memory_plan.hpp"

namespace pollux::service {

[[nodiscard]] platform::MemoryPlanInput memory_plan_input(const Config& config);

/// Free hugepages of 2 MiB, as the kernel says; 0 when it has none.
[[nodiscard]] std::uint32_t free_hugepages();

/// False: what is configured does not fit; `error` says which number to set to what.
[[nodiscard]] bool check_memory(const Config& config, std::uint32_t hugepages_free,
                                platform::MemoryPlan& plan, std::string& error);

/// The plan as lines for a person.
[[nodiscard]] std::string describe_memory(const Config& config, const platform::MemoryPlan& plan);

}  // namespace pollux::service
