// What the configuration means for DPDK: the options of the EAL and of each port. Instances and the
// self-test agree because both ask here.
#pragma once

#include <cstdint>

#include "control/service/config.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/memory_plan.hpp"

namespace pollux::service {

/// `extra_mib` on top of the plan.
[[nodiscard]] platform::EalOptions eal_options(const Config& config,
                                               const platform::MemoryPlan& plan,
                                               std::uint32_t extra_mib);

[[nodiscard]] platform::PortOptions port_options(const PortConfig& port);

}  // namespace pollux::service
