// A configuration's need of memory: the pools, what they hold, hugepages. The same numbers start
// the instance and answer --check-config.
#pragma once

#include <cstdint>
#include <string>

#include "control/service/config.hpp"
#include "dataplane/platform/memory_plan.hpp"

namespace pollux::service {

/// Free hugepages of 2 MiB, as the kernel says; 0 when it has none.
[[nodiscard]] std::uint32_t free_hugepages();

/// Empty when `plan` fits; else a sentence that says which number to set to what.
[[nodiscard]] std::string check_memory(const Config& config, const platform::MemoryPlan& plan,
                                       std::uint32_t hugepages_free);

/// The plan as lines for a person.
[[nodiscard]] std::string describe_memory(const Config& config, const platform::MemoryPlan& plan);

}  // namespace pollux::service
