#include "control/service/memory_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "control/service/worker_sizes.hpp"
#include "dataplane/platform/driver_quirks.hpp"

namespace pollux::service {
namespace {

const char* pool_name(platform::PlanPool pool) {
  switch (pool) {
    case platform::PlanPool::rx:
      return "receive";
    case platform::PlanPool::frames:
      return "frames";
    case platform::PlanPool::reserve:
      return "reserve";
    case platform::PlanPool::external:
      return "external";
  }
  return "";
}

}  // namespace

platform::MemoryPlanInput memory_plan_input(const Config& config) {
  platform::MemoryPlanInput input;
  input.workers = static_cast<std::uint32_t>(worker_count(config));
  // Every worker serves every port.
  input.ports = static_cast<std::uint32_t>(std::max<std::size_t>(1, config.ports.size()));
  input.sessions = config.worker.sessions_max * input.workers;
  input.queue_depth = config.worker.queue_depth;
  input.trackers = static_cast<std::uint32_t>(trackers_needed(config));
  input.mtu = 0;
  for (const PortConfig& port : config.ports) {
    input.mtu = std::max<std::uint32_t>(input.mtu, port.mtu);
    if (port.device.starts_with("ring:")) input.in_process_wire = true;
    const platform::DriverQuirks& quirks =
        platform::quirks_of(platform::driver_of_device(port.device));
    if (quirks.rx_room_lost != 0) input.one_buffer_frames = true;
  }
  if (input.mtu == 0) input.mtu = PortConfig{}.mtu;
  return input;
}

std::uint32_t free_hugepages() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  std::uint32_t pages = 0;
  return file >> pages ? pages : 0;
}

bool check_memory(const Config& config, std::uint32_t hugepages_free, platform::MemoryPlan& plan,
                  std::string& error) {
  if (!platform::plan_memory(memory_plan_input(config), plan, error)) return false;
  if (config.memory.memory_mib != 0 && config.memory.memory_mib < plan.memory_mib) {
    error = fmt::format("memory.memory_mib is {} but the pools need {}; set it to {} or 0",
                        config.memory.memory_mib, plan.memory_mib, plan.memory_mib);
    return false;
  }
  const std::uint32_t memory_mib = std::max(plan.memory_mib, config.memory.memory_mib);
  const std::uint32_t pages = std::max(plan.hugepages, (memory_mib + 1) / 2);
  if (config.memory.hugepages && hugepages_free < pages) {
    error = fmt::format(
        "{} hugepages of 2 MiB are needed and {} are free; set vm.nr_hugepages to at least {} "
        "more, lower worker.sessions_max, or set memory.hugepages = false",
        pages, hugepages_free, pages - hugepages_free);
    return false;
  }
  return true;
}

std::string describe_memory(const Config& config, const platform::MemoryPlan& plan) {
  const platform::MemoryPlanInput input = memory_plan_input(config);
  std::string text =
      fmt::format("{} worker(s), {} port(s), {} sessions with {} commands each, MTU {}\n",
                  input.workers, input.ports, input.sessions, input.queue_depth, input.mtu);
  text += "buffers of each worker, by pool and place:\n";
  for (const platform::MemoryPlanLine& line : plan.lines) {
    text += fmt::format("  {:<9} {:>9}  {}\n", pool_name(line.pool), line.buffers, line.place);
  }
  text += fmt::format("memory: {:.1f} MiB for each worker, {:.1f} MiB in all; EAL memory {} MiB\n",
                      static_cast<double>(plan.bytes_per_worker) / 1048576.0,
                      static_cast<double>(plan.total_bytes) / 1048576.0, plan.memory_mib);
  text += config.memory.hugepages ? fmt::format("hugepages: {} of 2 MiB\n", plan.hugepages)
                                  : "hugepages: not used\n";
  return text;
}

}  // namespace pollux::service
