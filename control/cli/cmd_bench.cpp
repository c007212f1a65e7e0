// bench: the service runs the load, this end asks for figures each second and prints the result
// with bdevperf's field names, so that scripts for one read the other.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <random>

#include "control/cli/interrupt.hpp"
#include "control/cli/operation.hpp"
#include "control/cli/progress.hpp"
#include "control/cli/render.hpp"
#include "control/cli/session_calls.hpp"
#include "control/cli/verbs.hpp"
#include "control/ratio.hpp"
#include "control/url/lun.hpp"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::array<std::string_view, 6> kWorkloads = {"read",      "write", "randread",
                                                        "randwrite", "rw",    "randrw"};
constexpr std::uint32_t kDefaultReadPercent = 50;
constexpr std::uint32_t kSliceMs = 100;
constexpr std::uint32_t kProgressDeadlineMs = 5000;
// Beyond its seconds: to fill the queue at the start and to let it run empty at the end.
constexpr std::uint32_t kBenchGraceMs = 30'000;
constexpr std::uint64_t kBenchTag = 1;
constexpr std::uint64_t kProgressTag = 2;
constexpr std::string_view kEraseLine = "\r\033[K";

bool is_mixed(std::uint32_t workload) noexcept {
  return workload == POLLUX_BENCH_RW || workload == POLLUX_BENCH_RANDRW;
}

pollux_bench_in bench_input(const Options& options, const SessionUse& use) {
  const auto* found = std::find(kWorkloads.begin(), kWorkloads.end(), options.bench.workload);
  pollux_bench_in in{};
  in.UniqueSessionId = use.id();
  in.Lun = use.lun();
  in.FirstLba = options.lba;
  in.BlockCount = options.blocks.value_or(0);
  in.BenchId = (std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()) | 1;
  in.Workload = static_cast<std::uint32_t>(found - kWorkloads.begin());
  in.IoSize = options.bench.io_size;
  in.QueueDepth = options.bench.queue_depth;
  if (is_mixed(in.Workload)) {
    in.ReadPercent = options.bench.read_percent.value_or(kDefaultReadPercent);
  } else if (options.bench.read_percent) {
    throw Failure(ExitCode::invalid_argument,
                  fmt::format("-M is for the workloads rw and randrw; '{}' is not mixed.",
                              options.bench.workload));
  }
  in.Seconds = options.bench.seconds;
  in.Flags = (options.bench.lent ? std::uint32_t{POLLUX_BENCH_FLAG_LENT} : 0u) |
             (options.bench.registered ? std::uint32_t{POLLUX_BENCH_FLAG_REGISTERED} : 0u);
  in.Seed = options.bench.seed;
  return in;
}

std::string live_line(const pollux_bench_out& out) {
  return fmt::format("{:3} s  {:>10.0f} IOPS  {:>8.1f} MiB/s  p50 {:.1f} us  p99 {:.1f} us",
                     out.RuntimeNs / 1'000'000'000, out.Iops, out.Mibps,
                     static_cast<double>(out.LatencyP50Ns) / 1e3,
                     static_cast<double>(out.LatencyP99Ns) / 1e3);
}

/// The one BENCH in flight and, on a terminal, at most one BENCH_PROGRESS beside it.
class BenchRun {
 public:
  BenchRun(Connection& connection, const pollux_bench_in& in, std::string what)
      : connection_(connection), in_(in), what_(std::move(what)), is_live_(is_stderr_terminal()) {}
  ~BenchRun() {
    if (connection_.in_flight() > 0) connection_.drain();
    if (is_line_drawn_) fmt::print(stderr, "{}", kEraseLine);
  }
  BenchRun(const BenchRun&) = delete;
  BenchRun& operator=(const BenchRun&) = delete;

  pollux_bench_out run() {
    const std::uint32_t deadline_ms = in_.Seconds * 1000 + kBenchGraceMs;
    const auto end = steady_clock::now() + milliseconds(deadline_ms + kSliceMs);
    next_progress_ = steady_clock::now() + milliseconds(1000);
    if (!connection_.submit(what_, POLLUX_OP_BENCH, input_of(in_), output(result_), kBenchTag,
                            deadline_ms))
      throw Failure(ExitCode::busy, fmt::format("{} failed: the ring is full.", what_));
    while (!step()) {
      if (is_interrupted())
        throw Failure(ExitCode::interrupted, fmt::format("{} was interrupted.", what_));
      if (steady_clock::now() >= end)
        throw Failure(ExitCode::pdu_timeout,
                      fmt::format("{} failed: it did not end {} seconds after it should have.",
                                  what_, kBenchGraceMs / 1000));
      ask_for_progress();
    }
    if (result_.Status != 0) throw failure_of_status(what_, result_.Status);
    return result_;
  }

