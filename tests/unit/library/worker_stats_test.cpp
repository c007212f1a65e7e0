// A worker's counters as pollux.h shows them: where its cycles went, what it copied, and the
// structure of callers compiled before some of them existed.
#include <x86intrin.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "tests/unit/library/pollux_api.hpp"

namespace pollux {
namespace {

/// With a session, and one queue and one block of memory to read with.
class WorkerStats : public PolluxApi {
 protected:
  /// Of whole turns up to a cycle count between `least` and `most`.
  struct Reading {
    pollux_worker_stats stats;
    std::uint64_t least;
    std::uint64_t most;
  };

  void SetUp() override {
    PolluxApi::SetUp();
    if (HasFatalFailure()) return;
    session_ = log_in();
    queue_ = make_queue(4, 4096);
  }

  void TearDown() override {
    if (queue_ != nullptr) destroy(queue_);
    PolluxApi::TearDown();
  }

  pollux_worker_stats stats() {
    pollux_worker_stats stats{};
    stats.size = sizeof(stats);
    EXPECT_EQ(pollux_worker_stats_get(instance_, 0, &stats), POLLUX_OK);
    return stats;
  }

  pollux_command read(std::uint8_t flags = 0) {
    pollux_command command = test::transfer(POLLUX_READ, session_, 0, iov_, flags);
    if ((flags & POLLUX_LENT) != 0) command.iov_count = 0;
    return command;
  }

  /// A turn that begins after `least` and has ended when the counters are read: the second of two,
  /// since cycles are counted at a turn's end.
  Reading one_reading() {
    constexpr int kSpins = 1000;  // as long as a worker on another CPU needs
    const std::uint64_t least = __rdtsc();
    const std::uint64_t turns = stats().turns;
    Reading reading{stats(), least, 0};
    for (int i = 0; i < 10'000'000 && reading.stats.turns < turns + 2; ++i) {
      if (i > kSpins || GetParam() == POLLUX_POLL_EMBEDDER) turn();
      reading.stats = stats();
    }
    EXPECT_GE(reading.stats.turns, turns + 2);
    reading.most = __rdtsc();
    return reading;
  }

  /// The closest of a few: on a busy machine the CPU may be taken away within each.
  Reading reading() {
    constexpr int kAttempts = 50;
    Reading closest = one_reading();
    const std::uint64_t close_enough = closest.stats.tsc_hz / 10'000;
    for (int i = 1; i < kAttempts && closest.most - closest.least > close_enough; ++i) {
      const Reading next = one_reading();
      if (next.most - next.least < closest.most - closest.least) closest = next;
    }
    return closest;
  }

  pollux_session_id session_ = 0;
  pollux_queue* queue_ = nullptr;
  std::vector<std::byte> memory_ = std::vector<std::byte>(4096);
  iovec iov_{memory_.data(), memory_.size()};
};

TEST_P(WorkerStats, OfAnOlderCallerEndWhereItsStructureDid) {
  pollux_worker_stats stats{};
  stats.size = offsetof(pollux_worker_stats, away_cycles);
  stats.received_bursts[0] = 77;
  ASSERT_EQ(pollux_worker_stats_get(instance_, 0, &stats), POLLUX_OK);
  EXPECT_EQ(stats.size, offsetof(pollux_worker_stats, away_cycles));
  EXPECT_GT(stats.tsc_hz, 0u);
  EXPECT_EQ(stats.received_bursts[0], 77u);
  stats.size = sizeof(stats) + 1;
  EXPECT_EQ(pollux_worker_stats_get(instance_, 0, &stats), POLLUX_EINVAL);
  stats.size = 16;
  EXPECT_EQ(pollux_worker_stats_get(instance_, 0, &stats), POLLUX_EINVAL);
}

TEST_P(WorkerStats, CyclesAddUpToTheTimeThatPassed) {
  // Where three threads share two CPUs a command takes as long as the kernel's time slices.
  const std::uint64_t commands = GetParam() == POLLUX_POLL_EMBEDDER ? 3000 : 30;
  const Reading first = reading();
  for (std::uint64_t i = 0; i < commands; ++i) ASSERT_EQ(run(queue_, read()).result, POLLUX_OK);
  const Reading last = reading();
  const pollux_worker_stats& before = first.stats;
  const pollux_worker_stats& after = last.stats;
  const std::uint64_t busy = after.busy_cycles - before.busy_cycles;
  const std::uint64_t counted =
      busy + after.idle_cycles - before.idle_cycles + after.away_cycles - before.away_cycles;
  // Every cycle, whoever lost the CPU when. Bounds less than 2 % apart, or they would say little.
  const std::uint64_t least = last.least - first.most;
  const std::uint64_t most = last.most - first.least;
  EXPECT_GE(counted, least);
  EXPECT_LE(counted, most);
  EXPECT_LT(most - least, most / 50);
  EXPECT_GE(after.commands - before.commands, commands);
  const auto sum = [](const std::uint64_t(&sizes)[POLLUX_BURST_SIZES]) {
    return std::accumulate(std::begin(sizes), std::end(sizes), std::uint64_t{0});
  };
  EXPECT_GE(sum(after.received_bursts) - sum(before.received_bursts), commands);
  EXPECT_GE(sum(after.sent_bursts) - sum(before.sent_bursts), commands);
}

TEST_P(WorkerStats, StagesAreSampledInBusyTurns) {
  const pollux_worker_stats before = stats();
  const int commands = GetParam() == POLLUX_POLL_EMBEDDER ? 3000 : 30;
  for (int i = 0; i < commands; ++i) ASSERT_EQ(run(queue_, read()).result, POLLUX_OK);
  const pollux_worker_stats after = stats();
  std::uint64_t sampled = 0;
  for (std::uint32_t stage = 0; stage < POLLUX_STAGES; ++stage) {
    EXPECT_NE(pollux_stage_name(stage), nullptr);
    EXPECT_GE(after.sampled_cycles[stage], before.sampled_cycles[stage]);
    sampled += after.sampled_cycles[stage] - before.sampled_cycles[stage];
  }
  EXPECT_EQ(pollux_stage_name(POLLUX_STAGES), nullptr);
  // The library's worker turns while it is looked at, and in so few turns may have measured none.
  if (GetParam() == POLLUX_POLL_LIBRARY) return;
  EXPECT_LE(sampled, after.busy_cycles - before.busy_cycles);
  for (const int stage : {POLLUX_STAGE_COPY, POLLUX_STAGE_COMPLETION})
    EXPECT_GT(after.sampled_cycles[stage], before.sampled_cycles[stage]) << stage;
}

TEST_P(WorkerStats, ShowWhatWasCopied) {
  const pollux_worker_stats before = stats();
  ASSERT_EQ(run(queue_, read()).result, POLLUX_OK);
  const pollux_worker_stats after = stats();
  EXPECT_EQ(after.copied_bytes - before.copied_bytes, 4096u);
  const auto done = run(queue_, read(POLLUX_LENT));
  ASSERT_EQ(done.result, POLLUX_OK);
  pollux_release(done.lent);
  EXPECT_EQ(stats().copied_bytes, after.copied_bytes);
}

INSTANTIATE_TEST_SUITE_P(Polling, WorkerStats,
                         testing::Values(POLLUX_POLL_LIBRARY, POLLUX_POLL_EMBEDDER), &name_of_mode);

}  // namespace
}  // namespace pollux
