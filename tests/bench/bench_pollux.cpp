// One measurement of pollux through the public queue API alone: the embedder's thread submits,
// polls the worker and reaps. On a wire inside the process the embedded target runs on another CPU.
// Prints one JSON object in the field names of scripts/bench.
#include <fmt/format.h>
#include <pthread.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/rig.hpp"

namespace {

using namespace pollux;
using platform::TscClock;

struct Flags {
  bench::RigOptions rig;
  bench::LoadOptions load;
  std::string lun = "null";
  double seconds = 2;
  double warm_up = 0.5;
  int cpu = 0;
};

/// CPU time of this thread: what is missing to the time that passed was taken by others.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

struct Figures {
  std::uint64_t elapsed_cycles = 0;
  double cpu_seconds = 0;
  pollux_worker_stats before{};
  pollux_worker_stats after{};
  std::uint64_t target_busy_cycles = 0;
  std::uint64_t target_idle_cycles = 0;
};

Figures run(bench::Rig& rig, bench::Load& load, double seconds) {
  Figures figures;
  load.forget();
  figures.before = rig.stats(0);
  const auto hz = static_cast<double>(figures.before.tsc_hz);
  target::LabThread* const target = rig.target();
  const std::uint64_t target_busy = target != nullptr ? target->busy_cycles() : 0;
  const std::uint64_t target_idle = target != nullptr ? target->idle_cycles() : 0;
  const double cpu_before = thread_seconds();
  const std::uint64_t start = TscClock::cycles();
  const std::uint64_t end = start + static_cast<std::uint64_t>(seconds * hz);
  load.fill();
  while (load.in_flight() != 0) {
    pollux_worker_poll(&rig.instance(), 0);
    load.reap(TscClock::cycles() < end);
  }
  figures.elapsed_cycles = TscClock::cycles() - start;
  figures.cpu_seconds = thread_seconds() - cpu_before;
  figures.after = rig.stats(0);
  if (target != nullptr) {
    figures.target_busy_cycles = target->busy_cycles() - target_busy;
    figures.target_idle_cycles = target->idle_cycles() - target_idle;
  }
  return figures;
}

void print(const Flags& flags, const bench::Load& load, const Figures& figures,
           std::uint64_t violations) {
  const double ios = static_cast<double>(std::max<std::uint64_t>(load.completed(), 1));
  const auto hz = static_cast<double>(figures.after.tsc_hz);
  const auto elapsed = static_cast<double>(figures.elapsed_cycles);
  const double seconds = elapsed / hz;
  const auto busy = static_cast<double>(figures.after.busy_cycles - figures.before.busy_cycles);
  const auto target_busy = static_cast<double>(figures.target_busy_cycles);
  const double target_all = target_busy + static_cast<double>(figures.target_idle_cycles);
  const auto microseconds = [&](std::uint32_t thousandths) {
    return static_cast<double>(load.latencies().percentile(thousandths)) * 1e6 / hz;
  };
  fmt::print(
      "{{\"contender\": \"pollux\", \"wire\": \"{}{}\", \"workload\": \"{}\", \"io_size\": {}, "
      "\"queue_depth\": {}, \"sessions\": {}, \"digests\": \"{}\", \"iops\": {:.0f}, "
      "\"mibps\": {:.1f}, \"p50_latency_us\": {:.2f}, \"p99_latency_us\": {:.2f}, ",
      flags.rig.port.empty() ? flags.rig.wire : "port",
      flags.rig.software_checksums ? "-software-checksums" : "", flags.load.workload,
      flags.load.io_size, flags.load.depth, flags.rig.sessions, flags.rig.digests, ios / seconds,
      ios * flags.load.io_size / seconds / 1048576.0, microseconds(500), microseconds(990));
  fmt::print(
      "\"cpu_ns_per_io\": {:.1f}, \"busy_cycles_per_io\": {:.1f}, \"copied_bytes_per_io\": {:.1f}, "
      "\"frames_received_per_io\": {:.3f}, \"frames_sent_per_io\": {:.3f}, "
      "\"loop_cycles_per_io\": {:.1f}, \"target_busy_cycles_per_io\": {:.1f}, "
      "\"target_busy_share\": {:.3f}, \"lun\": \"{}\", \"memory\": \"{}\", \"mtu\": {}, "
      "\"tsc_hz\": {:.0f}, \"cpu_share\": {:.3f}, \"failed\": {}, \"violations\": {}}}\n",
      busy / ios * 1e9 / hz, busy / ios,
      static_cast<double>(figures.after.copied_bytes - figures.before.copied_bytes) / ios,
      static_cast<double>(figures.after.frames_received - figures.before.frames_received) / ios,
      static_cast<double>(figures.after.frames_sent - figures.before.frames_sent) / ios,
      elapsed / ios, target_busy / ios, target_all == 0 ? 0 : target_busy / target_all, flags.lun,
      flags.load.memory, flags.rig.mtu, hz, figures.cpu_seconds / seconds, load.failed(),
      violations);
}

int measure(Flags flags) {
  flags.rig.ram_lun = flags.lun == "ram";
  bench::Rig rig(flags.rig);
  std::string error;
  if (!rig.open(error)) {
    fmt::print(stderr, "bench_pollux: {}\n", error);
    return 1;
  }
  // After the control thread was made: it stays on the other CPU's side.
  pin(flags.cpu);
  bench::Load load(flags.load, rig.instance(), 0, rig.sessions(), rig.lun());
  if (!load.open(error)) {
    fmt::print(stderr, "bench_pollux: {}\n", error);
    return 1;
  }
  run(rig, load, flags.warm_up);
  const Figures figures = run(rig, load, flags.seconds);
  const std::uint64_t violations = rig.target() != nullptr ? rig.target()->violations() : 0;
  print(flags, load, figures, violations);
  return load.failed() == 0 && violations == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  flags.rig.target_cpu = 1;
  CLI::App app{"bench_pollux: one measurement through the public queue API"};
  app.add_option("-w,--workload", flags.load.workload)
      ->check(CLI::IsMember({"read", "randread", "write", "randwrite", "randrw"}));
  app.add_option("--lun", flags.lun)->check(CLI::IsMember({"null", "ram"}));
  app.add_option("--digests", flags.rig.digests)->check(CLI::IsMember({"none", "header", "both"}));
  app.add_option("--memory", flags.load.memory)
      ->check(CLI::IsMember({"placed", "lent", "plain", "registered"}));
  app.add_option("--wire", flags.rig.wire)->check(CLI::IsMember({"ring", "virtio_user", "memif"}));
  app.add_option("--port", flags.rig.port, "a real port instead, as polluxd's --port");
  app.add_option("--portal", flags.rig.portal);
  app.add_option("--target-name", flags.rig.target_name);
  app.add_option("--target-lun", flags.rig.lun);
  app.add_option("-o,--io-size", flags.load.io_size);
  app.add_option("-q,--depth", flags.load.depth);
  app.add_option("--sessions", flags.rig.sessions);
  app.add_option("-t,--seconds", flags.seconds);
  app.add_option("--mtu", flags.rig.mtu);
  app.add_option("--cpu", flags.cpu);
  app.add_option("--target-cpu", flags.rig.target_cpu);
  app.add_flag("--software-checksums", flags.rig.software_checksums);
  CLI11_PARSE(app, argc, argv);
  return measure(std::move(flags));
}
