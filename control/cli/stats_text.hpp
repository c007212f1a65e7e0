// The service's statistics for people and for collectors.
#pragma once

#include <string>

#include "control/cli/render.hpp"

namespace pollux::cli {

/// Counters one a line, without protocol counters that are zero; then cycles by stage and bursts
/// by size as tables.
[[nodiscard]] std::string stats_text(Json stats);

/// The text format that Prometheus reads: pollux_worker_busy_cycles_total{worker="0"} 17.
[[nodiscard]] std::string prometheus_text(const Json& stats);

}  // namespace pollux::cli
