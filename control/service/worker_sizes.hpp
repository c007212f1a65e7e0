// What a configuration means in numbers for one worker. One place: the memory plan, --check-config
// and the workers that are built agree because they ask here.
#pragma once

#include <cstddef>

#include "control/service/config.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::service {

/// One for each CPU named, and one that is not pinned when none is.
[[nodiscard]] std::size_t worker_count(const Config& config) noexcept;
[[nodiscard]] iscsi::Limits iscsi_limits(const Config& config) noexcept;
[[nodiscard]] tcp::EngineLimits tcp_limits(const Config& config);
[[nodiscard]] tcp::EngineTimers tcp_timers(const Config& config);
/// Trackers of external memory that a worker's packet memory must have.
[[nodiscard]] std::size_t trackers_needed(const Config& config) noexcept;

}  // namespace pollux::service
