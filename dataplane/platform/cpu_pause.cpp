#include "dataplane/platform/cpu_pause.hpp"

#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_pause.h>
#include <rte_power_intrinsics.h>

namespace pollux::platform {

bool has_timed_pause() noexcept {
  rte_cpu_intrinsics intrinsics{};
  rte_cpu_get_intrinsics_support(&intrinsics);
  return intrinsics.power_pause != 0;
}

void pause_until(std::uint64_t cycles) noexcept {
  static const bool has_tpause = has_timed_pause();
  if (has_tpause && rte_power_pause(cycles) == 0) return;
  // Compared as a difference: a moment that is past is no long wait.
  while (static_cast<std::int64_t>(cycles - rte_rdtsc()) > 0) rte_pause();
}

}  // namespace pollux::platform
