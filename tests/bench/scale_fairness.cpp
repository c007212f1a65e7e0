// What each of 64 sessions of one worker gets: of equal ones the slowest, and the small ones beside
// a greedy one.
#include <fmt/format.h>

#include <array>
#include <cstdio>

#include "tests/bench/scale.hpp"

namespace pollux::bench {
namespace {

constexpr std::uint32_t kSessions = 64;
constexpr std::uint32_t kGreedyDepth = 128;

struct Share {
  std::uint64_t least = ~std::uint64_t{0};
  std::uint64_t most = 0;
  std::uint64_t total = 0;
};

Share share_of(const Load& load) {
  Share share;
  for (const std::uint64_t count : load.completed_by_session()) {
    share.least = std::min(share.least, count);
    share.most = std::max(share.most, count);
    share.total += count;
  }
  return share;
}

double microseconds(const Rig& rig, const Load& load, std::uint32_t thousandths) {
  return static_cast<double>(load.latencies().percentile(thousandths)) * 1e6 /
         static_cast<double>(rig.stats(0).tsc_hz);
}

/// Turns the worker until the time is over; both loads go on.
void run(Rig& rig, double seconds, std::initializer_list<Load*> loads) {
  const std::uint64_t end =
      platform::TscClock::cycles() +
      static_cast<std::uint64_t>(seconds * static_cast<double>(rig.stats(0).tsc_hz));
  while (platform::TscClock::cycles() < end) {
    pollux_worker_poll(&rig.instance(), 0);
    for (Load* load : loads) load->reap(true);
  }
}

bool equal(Rig& rig, std::uint32_t depth, std::uint32_t io_size, double seconds,
           std::string& error) {
  LoadOptions options;
  options.depth = depth;
  options.io_size = io_size;
  options.working_set = 16u << 20;
  Load load(options, rig.instance(), 0, rig.sessions(), rig.lun());
  if (!load.open(error)) return false;
  load.fill();
  run(rig, seconds / 4, {&load});
  load.forget();
  run(rig, seconds, {&load});
  const Share share = share_of(load);
  const double mean = static_cast<double>(share.total) / kSessions;
  fmt::print(
      "{{\"contender\": \"pollux\", \"measure\": \"fairness\", \"case\": \"equal\", \"sessions\": "
      "{}, \"queue_depth\": {}, \"io_size\": {}, \"completed\": {}, \"slowest_share\": {:.4f}, "
      "\"fastest_share\": {:.4f}, \"p50_latency_us\": {:.1f}, \"p99_latency_us\": {:.1f}, "
      "\"failed\": {}}}\n",
      kSessions, depth, io_size, share.total, static_cast<double>(share.least) / mean,
      static_cast<double>(share.most) / mean, microseconds(rig, load, 500),
      microseconds(rig, load, 990), load.failed());
  return load.failed() == 0;
}

/// 63 sessions with one command each beside one with many; then the 63 alone.
bool greedy(Rig& rig, std::uint32_t io_size, double seconds, std::string& error) {
  const auto& sessions = rig.sessions();
  LoadOptions small;
  small.depth = 1;
  small.working_set = 4u << 20;
  LoadOptions large = small;
  large.depth = kGreedyDepth;
  large.io_size = io_size;
  large.working_set = 16u << 20;
  Load modest(small, rig.instance(), 0, {sessions.begin() + 1, sessions.end()}, rig.lun());
  if (!modest.open(error)) return false;
  modest.fill();
  run(rig, seconds / 4, {&modest});
  modest.forget();
  run(rig, seconds, {&modest});
  const std::uint64_t alone = modest.completed();
  const double alone_p99 = microseconds(rig, modest, 990);
  Load greedy(large, rig.instance(), 0, {sessions.front()}, rig.lun());
  if (!greedy.open(error)) return false;
  greedy.fill();
  run(rig, seconds / 4, {&modest, &greedy});
  modest.forget();
  greedy.forget();
  run(rig, seconds, {&modest, &greedy});
  const Share share = share_of(modest);
  fmt::print(
      "{{\"contender\": \"pollux\", \"measure\": \"fairness\", \"case\": \"greedy\", "
      "\"sessions\": {}, \"queue_depth\": 1, \"greedy_queue_depth\": {}, \"greedy_io_size\": {}, "
      "\"greedy_completed\": {}, \"completed\": {}, \"completed_alone\": {}, \"slowest_share\": "
      "{:.4f}, \"p99_latency_us\": {:.1f}, \"p99_latency_alone_us\": {:.1f}, \"failed\": {}}}\n",
      kSessions, kGreedyDepth, io_size, greedy.completed(), share.total, alone,
      static_cast<double>(share.least) * (kSessions - 1) / static_cast<double>(share.total),
      microseconds(rig, modest, 990), alone_p99, modest.failed() + greedy.failed());
  return modest.failed() + greedy.failed() == 0;
}

}  // namespace

int measure_fairness(const ScaleOptions& options) {
  RigOptions rig_options;
  rig_options.sessions = kSessions;
  rig_options.target_cpu = options.target_cpu;
  Rig rig(rig_options);
  std::string error;
  if (!rig.open(error)) return fail(error);
  pin_to(options.cpu);
  const double seconds = options.is_short ? 0.3 : 3;
  const bool ok = equal(rig, 4, 4096, seconds, error) && equal(rig, 32, 4096, seconds, error) &&
                  equal(rig, 4, 128 * KiB, seconds, error) && greedy(rig, 4096, seconds, error) &&
                  greedy(rig, 128 * KiB, seconds, error);
  if (!ok) return fail(error.empty() ? "commands failed" : error);
  return rig.target()->violations() == 0 ? 0 : fail("the target saw violations of the protocol");
}

}  // namespace pollux::bench
