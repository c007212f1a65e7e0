#include "tests/bench/figures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "control/ratio.hpp"

namespace pollux::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Steps of the histogram in one octave: fine enough for a plot, few enough for a page.
constexpr double kStepsOfOctave = 4;
/// In thousandths.
constexpr std::uint32_t kPercentiles[] = {10, 100, 250, 500, 750, 900, 950, 990, 999, 1000};

double rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

Json percentiles(const service::LatencyHistogram& latencies, double us_per_cycle) {
  Json pairs = Json::array();
  for (const std::uint32_t part : kPercentiles)
    pairs.push_back(
        {part / 10.0, rounded(static_cast<double>(latencies.percentile(part)) * us_per_cycle, 3)});
  return pairs;
}

Json histogram(const service::LatencyHistogram& latencies, double us_per_cycle) {
  std::map<int, std::uint64_t> steps;
  latencies.for_each_step([&](std::uint64_t cycles, std::uint64_t count) {
    const double us = std::max(static_cast<double>(cycles), 1.0) * us_per_cycle;
    steps[static_cast<int>(std::ceil(std::log2(us) * kStepsOfOctave))] += count;
  });
  Json pairs = Json::array();
  for (const auto& [step, count] : steps)
    pairs.push_back({rounded(std::exp2(step / kStepsOfOctave), 3), count});
  return pairs;
}

using Bursts = std::uint64_t (pollux_worker_stats::*)[POLLUX_BURST_SIZES];

void add_bursts(Json& json, const Figures& figures, const std::string& direction, Bursts bursts,
                std::uint64_t frames) {
  Json counts = Json::array();
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < POLLUX_BURST_SIZES; ++i) {
    counts.push_back((figures.after.*bursts)[i] - (figures.before.*bursts)[i]);
    all += (figures.after.*bursts)[i] - (figures.before.*bursts)[i];
  }
  json[direction + "_bursts"] = counts;
  json["frames_per_" + direction + "_burst"] =
      rounded(ratio(static_cast<double>(frames), static_cast<double>(all)), 2);
}

/// Empty when no turn was measured meanwhile.
Json stages_per_io(const pollux_worker_stats& before, const pollux_worker_stats& after,
                   double ios) {
  std::array<std::uint64_t, POLLUX_STAGES> sampled{};
  for (std::size_t i = 0; i < POLLUX_STAGES; ++i)
    sampled[i] = after.sampled_cycles[i] - before.sampled_cycles[i];
  Json stages = Json::object();
  if (std::all_of(sampled.begin(), sampled.end(), [](std::uint64_t n) { return n == 0; }))
    return stages;
  const std::vector<double> costs =
      spread(static_cast<double>(after.busy_cycles - before.busy_cycles) / ios, sampled);
  for (std::uint32_t i = 0; i < POLLUX_STAGES; ++i)
    stages[pollux_stage_name(i)] = rounded(costs[i], 1);
  return stages;
}

void add_worker(Json& json, const Figures& figures, double ios) {
  const pollux_worker_stats& after = figures.after;
  const pollux_worker_stats& before = figures.before;
  const auto per_io = [&](std::uint64_t pollux_worker_stats::*counter, int digits) {
    return rounded(static_cast<double>(after.*counter - before.*counter) / ios, digits);
  };
  json["busy_cycles_per_io"] = per_io(&pollux_worker_stats::busy_cycles, 1);
  json["idle_cycles_per_io"] = per_io(&pollux_worker_stats::idle_cycles, 1);
  json["caller_cycles_per_io"] = rounded(static_cast<double>(figures.caller_cycles) / ios, 1);
  json["stage_cycles_per_io"] = stages_per_io(before, after, ios);
  json["copied_bytes_per_io"] = per_io(&pollux_worker_stats::copied_bytes, 1);
  json["frames_received_per_io"] = per_io(&pollux_worker_stats::frames_received, 4);
  json["frames_sent_per_io"] = per_io(&pollux_worker_stats::frames_sent, 4);
  json["retransmitted"] = after.retransmitted_segments - before.retransmitted_segments;
  add_bursts(json, figures, "received", &pollux_worker_stats::received_bursts,
             after.frames_received - before.frames_received);
  add_bursts(json, figures, "sent", &pollux_worker_stats::sent_bursts,
             after.frames_sent - before.frames_sent);
}

}  // namespace

std::string to_json(const RigOptions& rig, const LoadOptions& options, const Load& load,
                    const Figures& figures) {
  const double ios = static_cast<double>(std::max<std::uint64_t>(load.completed(), 1));
  const auto hz = static_cast<double>(figures.after.tsc_hz);
  const auto elapsed = static_cast<double>(figures.elapsed_cycles);
  const double seconds = elapsed / hz;
  const auto busy = static_cast<double>(figures.after.busy_cycles - figures.before.busy_cycles);
  const auto target_busy = static_cast<double>(figures.target_busy_cycles);
  const double target_all = target_busy + static_cast<double>(figures.target_idle_cycles);
  const auto microseconds = [&](std::uint32_t thousandths) {
    return rounded(static_cast<double>(load.latencies().percentile(thousandths)) * 1e6 / hz, 3);
  };
  Json json;
  json["contender"] = "pollux";
  json["wire"] = (rig.port.empty() ? rig.wire : "port") +
                 std::string(rig.software_checksums ? "-software-checksums" : "");
  json["workload"] = options.workload;
  json["io_size"] = options.io_size;
  json["queue_depth"] = options.depth;
  json["sessions"] = rig.sessions;
  json["workers"] = rig.workers;
  json["digests"] = rig.digests;
  json["memory"] = options.memory;
  json["lun"] = rig.ram_lun ? "ram" : "null";
  json["poll"] = rig.poll_mode == POLLUX_POLL_EMBEDDER ? "embedder" : "library";
  json["working_set"] = options.working_set;
  json["mtu"] = rig.mtu;
  json["iops"] = rounded(ios / seconds, 0);
  json["mibps"] = rounded(mib_per_second(ios * options.io_size, seconds), 1);
  json["avg_latency_us"] = rounded(static_cast<double>(load.latencies().average()) * 1e6 / hz, 3);
  json["p50_latency_us"] = microseconds(500);
  json["p99_latency_us"] = microseconds(990);
  json["p999_latency_us"] = microseconds(999);
  // A caller's own work is in what getrusage says of a program, so it is in here as well.
  json["cpu_ns_per_io"] =
      rounded((busy + static_cast<double>(figures.caller_cycles)) / ios * 1e9 / hz, 1);
  add_worker(json, figures, ios);
  json["loop_cycles_per_io"] = rounded(elapsed / ios, 1);
  json["target_busy_cycles_per_io"] = rounded(target_busy / ios, 1);
  json["target_busy_share"] = rounded(ratio(target_busy, target_all), 3);
  json["tsc_hz"] = figures.after.tsc_hz;
  json["cpu_share"] = rounded(figures.cpu_seconds / seconds, 3);
  if (target_all != 0) json["target_poll_share"] = rounded(figures.target_cpu_seconds / seconds, 3);
  json["failed"] = load.failed();
  json["violations"] = figures.violations;
  json["latency_percentiles_us"] = percentiles(load.latencies(), 1e6 / hz);
  json["latency_histogram_us"] = histogram(load.latencies(), 1e6 / hz);
  return json.dump();
}

}  // namespace pollux::bench
