#include "control/service/memory_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

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

std::uint32_t free_hugepages() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  std::uint32_t pages = 0;
  return file >> pages ? pages : 0;
}

std::string check_memory(const Config& config, const platform::MemoryPlan& plan,
                         std::uint32_t hugepages_free) {
  if (config.memory.memory_mib != 0 && config.memory.memory_mib < plan.memory_mib) {
    return fmt::format("memory.memory_mib is {} but the pools need {}; set it to {} or 0",
                       config.memory.memory_mib, plan.memory_mib, plan.memory_mib);
  }
  const std::uint32_t pages = std::max(plan.hugepages, (config.memory.memory_mib + 1) / 2);
  if (!config.memory.hugepages || hugepages_free >= pages) return {};
  return fmt::format(
      "{} hugepages of 2 MiB are needed and {} are free; raise vm.nr_hugepages by {}, lower "
      "worker.sessions_max, or set memory.hugepages = false",
      pages, hugepages_free, pages - hugepages_free);
}

std::string describe_memory(const Config& config, const platform::MemoryPlan& plan) {
  std::string text = fmt::format("{} session(s) of {} commands for each worker\n",
                                 config.worker.sessions_max, config.worker.queue_depth);
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
