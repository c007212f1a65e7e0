// See worker_rates.hpp.
#include "control/cli/worker_rates.hpp"

#include "control/cli/service_json.hpp"
#include "control/ratio.hpp"

namespace pollux::cli {
namespace {

std::uint64_t sum_in(const Json& worker, const char* name) {
  const auto found = worker.find(name);
  std::uint64_t sum = 0;
  if (found == worker.end() || !found->is_object()) return sum;
  for (const Json& value : *found)
    if (value.is_number_unsigned()) sum += value.get<std::uint64_t>();
  return sum;
}

WorkerSnapshot snapshot_of(const Json& worker) {
  WorkerSnapshot snapshot;
  if (!worker.is_object()) return snapshot;
  snapshot.busy_cycles = number_in(worker, "busy_cycles");
  snapshot.idle_cycles = number_in(worker, "idle_cycles");
  snapshot.away_cycles = number_in(worker, "away_cycles");
  snapshot.commands = number_in(worker, "commands");
  snapshot.read_bytes = number_in(worker, "read_bytes");
  snapshot.written_bytes = number_in(worker, "written_bytes");
  snapshot.frames_received = number_in(worker, "frames_received");
  snapshot.frames_sent = number_in(worker, "frames_sent");
  snapshot.received_bursts = sum_in(worker, "received_bursts");
  snapshot.sent_bursts = sum_in(worker, "sent_bursts");
  snapshot.retransmitted_segments = number_in(worker, "retransmitted_segments");
  snapshot.buffers_in_use = number_in(worker, "buffers_in_use");
  snapshot.tasks_in_use = number_in(worker, "tasks_in_use");
  const auto stages = worker.find("sampled_cycles");
  if (stages == worker.end() || !stages->is_object()) return snapshot;
  for (const auto& [name, cycles] : stages->items()) {
    if (!cycles.is_number_unsigned()) continue;
    snapshot.stages.push_back(clean(name));
    snapshot.sampled_cycles.push_back(cycles.get<std::uint64_t>());
  }
  return snapshot;
}

std::uint64_t grown(std::uint64_t before, std::uint64_t after) {
  return after > before ? after - before : 0;
}

/// By stage, of all that was sampled between the two.
std::vector<std::pair<std::string, double>> stage_percent(const WorkerSnapshot& before,
                                                          const WorkerSnapshot& after) {
  std::vector<std::uint64_t> sampled = after.sampled_cycles;
  for (std::size_t i = 0; i < sampled.size(); ++i)
    if (i < before.stages.size() && before.stages[i] == after.stages[i])
      sampled[i] = grown(before.sampled_cycles[i], sampled[i]);
  const std::vector<double> shares = spread(100, sampled);
  std::vector<std::pair<std::string, double>> percent;
  for (std::size_t i = 0; i < shares.size(); ++i) percent.emplace_back(after.stages[i], shares[i]);
  return percent;
}

}  // namespace

std::vector<WorkerSnapshot> worker_snapshots(const Json& stats) {
  std::vector<WorkerSnapshot> snapshots;
  for (const Json& worker : list_in(stats, "workers")) snapshots.push_back(snapshot_of(worker));
  return snapshots;
}

WorkerRates rates_between(const WorkerSnapshot& before, const WorkerSnapshot& after,
                          double seconds) {
  const auto change = [&](std::uint64_t WorkerSnapshot::*counter) {
    return static_cast<double>(grown(before.*counter, after.*counter));
  };
  using S = WorkerSnapshot;
  WorkerRates rates;
  const double busy = change(&S::busy_cycles);
  const double commands = change(&S::commands);
  rates.iops = ratio(commands, seconds);
  rates.read_mib = mib_per_second(change(&S::read_bytes), seconds);
  rates.written_mib = mib_per_second(change(&S::written_bytes), seconds);
  rates.busy_percent = 100 * ratio(busy, busy + change(&S::idle_cycles) + change(&S::away_cycles));
  rates.cycles_per_io = ratio(busy, commands);
  rates.received_burst = ratio(change(&S::frames_received), change(&S::received_bursts));
  rates.sent_burst = ratio(change(&S::frames_sent), change(&S::sent_bursts));
  rates.retransmissions = ratio(change(&S::retransmitted_segments), seconds);
  rates.buffers_in_use = after.buffers_in_use;
  rates.tasks_in_use = after.tasks_in_use;
  rates.stage_percent = stage_percent(before, after);
  return rates;
}

}  // namespace pollux::cli
