#include "control/library/telemetry.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>
#include <vector>

#include "dataplane/platform/telemetry.hpp"

namespace pollux::library {
namespace {

using platform::TelemetryAnswer;

/// A command cannot be taken back: it outlives every instance. Held while one is looked at.
std::mutex instance_mutex;
const pollux_instance* told_instance = nullptr;  // under instance_mutex

/// Of "N"; a command without a number is about worker 0.
std::optional<std::uint32_t> worker_of(const char* parameters) {
  if (parameters == nullptr || *parameters == '\0') return 0;
  const char* end = parameters + std::strlen(parameters);
  std::uint32_t worker = 0;
  const auto [stop, fault] = std::from_chars(parameters, end, worker);
  if (fault != std::errc{} || stop != end) return std::nullopt;
  return worker;
}

std::optional<pollux_worker_stats> stats_of(const char* parameters) {
  const std::optional<std::uint32_t> worker = worker_of(parameters);
  pollux_worker_stats stats{};
  stats.size = sizeof(stats);
  const std::scoped_lock lock(instance_mutex);
  if (!worker || told_instance == nullptr ||
      pollux_worker_stats_get(told_instance, *worker, &stats) != POLLUX_OK)
    return std::nullopt;
  return stats;
}

bool answer_workers(const char*, TelemetryAnswer& answer) {
  const std::scoped_lock lock(instance_mutex);
  std::vector<std::uint64_t> workers(told_instance == nullptr ? 0
                                                              : pollux_worker_count(told_instance));
  std::iota(workers.begin(), workers.end(), 0);
  answer.list(workers);
  return true;
}

struct Row {
  const char* name;
  std::uint64_t pollux_worker_stats::*member;
};

constexpr auto kRows = std::to_array<Row>({
    {"turns", &pollux_worker_stats::turns},
    {"busy_cycles", &pollux_worker_stats::busy_cycles},
    {"idle_cycles", &pollux_worker_stats::idle_cycles},
    {"away_cycles", &pollux_worker_stats::away_cycles},
    {"tsc_hz", &pollux_worker_stats::tsc_hz},
    {"commands", &pollux_worker_stats::commands},
    {"read_bytes", &pollux_worker_stats::read_bytes},
    {"written_bytes", &pollux_worker_stats::written_bytes},
    {"copied_bytes", &pollux_worker_stats::copied_bytes},
    {"frames_received", &pollux_worker_stats::frames_received},
    {"frames_sent", &pollux_worker_stats::frames_sent},
    {"retransmitted_segments", &pollux_worker_stats::retransmitted_segments},
    {"buffers_in_use", &pollux_worker_stats::buffers_in_use},
    {"tasks_in_use", &pollux_worker_stats::tasks_in_use},
    {"timers_armed", &pollux_worker_stats::timers_armed},
});

bool answer_worker(const char* parameters, TelemetryAnswer& answer) {
  const auto stats = stats_of(parameters);
  if (!stats) return false;
  for (const Row& row : kRows) answer.add(row.name, (*stats).*row.member);
  answer.add("received_bursts", std::span<const std::uint64_t>(stats->received_bursts));
  answer.add("sent_bursts", std::span<const std::uint64_t>(stats->sent_bursts));
  return true;
}

bool answer_stages(const char* parameters, TelemetryAnswer& answer) {
  const auto stats = stats_of(parameters);
  if (!stats) return false;
  for (std::uint32_t stage = 0; stage < POLLUX_STAGES; ++stage)
    answer.add(pollux_stage_name(stage), stats->sampled_cycles[stage]);
  return true;
}

constexpr auto kCommands = std::to_array<platform::TelemetryCommand>({
    {"/pollux/workers", "Lists pollux's workers. Takes no parameters.", &answer_workers},
    {"/pollux/worker",
     "Counters of a worker; bursts of 1, 2, to 4, 8, 16, 32 and more frames. "
     "Parameters: int worker",
     &answer_worker},
    {"/pollux/stages", "Sampled cycles of a worker by stage. Parameters: int worker",
     &answer_stages},
});

}  // namespace

void attach_telemetry(const pollux_instance& instance) {
  platform::register_telemetry(kCommands);
  const std::scoped_lock lock(instance_mutex);
  told_instance = &instance;
}

void detach_telemetry(const pollux_instance& instance) {
  const std::scoped_lock lock(instance_mutex);
  if (told_instance == &instance) told_instance = nullptr;
}

}  // namespace pollux::library