 private:
  static std::span<std::byte> output(pollux_bench_out& out) noexcept {
    return std::as_writable_bytes(std::span(&out, 1));
  }

  /// Takes at most one completion. True: the benchmark is over.
  bool step() {
    const auto completion = connection_.next(what_, kSliceMs);
    if (!completion) return false;
    if (completion->user_data == kBenchTag) {
      check_ring_status(what_, completion->ring_status);
      return true;
    }
    is_asking_ = false;
    // Figures are a courtesy: without them the benchmark goes on.
    if (completion->ring_status == 0 && progress_.Status == 0) draw();
    return false;
  }

  void ask_for_progress() {
    if (!is_live_ || is_asking_ || steady_clock::now() < next_progress_) return;
    next_progress_ += milliseconds(1000);
    const pollux_bench_progress_in in{in_.BenchId};
    progress_ = {};
    is_asking_ = connection_.submit(what_, POLLUX_OP_BENCH_PROGRESS, input_of(in),
                                    output(progress_), kProgressTag, kProgressDeadlineMs);
  }

  void draw() {
    fmt::print(stderr, "{}{}", kEraseLine, live_line(progress_));
    std::fflush(stderr);
    is_line_drawn_ = true;
  }

  Connection& connection_;
  pollux_bench_in in_;
  std::string what_;
  pollux_bench_out result_{};
  pollux_bench_out progress_{};
  steady_clock::time_point next_progress_;
  bool is_live_;
  bool is_asking_ = false;
  bool is_line_drawn_ = false;
};

Json bench_json(const pollux_bench_in& in, const pollux_bench_out& out) {
  const auto per_io = [&](std::uint64_t value) {
    return ratio(static_cast<double>(value), static_cast<double>(out.TotalIos));
  };
  const auto in_us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  Json result;
  result["job"] = fmt::format("{}/{}", format_id(in.UniqueSessionId), url::format_lun(in.Lun));
  result["workload"] = kWorkloads[in.Workload];
  result["status"] = out.Errors == 0 ? "finished" : "failed";
  if (is_mixed(in.Workload)) result["percentage"] = in.ReadPercent;
  result["queue_depth"] = in.QueueDepth;
  result["io_size"] = in.IoSize;
  result["runtime"] = static_cast<double>(out.RuntimeNs) / 1e9;
  result["iops"] = out.Iops;
  result["mibps"] = out.Mibps;
  result["io_failed"] = out.Errors;
  result["avg_latency_us"] = in_us(out.LatencyAverageNs);
  result["p50_latency_us"] = in_us(out.LatencyP50Ns);
  result["p99_latency_us"] = in_us(out.LatencyP99Ns);
  result["max_latency_us"] = in_us(out.LatencyMaxNs);
  result["total_ios"] = out.TotalIos;
  result["bytes"] = out.Bytes;
  result["busy_cycles_per_io"] = per_io(out.BusyCycles);
  result["copied_bytes_per_io"] = per_io(out.CopiedBytes);
  const double elapsed = static_cast<double>(out.BusyCycles) + static_cast<double>(out.IdleCycles);
  result["busy_share"] = ratio(static_cast<double>(out.BusyCycles), elapsed);
  result["cycles_per_second"] = out.CyclesPerSecond;
  Json json = document("bench");
  json["results"] = Json::array({std::move(result)});
  json["core_count"] = 1;
  return json;
}

}  // namespace

ExitCode run_bench(const Options& options) {
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const pollux_bench_in in = bench_input(options, use);
  const std::string what = fmt::format("The benchmark on {}", use.lun_name());
  const pollux_bench_out out = BenchRun(connection, in, what).run();
  const Json json = bench_json(in, out);
  print(options.json ? text_of(json) : flatten(json["results"][0]));
  if (out.Errors == 0) return ExitCode::ok;
  fmt::print(stderr, "pollux: {} of {} commands failed.\n", out.Errors, out.TotalIos);
  return ExitCode::generic;
}

}  // namespace pollux::cli
