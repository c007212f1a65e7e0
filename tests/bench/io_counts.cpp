// What one command costs in things that can be counted exactly: worker and target take turns on one
// thread, by a clock of our own, so that every run does the same. Under callgrind, told to look at
// measured_turn() and measured_calls() alone, it dumps the instructions of each row (io_gate.py
// compares them with what they were); by itself it gives cycles.
#include <fmt/format.h>
#include <immintrin.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/quantile.hpp"
#include "tests/bench/rig.hpp"
#include "tests/bench/thread_time.hpp"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else  // the program still counts all but instructions
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name)
#endif

namespace {

using namespace pollux;
using platform::TscClock;

/// Shorter than any real turn, so that our clock never runs ahead of the instance's own.
constexpr Duration kTurn = std::chrono::microseconds(1);
/// A step on the way back to it: shorter than any timer that a session hangs on.
constexpr Duration kCatchUp = std::chrono::milliseconds(1);
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

/// One kind of command, "WORKLOAD MEMORY IO_SIZE DEPTH".
struct Row {
  std::string text;
  bench::LoadOptions load;
};

struct Flags {
  bench::RigOptions rig;
  std::vector<std::string> rows;
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
    bench::pin_to(cpu);
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
        clock_(*rig.instance().clock),
        now_(clock_.now()) {}
  /// What ran by our clock goes on by the instance's: a leap of minutes, as under callgrind, would
  /// look to both ends as if the other had died.
  ~TurnByTurn() {
    for (; now_ < clock_.now(); now_ += kCatchUp) {
      worker_.poll_once(now_);
      while (load_.reap(false) != 0) continue;
      far_.turns(now_);
    }
  }
  TurnByTurn(const TurnByTurn&) = delete;
  TurnByTurn& operator=(const TurnByTurn&) = delete;

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
  const platform::TscClock& clock_;
  Instant now_;
};

/// What the data path counts for itself.
struct Books {
  std::uint64_t frames_received = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t receive_bursts = 0;
  std::uint64_t transmit_bursts = 0;
  std::uint64_t buffers = 0;  ///< received, and sent or attached
  std::uint64_t copied_bytes = 0;
  std::uint64_t digested_bytes = 0;
  std::uint64_t sent_bytes = 0;  ///< of frames, headers and all
};

Books read_books(bench::Rig& rig) {
  const platform::PortCounters& port = rig.near_port()->counters();
  const iscsi::Counters& commands = rig.instance().units[0]->worker->initiator().counters();
  return {.frames_received = port.rx_frames.get(),
          .frames_sent = port.tx_frames.get(),
          .receive_bursts = port.rx_bursts.get(),
          .transmit_bursts = port.tx_bursts.get(),
          .buffers = port.rx_segments.get() + port.tx_segments.get(),
          .copied_bytes = commands.copied_bytes.get(),
          .digested_bytes = commands.digested_bytes.get(),
          .sent_bytes = port.tx_bytes.get()};
}

void print(const Row& row, const Flags& flags, const Counts& counts, const Books& before,
           const Books& after, std::uint64_t failed) {
  const auto per_io = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(counts.ios);
  };
  fmt::print(
      "{{\"row\": \"{}\", \"digests\": \"{}\", \"sessions\": {}, \"ios\": {}, "
      "\"turn_cycles\": {:.1f}, \"turn_cycles_least\": {:.1f}, \"turn_cycles_median\": {:.1f}, "
      "\"call_cycles\": {:.1f}, ",
      row.text, flags.rig.digests, flags.rig.sessions, counts.ios, per_io(counts.turn_cycles),
      bench::quantile(counts.turn_cycles_per_io, 0),
      bench::quantile(counts.turn_cycles_per_io, 0.5), per_io(counts.call_cycles));
  const auto difference = [&](auto member) { return per_io(after.*member - before.*member); };
  fmt::print(
      "\"turns\": {:.4f}, \"frames_received\": {:.4f}, \"frames_sent\": {:.4f}, "
      "\"receive_bursts\": {:.4f}, \"transmit_bursts\": {:.4f}, \"buffers\": {:.4f}, "
      "\"copied_bytes\": {:.1f}, \"digested_bytes\": {:.1f}, \"sent_bytes\": {:.1f}, "
      "\"failed\": {}}}\n",
      per_io(counts.turns), difference(&Books::frames_received), difference(&Books::frames_sent),
      difference(&Books::receive_bursts), difference(&Books::transmit_bursts),
      difference(&Books::buffers), difference(&Books::copied_bytes),
      difference(&Books::digested_bytes), difference(&Books::sent_bytes), failed);
}

bool measure_row(const Row& row, const Flags& flags, bench::Rig& rig, std::string& error) {
  bench::Load load(row.load, rig.instance(), 0, rig.sessions(), rig.lun());
  if (!load.open(error)) return false;
  rig.target()->pause();
  bench::pin_to(flags.cpu);
  load.fill();
  Books before;
  Books after;
  Counts counts;
  {
    TurnByTurn turns(rig, load, flags.far_cpu);
    turns.warm_up(flags.warm_up);
    load.forget();
    before = read_books(rig);
    CALLGRIND_ZERO_STATS;
    counts = turns.measure(flags.ios);
    CALLGRIND_DUMP_STATS_AT(row.text.c_str());
    after = read_books(rig);
  }
  print(row, flags, counts, before, after, load.failed());
  if (!rig.target()->start()) error = "the target's thread does not start again";
  if (load.failed() != 0) error = "commands failed";
  return error.empty();
}

int measure(const Flags& flags) {
  std::vector<Row> rows;
  for (const std::string& text : flags.rows) {
    Row& row = rows.emplace_back();
    row.text = text;
    std::istringstream words(text);
    if (!(words >> row.load.workload >> row.load.memory >> row.load.io_size >> row.load.depth)) {
      fmt::print(stderr, "io_counts: \"{}\" is not WORKLOAD MEMORY IO_SIZE DEPTH\n", text);
      return 1;
    }
  }
  bench::Rig rig(flags.rig);
  std::string error;
  bool is_fine = rig.open(error);
  for (std::size_t i = 0; is_fine && i < rows.size(); ++i)
    is_fine = measure_row(rows[i], flags, rig, error);
  if (!is_fine) fmt::print(stderr, "io_counts: {}\n", error);
  return is_fine ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"io_counts: what one command costs, counted exactly"};
  app.add_option("--row", flags.rows, "WORKLOAD MEMORY IO_SIZE DEPTH; may be repeated");
  app.add_option("--digests", flags.rig.digests)->check(CLI::IsMember({"none", "header", "both"}));
  app.add_option("--wire", flags.rig.wire)->check(CLI::IsMember({"ring", "virtio_user", "memif"}));
  app.add_option("--sessions", flags.rig.sessions);
  app.add_option("--mtu", flags.rig.mtu);
  app.add_option("--cpu", flags.cpu);
  app.add_option("--far-cpu", flags.far_cpu, "of the target; else it shares the thread");
  app.add_option("--ios", flags.ios);
  app.add_option("--warm-up", flags.warm_up);
  CLI11_PARSE(app, argc, argv);
  if (flags.rows.empty()) flags.rows = {"randread placed 4096 32"};
  return measure(flags);
}
