// Cycles of one command by the number of sessions that share the worker. All sessions of a rig stay
// logged in; each point loads some of them, and the points are measured in rounds, so that what
// else the machine does falls on all of them. "One session" can mean three things, so there are
// three ratios.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "control/ratio.hpp"
#include "tests/bench/quantile.hpp"
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

  /// Of chunks, the fast half is what the code costs; the rest is what the machine took.
  [[nodiscard]] double turn_cycles() const { return quantile(turn, 0.25); }
  [[nodiscard]] double busy_cycles() const { return quantile(busy, 0.25); }
};

/// What one queue takes, divided among all.
std::uint32_t depth_each(std::uint32_t sessions) { return std::clamp(4096u / sessions, 1u, 32u); }

std::vector<Point> points_up_to(std::uint32_t sessions) {
  std::vector<Point> points;
  // The same commands in flight however many sessions have them.
  for (const std::uint32_t n : {1u, 16u, 64u, 256u, 1024u})
    if (n <= sessions) points.push_back({.sessions = n, .depth = sessions / n});
  // So many for each session.
  for (const std::uint32_t depth : {1u, depth_each(sessions)})
    for (const std::uint32_t n : {1u, sessions})
      if (depth != sessions / n) points.push_back({.sessions = n, .depth = depth});
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

void print(const Point& point) {
  fmt::print(
      "{{\"contender\": \"pollux\", \"measure\": \"scale_cycles\", \"sessions\": {}, "
      "\"queue_depth\": {}, \"turn_cycles_per_io\": {:.1f}, \"median_turn_cycles_per_io\": "
      "{:.1f}, \"call_cycles_per_io\": {:.1f}, \"busy_cycles_per_io\": {:.1f}, "
      "\"frames_sent_per_io\": {:.3f}, \"frames_received_per_io\": {:.3f}}}\n",
      point.sessions, point.depth, point.turn_cycles(), quantile(point.turn, 0.5),
      quantile(point.call, 0.25), point.busy_cycles(), point.frames_sent, point.frames_received);
}

/// All sessions with `depth` each, against one with `one_depth`.
void print_ratio(const std::vector<Point>& points, std::uint32_t sessions, const char* compared,
                 std::uint32_t depth, std::uint32_t one_depth) {
  const auto find = [&points](std::uint32_t n, std::uint32_t each) {
    return std::find_if(points.begin(), points.end(), [n, each](const Point& point) {
      return point.sessions == n && point.depth == each;
    });
  };
  const auto many = find(sessions, depth);
  const auto one = find(1, one_depth);
  if (many == points.end() || one == points.end()) return;
  fmt::print(
      "{{\"contender\": \"pollux\", \"measure\": \"scale_ratio\", \"compared\": \"{}\", "
      "\"sessions\": {}, \"queue_depth\": {}, \"one_queue_depth\": {}, "
      "\"turn_cycles_per_io\": {:.1f}, \"one_turn_cycles_per_io\": {:.1f}, \"ratio\": {:.3f}, "
      "\"busy_ratio\": {:.3f}}}\n",
      compared, sessions, depth, one_depth, many->turn_cycles(), one->turn_cycles(),
      many->turn_cycles() / one->turn_cycles(), many->busy_cycles() / one->busy_cycles());
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
  for (const Point& point : points) print(point);
  const std::uint32_t sessions = rig_options.sessions;
  const std::uint32_t each = depth_each(sessions);
  print_ratio(points, sessions, "several commands each", each, each);
  print_ratio(points, sessions, "one command each", 1, 1);
  print_ratio(points, sessions, "the same commands in flight", 1, sessions);
  return rig.target()->violations() == 0 ? 0 : fail("the target saw violations of the protocol");
}

}  // namespace pollux::bench
