// Cycles of one command by the number of sessions that share the worker. All sessions of a rig stay
// logged in; each point loads some of them, and the points are measured in rounds, so that what
// else the machine does falls on all of them.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <memory>

#include "control/ratio.hpp"
#include "tests/bench/scale.hpp"

namespace pollux::bench {
namespace {

struct Point {
  std::uint32_t sessions;
  std::uint32_t depth;  ///< of each session
  std::vector<double> turn;
  std::vector<double> call;
  std::vector<double> busy;
  double frames_sent = 0;
  double frames_received = 0;
};

/// The same commands in flight however many sessions have them; then one session at the depth that
/// section 6 of the design measures at, and alone with one command.
std::vector<Point> points_up_to(std::uint32_t sessions) {
  std::vector<Point> points;
  for (const std::uint32_t n : {1u, 16u, 64u, 256u, 1024u})
    if (n <= sessions) points.push_back({.sessions = n, .depth = sessions / n});
  points.push_back({.sessions = 1, .depth = 32});
  points.push_back({.sessions = std::min(32u, sessions), .depth = 1});
  points.push_back({.sessions = 1, .depth = 1});
  return points;
}

double per(std::uint64_t amount, std::uint64_t ios) {
  return ratio(static_cast<double>(amount), static_cast<double>(ios));
}

class Round {
 public:
  Round(Rig& rig, Point& point) : rig_(rig), point_(point) {}

  bool run(std::uint64_t chunks, double seconds, std::string& error) {
    LoadOptions options;
    options.depth = point_.depth;
    // The same memory whatever the point: else the caches of few buffers are measured.
    options.working_set = kWorkingSet;
    const auto first = rig_.sessions().begin();
    Load load(options, rig_.instance(), 0, {first, first + point_.sessions}, rig_.lun());
    if (!load.open(error)) return false;
    rig_.target()->pause();
    load.fill();
    in_turns(load, chunks);
    if (!rig_.target()->start()) {
      error = "the target cannot go on";
      return false;
    }
    in_threads(load, seconds);
    if (load.failed() != 0) error = fmt::format("{} commands failed", load.failed());
    return load.failed() == 0;
  }

 private:
  static constexpr std::uint64_t kWorkingSet = 4u << 20;
  static constexpr std::uint64_t kWarmUpIos = 4096;
  /// Short enough that many pass without the machine taking the CPU away.
  static constexpr std::uint64_t kChunkIos = 128;

  void in_turns(Load& load, std::uint64_t chunks) {
    Turns turns(rig_);
    turns.run(load, kWarmUpIos);
    const pollux_worker_stats before = rig_.stats(0);
    std::uint64_t ios = 0;
    for (std::uint64_t i = 0; i < chunks; ++i) {
      const Turns::Cycles cycles = turns.run(load, kChunkIos);
      point_.turn.push_back(per(cycles.worker, cycles.ios));
      point_.call.push_back(per(cycles.calls, cycles.ios));
      ios += cycles.ios;
    }
    const pollux_worker_stats after = rig_.stats(0);
    point_.frames_sent = per(after.frames_sent - before.frames_sent, ios);
    point_.frames_received = per(after.frames_received - before.frames_received, ios);
  }

  void in_threads(Load& load, double seconds) {
    const pollux_worker_stats before = rig_.stats(0);
    load.forget();
    const std::uint64_t end =
        platform::TscClock::cycles() +
        static_cast<std::uint64_t>(seconds * static_cast<double>(before.tsc_hz));
    while (platform::TscClock::cycles() < end) {
      pollux_worker_poll(&rig_.instance(), 0);
      load.reap(true);
    }
    point_.busy.push_back(per(rig_.stats(0).busy_cycles - before.busy_cycles, load.completed()));
  }

  Rig& rig_;
  Point& point_;
};

void print(std::vector<Point>& points) {
  // Of chunks, the fast half is what the code costs; the rest is what the machine took.
  const double one_turn = quantile(points.front().turn, 0.25);
  const double one_busy = quantile(points.front().busy, 0.25);
  for (Point& point : points) {
    const double turn = quantile(point.turn, 0.25);
    const double busy = quantile(point.busy, 0.25);
    fmt::print(
        "{{\"contender\": \"pollux\", \"measure\": \"scale_cycles\", \"sessions\": {}, "
        "\"queue_depth\": {}, \"turn_cycles_per_io\": {:.1f}, \"median_turn_cycles_per_io\": "
        "{:.1f}, \"call_cycles_per_io\": {:.1f}, \"busy_cycles_per_io\": {:.1f}, "
        "\"frames_sent_per_io\": {:.3f}, \"frames_received_per_io\": {:.3f}, "
        "\"ratio\": {:.3f}, \"busy_ratio\": {:.3f}}}\n",
        point.sessions, point.depth, turn, quantile(point.turn, 0.5), quantile(point.call, 0.25),
        busy, point.frames_sent, point.frames_received, turn / one_turn, busy / one_busy);
  }
}

}  // namespace

int measure_scale_cycles(const ScaleOptions& options) {
  RigOptions rig_options;
  rig_options.sessions = options.sessions != 0 ? options.sessions : options.is_short ? 64 : 1024;
  rig_options.target_cpu = options.target_cpu;
  Rig rig(rig_options);
  std::string error;
  if (!rig.open(error)) return fail(error);
  pin_to(options.cpu);
  std::vector<Point> points = points_up_to(rig_options.sessions);
  const int rounds = options.is_short ? 2 : 7;
  const std::uint64_t chunks = options.is_short ? 64 : 256;
  const double seconds = options.is_short ? 0.02 : 0.25;
  for (int i = 0; i < rounds; ++i)
    for (Point& point : points)
      if (!Round(rig, point).run(chunks, seconds, error)) return fail(error);
  print(points);
  return rig.target()->violations() == 0 ? 0 : fail("the target saw violations of the protocol");
}

}  // namespace pollux::bench
