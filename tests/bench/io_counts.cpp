// What one command costs in things that can be counted exactly: worker and target take turns on one
// thread, by a clock of our own, so that every run does the same. Under callgrind, which sees only
// measured_turn() and measured_calls(), it gives instructions; by itself, cycles of a worker whose
// neighbour is quiet.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "control/library/instance.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/rig.hpp"

namespace {

using namespace pollux;
using platform::TscClock;

constexpr Duration kTurn = std::chrono::microseconds(5);
/// Of the target, until what the worker sent is answered.
constexpr int kTargetTurns = 4;

/// What callgrind is told to look at (--toggle-collect).
[[gnu::noinline]] std::size_t measured_turn(worker::Worker& worker, Instant now) {
  return worker.poll_once(now);
}
[[gnu::noinline]] std::size_t measured_calls(bench::Load& load) { return load.reap(true); }

/// The same where callgrind does not look.
std::size_t warm_turn(worker::Worker& worker, Instant now) { return worker.poll_once(now); }
std::size_t warm_calls(bench::Load& load) { return load.reap(true); }

struct Flags {
  bench::RigOptions rig;
  bench::LoadOptions load;
  std::uint64_t ios = 20'000;
  std::uint64_t warm_up = 5'000;
};

struct Counts {
  std::uint64_t ios = 0;
  std::uint64_t turns = 0;
  std::uint64_t turn_cycles = 0;
  std::uint64_t call_cycles = 0;
};

class TurnByTurn {
 public:
  TurnByTurn(bench::Rig& rig, bench::Load& load)
      : worker_(*rig.instance().units[0]->worker),
        target_(rig.target()->target()),
        load_(load),
        now_(rig.instance().clock->now()) {}

  void warm_up(std::uint64_t ios) { run<warm_turn, warm_calls>(ios); }
  Counts measure(std::uint64_t ios) { return run<measured_turn, measured_calls>(ios); }

 private:
  template <auto kTurnOnce, auto kCalls>
  Counts run(std::uint64_t ios) {
    Counts counts;
    while (counts.ios < ios) {
      const std::uint64_t start = TscClock::cycles();
      counts.turns += kTurnOnce(worker_, now_) != 0;
      const std::uint64_t middle = TscClock::cycles();
      for (std::size_t reaped = 1; reaped != 0; counts.ios += reaped) reaped = kCalls(load_);
      counts.call_cycles += TscClock::cycles() - middle;
      counts.turn_cycles += middle - start;
      for (int i = 0; i < kTargetTurns; ++i) target_.poll_once(now_);
      now_ += kTurn;
    }
    return counts;
  }

  worker::Worker& worker_;
  target::Target& target_;
  bench::Load& load_;
  Instant now_;
};

int measure(const Flags& flags) {
  bench::Rig rig(flags.rig);
  std::string error;
  if (!rig.open(error)) {
    fmt::print(stderr, "io_counts: {}\n", error);
    return 1;
  }
  bench::Load load(flags.load, rig.instance(), 0, rig.sessions(), rig.lun());
  if (!load.open(error)) {
    fmt::print(stderr, "io_counts: {}\n", error);
    return 1;
  }
  rig.target()->pause();
  TurnByTurn turns(rig, load);
  load.fill();
  turns.warm_up(flags.warm_up);
  load.forget();
  const pollux_worker_stats before = rig.stats(0);
  const Counts counts = turns.measure(flags.ios);
  const pollux_worker_stats after = rig.stats(0);
  const bool started = rig.target()->start();
  const auto per_io = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(counts.ios);
  };
  fmt::print(
      "{{\"ios\": {}, \"turn_cycles\": {:.1f}, \"call_cycles\": {:.1f}, \"turns\": {:.4f}, "
      "\"frames_received\": {:.4f}, \"frames_sent\": {:.4f}, \"copied_bytes\": {:.1f}, "
      "\"failed\": {}}}\n",
      counts.ios, per_io(counts.turn_cycles), per_io(counts.call_cycles), per_io(counts.turns),
      per_io(after.frames_received - before.frames_received),
      per_io(after.frames_sent - before.frames_sent),
      per_io(after.copied_bytes - before.copied_bytes), load.failed());
  return load.failed() == 0 && started ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"io_counts: what one command costs, counted exactly"};
  app.add_option("-w,--workload", flags.load.workload);
  app.add_option("--digests", flags.rig.digests)->check(CLI::IsMember({"none", "header", "both"}));
  app.add_option("--memory", flags.load.memory);
  app.add_option("--wire", flags.rig.wire)->check(CLI::IsMember({"ring", "virtio_user", "memif"}));
  app.add_option("-o,--io-size", flags.load.io_size);
  app.add_option("-q,--depth", flags.load.depth);
  app.add_option("--sessions", flags.rig.sessions);
  app.add_option("--mtu", flags.rig.mtu);
  app.add_option("--ios", flags.ios);
  app.add_option("--warm-up", flags.warm_up);
  CLI11_PARSE(app, argc, argv);
  return measure(flags);
}
