#include "control/service/worker_sizes.hpp"

#include <algorithm>
#include <string>

#include "control/service/memory_check.hpp"
#include "dataplane/iscsi/initiator.hpp"

namespace pollux::service {
namespace {

constexpr std::size_t kTasksLeast = 256;  // control's own queues need some even with one session
constexpr std::size_t kTasksMost =
    8192;  // a worker saturates long before; each takes about half a KiB

constexpr std::uint32_t kConnectionsToSpare = 16;

}  // namespace

std::size_t worker_count(const Config& config) noexcept {
  if (config.worker.workers != 0) return config.worker.workers;
  return std::max<std::size_t>(1, config.worker.cpus.size());
}

iscsi::Limits iscsi_limits(const Config& config) noexcept {
  iscsi::Limits limits;
  limits.connections = config.worker.sessions_max;
  limits.tasks = std::clamp(std::size_t{config.worker.queue_depth} * config.worker.sessions_max,
                            kTasksLeast, kTasksMost);
  return limits;
}

tcp::EngineTimers tcp_timers(const Config& config) {
  tcp::EngineTimers timers = tcp::EngineTimers::of(config.tcp.timers);
  // Longer than an application takes to answer a completion with its next command, and far shorter
  // than any round trip that a network makes.
  if (config.tcp.timers != tcp::TimerProfile::strict) timers.ack_hold = 5us;
  return timers;
}

tcp::EngineLimits tcp_limits(const Config& config) {
  tcp::EngineLimits limits;
  limits.congestion = config.tcp.congestion;
  // An old connection may wait for the acknowledgment of its FIN or for room for its RST while the
  // new one logs in. TIME-WAIT takes no connection.
  const std::uint32_t sessions = config.worker.sessions_max;
  limits.connections = sessions + std::max(sessions / 4, kConnectionsToSpare);
  platform::MemoryPlan plan;
  std::string error;
  const platform::MemoryPlanInput input = memory_plan_input(config);
  // A plan that cannot be had is refused by check_memory() before a worker exists.
  if (platform::plan_memory(input, plan, error)) {
    limits.receive_views_total = plan.receive_views_total;
    limits.receive_views_most = plan.receive_views_most;
    limits.receive_views_least = plan.receive_views_least;
    limits.receive_window_least = input.window_bytes_min;
  }
  return limits;
}

std::size_t trackers_needed(const Config& config) noexcept {
  return iscsi::Initiator::trackers_needed(iscsi_limits(config));
}

}  // namespace pollux::service
