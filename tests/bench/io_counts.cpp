// What one command costs in things that can be counted exactly: worker and target take turns on one
// thread, by a clock of our own, so that every run does the same. Under callgrind, which sees only
// measured_turn() and measured_calls(), it gives instructions; by itself, cycles of a worker whose
// neighbour is quiet.
#include <fmt/format.h>
#include <immintrin.h>
#include <pthread.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
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
  int cpu = 0;
  int far_cpu = -1;  ///< the target takes its turns there; -1: on the same thread
};

struct Counts {
  std::uint64_t ios = 0;
  std::uint64_t turns = 0;
  std::uint64_t turn_cycles = 0;
  std::uint64_t call_cycles = 0;
  std::vector<double> turn_cycles_per_io;  ///< of each kChunk, so that a disturbance shows as one
};

constexpr std::uint64_t kChunk = 1024;

double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/// The target's turns: here, or on a thread of another CPU that waits its turn, so that lines of
/// the cache change hands as between two machines' cores while both never run at once.
class FarEnd {
 public:
  FarEnd(target::Target& target, int cpu) : target_(target) {
    if (cpu >= 0) thread_ = std::thread([this, cpu] { serve(cpu); });
  }
  ~FarEnd() {
    if (!thread_.joinable()) return;
    baton_.store(kStop, std::memory_order_release);
    thread_.join();
  }
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;

  void turns(Instant now) {
    now_ = now;
    if (!thread_.joinable()) return take_turns();
    baton_.store(kFar, std::memory_order_release);
    while (baton_.load(std::memory_order_acquire) != kNear) _mm_pause();
  }

 private:
  enum Baton : int { kNear, kFar, kStop };

  void take_turns() {
    for (int i = 0; i < kTargetTurns; ++i) target_.poll_once(now_);
  }
  void serve(int cpu) {
    pin(cpu);
    std::string ignored;
    (void)platform::register_worker_thread(ignored);
    for (;;) {
      const int baton = baton_.load(std::memory_order_acquire);
      if (baton == kStop) break;
      if (baton == kFar) {
        take_turns();
        baton_.store(kNear, std::memory_order_release);
      }
      _mm_pause();
    }
    platform::unregister_worker_thread();
  }

  target::Target& target_;
  Instant now_{};
  alignas(64) std::atomic<int> baton_{kNear};
  std::thread thread_;
};

class TurnByTurn {
 public:
  TurnByTurn(bench::Rig& rig, bench::Load& load, int far_cpu)
      : worker_(*rig.instance().units[0]->worker),
        far_(rig.target()->target(), far_cpu),
        load_(load),
        now_(rig.instance().clock->now()) {}

  void warm_up(std::uint64_t ios) { run<warm_turn, warm_calls>(ios); }
  Counts measure(std::uint64_t ios) { return run<measured_turn, measured_calls>(ios); }

 private:
  template <auto kTurnOnce, auto kCalls>
  Counts run(std::uint64_t ios) {
    Counts counts;
    std::uint64_t chunk_ios = 0;
    std::uint64_t chunk_cycles = 0;
    while (counts.ios < ios) {
      const std::uint64_t start = TscClock::cycles();
      counts.turns += kTurnOnce(worker_, now_) != 0;
      const std::uint64_t middle = TscClock::cycles();
      std::uint64_t done = 0;
      for (std::size_t reaped = 1; reaped != 0; done += reaped) reaped = kCalls(load_);
      counts.call_cycles += TscClock::cycles() - middle;
      counts.turn_cycles += middle - start;
      counts.ios += done;
      chunk_ios += done;
      chunk_cycles += middle - start;
      if (chunk_ios >= kChunk) {
        counts.turn_cycles_per_io.push_back(static_cast<double>(chunk_cycles) /
                                            static_cast<double>(chunk_ios));
        chunk_ios = chunk_cycles = 0;
      }
      far_.turns(now_);
      now_ += kTurn;
    }
    return counts;
  }

  worker::Worker& worker_;
  FarEnd far_;
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
  pin(flags.cpu);
  load.fill();
  pollux_worker_stats before{};
  pollux_worker_stats after{};
  Counts counts;
  {
    TurnByTurn turns(rig, load, flags.far_cpu);
    turns.warm_up(flags.warm_up);
    load.forget();
    before = rig.stats(0);
    counts = turns.measure(flags.ios);
    after = rig.stats(0);
  }
  const bool started = rig.target()->start();
  const auto per_io = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(counts.ios);
  };
  fmt::print(
      "{{\"ios\": {}, \"turn_cycles\": {:.1f}, \"turn_cycles_least\": {:.1f}, "
      "\"turn_cycles_median\": {:.1f}, \"call_cycles\": {:.1f}, \"turns\": {:.4f}, "
      "\"frames_received\": {:.4f}, \"frames_sent\": {:.4f}, \"copied_bytes\": {:.1f}, "
      "\"failed\": {}}}\n",
      counts.ios, per_io(counts.turn_cycles), quantile(counts.turn_cycles_per_io, 0),
      quantile(counts.turn_cycles_per_io, 0.5), per_io(counts.call_cycles), per_io(counts.turns),
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
  app.add_option("--cpu", flags.cpu);
  app.add_option("--far-cpu", flags.far_cpu, "of the target; else it shares the thread");
  app.add_option("--ios", flags.ios);
  app.add_option("--warm-up", flags.warm_up);
  CLI11_PARSE(app, argc, argv);
  return measure(flags);
}
