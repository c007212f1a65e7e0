// One measurement of pollux through the public queue API alone. Polled by the embedder, one thread
// submits, turns the worker and reaps; run by the library, the worker has a thread of its own and
// this one only submits and reaps. On a wire inside the process the embedded target runs on another
// CPU. Prints one JSON object in the field names of scripts/bench.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/cpu_books.hpp"
#include "tests/bench/figures.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/rig.hpp"
#include "tests/bench/thread_time.hpp"

namespace {

using namespace pollux;
using platform::TscClock;

constexpr auto kNap = std::chrono::microseconds(20);

struct Flags {
  bench::RigOptions rig;
  bench::LoadOptions load;
  std::string lun = "null";
  std::string poll = "embedder";
  double seconds = 2;
  double warm_up = 0.5;
  int cpu = 0;
  int target_pid = 0;  ///< of the process at the other end of a real port
  bool realtime = false;
  int caller_cpu = 1;  ///< of this thread when the library runs the worker
};

bool is_library_run(const Flags& flags) { return flags.poll == "library"; }

struct CpuTimes {
  double worker = 0;
  double target = 0;  ///< what is left of the process: control sleeps meanwhile
};

CpuTimes cpu_times(const Flags& flags) {
  const double ours = bench::thread_seconds();
  if (!is_library_run(flags)) return {ours, bench::process_seconds() - ours};
  const double worker = bench::seconds_of_threads("pollux-worker");
  return {worker, bench::process_seconds() - ours - worker};
}

/// Until all is answered; what is reaped before `end` is submitted anew. Returns the cycles of the
/// calls that found something.
std::uint64_t keep_busy(const Flags& flags, bench::Rig& rig, bench::Load& load, std::uint64_t end) {
  const bool polls = !is_library_run(flags);
  // On a CPU that the target needs as well, spinning would keep back the very answers.
  const bool shares_cpu = !polls && flags.caller_cpu == flags.rig.target_cpu;
  std::uint64_t caller_cycles = 0;
  load.fill();
  while (load.in_flight() != 0) {
    if (polls) pollux_worker_poll(&rig.instance(), 0);
    const std::uint64_t start = TscClock::cycles();
    if (load.reap(start < end) != 0)
      caller_cycles += TscClock::cycles() - start;
    else if (shares_cpu)
      std::this_thread::sleep_for(kNap);
  }
  return caller_cycles;
}

bench::Figures run(const Flags& flags, bench::Rig& rig, bench::Load& load, double seconds) {
  bench::Figures figures;
  load.forget();
  figures.before = rig.stats(0);
  const auto hz = static_cast<double>(figures.before.tsc_hz);
  target::LabThread* const target = rig.target();
  const std::uint64_t target_busy = target != nullptr ? target->busy_cycles() : 0;
  const std::uint64_t target_idle = target != nullptr ? target->idle_cycles() : 0;
  const CpuTimes cpu_before = cpu_times(flags);
  const std::uint64_t start = TscClock::cycles();
  const std::uint64_t end = start + static_cast<std::uint64_t>(seconds * hz);
  figures.caller_cycles = keep_busy(flags, rig, load, end);
  figures.elapsed_cycles = TscClock::cycles() - start;
  const CpuTimes cpu_after = cpu_times(flags);
  figures.cpu_seconds = cpu_after.worker - cpu_before.worker;
  figures.target_cpu_seconds = cpu_after.target - cpu_before.target;
  figures.after = rig.stats(0);
  if (target != nullptr) {
    figures.target_busy_cycles = target->busy_cycles() - target_busy;
    figures.target_idle_cycles = target->idle_cycles() - target_idle;
    figures.violations = target->violations();
  }
  return figures;
}

int fail(const std::string& error) {
  fmt::print(stderr, "bench_pollux: {}\n", error);
  return 1;
}

/// On a wire that the kernel has a part in, the worker's cycles are not all that a command costs.
void add_books(std::string& object, const bench::CpuBooks& books, const bench::Figures& figures,
               const bench::Load& load) {
  const double seconds =
      static_cast<double>(figures.elapsed_cycles) / static_cast<double>(figures.after.tsc_hz);
  object.pop_back();
  object += ", " +
            books.json(seconds, static_cast<double>(std::max<std::uint64_t>(load.completed(), 1))) +
            "}";
}

int measure(Flags flags) {
  flags.rig.ram_lun = flags.lun == "ram";
  if (is_library_run(flags)) {
    flags.rig.poll_mode = POLLUX_POLL_LIBRARY;
    flags.rig.worker_cpus = {static_cast<std::uint32_t>(flags.cpu)};
  }
  bench::Rig rig(flags.rig);
  std::string error;
  if (!rig.open(error)) return fail(error);
  // After the control thread was made, which may run anywhere.
  const int cpu = is_library_run(flags) ? flags.caller_cpu : flags.cpu;
  if (!bench::pin_to(cpu)) return fail(fmt::format("there is no CPU {} to run on", cpu));
  if (flags.realtime) bench::run_all_before_others();
  bench::Load load(flags.load, rig.instance(), 0, rig.sessions(), rig.lun());
  if (!load.open(error)) return fail(error);
  run(flags, rig, load, flags.warm_up);
  bench::CpuBooks books(flags.target_pid);
  books.start();
  const bench::Figures figures = run(flags, rig, load, flags.seconds);
  books.stop();
  std::string object = bench::to_json(flags.rig, flags.load, load, figures);
  if (!flags.rig.port.empty()) add_books(object, books, figures, load);
  fmt::print("{}\n", object);
  return load.failed() == 0 && figures.violations == 0 ? 0 : 1;
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
  app.add_option("--poll", flags.poll)->check(CLI::IsMember({"embedder", "library"}));
  app.add_option("--wire", flags.rig.wire)->check(CLI::IsMember({"ring", "virtio_user", "memif"}));
  app.add_option("--port", flags.rig.port, "a real port instead, as polluxd's --port");
  app.add_option("--portal", flags.rig.portal);
  app.add_option("--target-name", flags.rig.target_name);
  app.add_option("--target-lun", flags.rig.lun);
  app.add_option("-o,--io-size", flags.load.io_size);
  app.add_option("-q,--depth", flags.load.depth, "of each session");
  app.add_option("--sessions", flags.rig.sessions);
  app.add_option("--working-set", flags.load.working_set, "bytes that the buffers spread over");
  app.add_option("--read-percent", flags.load.read_percent, "of randrw");
  app.add_option("-t,--seconds", flags.seconds);
  app.add_option("--warm-up", flags.warm_up, "seconds");
  app.add_option("--mtu", flags.rig.mtu);
  app.add_option("--cpu", flags.cpu, "of the worker");
  app.add_option("--target-cpu", flags.rig.target_cpu);
  app.add_option("--caller-cpu", flags.caller_cpu, "of this thread, with --poll library");
  app.add_option("--target-pid", flags.target_pid, "whose CPU time is printed too");
  app.add_flag("--realtime", flags.realtime, "before all other threads of its CPU");
  app.add_flag("--software-checksums", flags.rig.software_checksums);
  CLI11_PARSE(app, argc, argv);
  return measure(std::move(flags));
}
