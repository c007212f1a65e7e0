// POLLUX_OP_BENCH: capacity first, then a thread of its own; progress is read from its figures.
#include <algorithm>

#include <fmt/format.h>

#include "control/service/operations.hpp"

namespace pollux::service {
namespace {

constexpr std::size_t kFinishedBenchesKept = 16;

}  // namespace

void Operations::bench(Serial serial, Instant now) {
  const auto in = input<pollux_bench_in>(serial);
  const auto refuse = [this, serial, id = in.BenchId](std::uint32_t status, std::string_view sentence) {
    pollux_bench_out out{};
    out.Status = status;
    out.Finished = 1;
    out.BenchId = id;
    answer_failure(serial, out, sentence);
  };
  const bool is_known = std::any_of(benches_.begin(), benches_.end(),
                                    [&](const BenchRun& run) { return run.id == in.BenchId; });
  if (in.BenchId == 0 || is_known) return refuse(ISDSC_INVALID_PARAMETER, "BenchId is 0 or in use");
  if (benches_.size() >= kBenchesMax) {
    return refuse(ISDSC_SESSION_BUSY, fmt::format("{} benchmarks are running already", kBenchesMax));
  }
  Outcome outcome;
  const SessionRecord* record = scsi_session(in.UniqueSessionId, outcome);
  if (record == nullptr) return refuse(outcome.status, outcome.sentence);
  // A deadline of the client that the run could not keep ends it then; without one it has time to spare.
  const Instant run_end = now + std::chrono::seconds(std::min(in.Seconds, kBenchSecondsMax)) + 60s;
  set_deadline(serial, std::min(pending_.at(serial).deadline, run_end));
  read_capacity(in.UniqueSessionId, in.Lun,
                [=, this, worker = record->worker](const Outcome& result, const std::optional<Capacity>& capacity) {
    if (!is_pending(serial)) return;
    if (!capacity) return refuse(result.status, result.sentence);
    BenchSetup setup{in, worker, capacity->block_bytes};
    const std::string bad = validate_bench(setup.in, capacity->blocks, capacity->block_bytes);
    if (!bad.empty()) return refuse(ISDSC_INVALID_PARAMETER, bad);
    benches_.push_back({serial, in.BenchId, std::make_unique<Bench>(setup, options_.queues, options_.wake)});
    Bench* bench = benches_.back().bench.get();
    pending_.at(serial).abandon = [this, bench, id = in.BenchId] {
      const bool is_alive = std::any_of(benches_.begin(), benches_.end(), [&](const BenchRun& run) {
        return run.id == id && run.bench.get() == bench;
      });
      if (is_alive) bench->stop();
    };
  });
}

bool Operations::poll(Instant) {
  bool worked = false;
  for (BenchRun& run : benches_) {
    if (run.serial == 0 && !run.bench->has_ended()) continue;
    const pollux_bench_out figures = run.bench->figures();
    if (run.serial != 0 && figures.Finished != 0) {
      const Serial serial = std::exchange(run.serial, 0);
      if (figures.Status == 0) {
        answer(serial, figures);
      } else {
        answer_failure(serial, figures, run.bench->sentence());
      }
      worked = true;
    }
  }
  for (auto run = benches_.begin(); run != benches_.end();) {
    // Destroying waits for the run's thread: only once it is gone.
    if (run->serial != 0 || !run->bench->has_ended()) {
      ++run;
      continue;
    }
    finished_benches_.push_back(run->bench->figures());
    if (finished_benches_.size() > kFinishedBenchesKept) finished_benches_.pop_front();
    run = benches_.erase(run);
    worked = true;
  }
  return worked;
}

void Operations::bench_progress(Serial serial, Instant) {
  const auto in = input<pollux_bench_progress_in>(serial);
  for (const BenchRun& run : benches_) {
    if (run.id == in.BenchId) return answer(serial, run.bench->figures());
  }
  for (auto figures = finished_benches_.rbegin(); figures != finished_benches_.rend(); ++figures) {
    if (figures->BenchId == in.BenchId) return answer(serial, *figures);
  }
  pollux_bench_out out{};
  out.Status = ISDSC_INVALID_PARAMETER;
  out.BenchId = in.BenchId;
  answer_failure(serial, out, "there is no benchmark with that BenchId");
}

}  // namespace pollux::service
