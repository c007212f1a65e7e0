// Library-run workers that sleep when idle, against the embedded target: little CPU, nothing lost,
// timers on time, submissions served at once; and nobody sleeps unasked.
#include <gtest/gtest.h>
#include <pollux/pollux.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/net/counters.hpp"
#include "tests/support/api_calls.hpp"
#include "tests/support/disk_stamp.hpp"
#include "tests/target/lab.hpp"

namespace pollux {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUrl = "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0";
/// What the configuration allows at most.
constexpr std::uint32_t kAllowed = 10'000;
/// Far more than it allows: a missed ring or a forgotten timer then costs what no loaded machine
/// can be blamed for.
constexpr std::uint32_t kHuge = 900'000;

/// Naps double: the one that begins some 330 ms after the last work ends at 650 ms, unless somebody
/// rings. The median is what counts, since the machine may be busy.
constexpr std::array kSilences{360ms, 400ms, 440ms, 480ms, 520ms};
constexpr Duration kPrompt = 80ms;

class IdleSleep : public testing::Test {
 protected:
  void open(std::uint32_t idle_sleep_max_us, std::uint32_t workers = 1) {
    library::OpenSetup setup;
    setup.config.instance = "idle-test-" + std::to_string(getpid());
    setup.config.memory.hugepages = false;
    setup.config.worker.sessions_max = 16;
    setup.config.worker.workers = workers;
    setup.config.worker.queue_depth = 32;
    setup.config.worker.idle_sleep_max_us = idle_sleep_max_us;
    setup.config.logout.drain = service::Seconds{0.2};
    setup.config.login.timeout = service::Seconds{5};
    setup.config.ports = {{.name = "wire",
                           .device = "ring:wire",
                           .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                                         .prefix_length = 24,
                                         .gateway = {}},
                           .mtu = 9000}};
    lab_ = std::make_unique<target::Lab>(lab_options_);
    setup.ring_ports = lab_->port_source();
    // The first instance's memory is all that the process gets, and one has two workers.
    setup.ring_memory_mib = 4 * target::kLabMemoryMib;
    std::string error;
    ASSERT_EQ(library::open_instance(std::move(setup), instance_, error), POLLUX_OK) << error;
  }
  void TearDown() override {
    if (instance_ == nullptr) return;
    EXPECT_EQ(lab_->thread()->violations(), 0u);
    pollux_close(instance_);
  }

  pollux_session_id log_in(std::uint32_t worker = 0) {
    pollux_login_options options;
    pollux_login_options_init(&options);
    options.worker = worker;
    pollux_session_id session = 0;
    pollux_error error{};
    EXPECT_EQ(pollux_login(instance_, kUrl, &options, &session, nullptr, &error), POLLUX_OK)
        << error.message;
    return session;
  }
  pollux_queue* make_queue(std::uint32_t worker = 0) {
    return test::make_queue(instance_, test::queue_options(worker));
  }
  /// One command on all of `data`, which `iov` has to name.
  int submit(pollux_queue* queue, std::uint8_t opcode, pollux_session_id session,
             const iovec& iov) {
    const pollux_command command = test::transfer(opcode, session, 64, iov);
    return pollux_queue_submit(queue, &command, 1);
  }
  /// Runs one command to its end.
  pollux_completion run(pollux_queue* queue, std::uint8_t opcode, pollux_session_id session,
                        std::vector<std::byte>& data) {
    const iovec iov{data.data(), data.size()};
    pollux_completion completion{};
    completion.result = POLLUX_EAGAIN;
    if (submit(queue, opcode, session, iov) != 1) return completion;
    const auto end = Clock::now() + 20s;
    while (Clock::now() < end) {
      if (pollux_queue_reap(queue, &completion, 1) == 1) return completion;
      std::this_thread::yield();
    }
    completion.result = POLLUX_ETIMEDOUT;
    return completion;
  }
  pollux_worker_stats stats(std::uint32_t worker = 0) {
    pollux_worker_stats stats{};
    stats.size = sizeof(stats);
    EXPECT_EQ(pollux_worker_stats_get(instance_, worker, &stats), POLLUX_OK);
    return stats;
  }
  /// CPU time that the worker's thread has used.
  Duration cpu_time() {
    clockid_t clock{};
    timespec used{};
    EXPECT_EQ(pthread_getcpuclockid(instance_->units[0]->thread.native_handle(), &clock), 0);
    EXPECT_EQ(clock_gettime(clock, &used), 0);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  }

  target::LabOptions lab_options_;
  std::unique_ptr<target::Lab> lab_;
  pollux_instance* instance_ = nullptr;
};

TEST_F(IdleSleep, NobodySleepsUnasked) {
  ASSERT_EQ(service::WorkerConfig{}.idle_sleep_max_us, 0u);
  ASSERT_NO_FATAL_FAILURE(open(0));
  pollux_queue* queue = make_queue();
  EXPECT_EQ(queue->nap_bell, nullptr) << "submission has no fence to pay";
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(stats().naps, 0u);
  EXPECT_EQ(stats().nap_cycles, 0u);
  EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_OK);
}

TEST_F(IdleSleep, AnIdleWorkerUsesLittleCpuAndAccountsForItsSleep) {
  ASSERT_NO_FATAL_FAILURE(open(kAllowed));
  const auto session = log_in();
  std::this_thread::sleep_for(50ms);
  const pollux_worker_stats before = stats();
  const Duration cpu_before = cpu_time();
  const auto start = Clock::now();
  std::this_thread::sleep_for(500ms);
  const Duration cpu = cpu_time() - cpu_before;
  const pollux_worker_stats after = stats();
  const Duration elapsed = Clock::now() - start;
  EXPECT_LT(cpu, elapsed / 5);
  EXPECT_GT(after.naps, before.naps + 10);
  const auto seconds = [&](std::uint64_t cycles) {
    return static_cast<double>(cycles) / static_cast<double>(after.tsc_hz);
  };
  const double idle = seconds(after.idle_cycles - before.idle_cycles);
  const double napped = seconds(after.nap_cycles - before.nap_cycles);
  const double accounted = idle + seconds(after.busy_cycles - before.busy_cycles) +
                           seconds(after.away_cycles - before.away_cycles);
  const double passed = std::chrono::duration<double>(elapsed).count();
  // A nap is accounted for when it ends, so that one may be missing and one be too much.
  EXPECT_NEAR(accounted, passed, 0.05 * passed + 0.04);
  EXPECT_GT(napped, 0.7 * passed);
  EXPECT_LE(napped, idle);
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
}

TEST_F(IdleSleep, CommandsCompleteAfterPausesOfEveryLength) {
  ASSERT_NO_FATAL_FAILURE(open(2000));
  pollux_queue* queue = make_queue();
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const auto session = log_in();
    std::vector<std::byte> out(16 * KiB);
    std::vector<std::byte> back(out.size());
    for (int i = 0; i < 60; i += 2) {
      sim::stamp(out, 64, static_cast<int>(round * 100 + static_cast<std::uint64_t>(i)), 7);
      ASSERT_EQ(run(queue, POLLUX_WRITE, session, out).result, POLLUX_OK);
      std::this_thread::sleep_for(std::chrono::microseconds(i * i));
      ASSERT_EQ(run(queue, POLLUX_READ, session, back).result, POLLUX_OK);
      ASSERT_EQ(back, out);
    }
    EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_GT(stats().naps, 30u);
  EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_OK);
}

TEST_F(IdleSleep, ASubmissionWakesTheWorker) {
  ASSERT_NO_FATAL_FAILURE(open(kHuge));
  const auto session = log_in();
  pollux_queue* queue = make_queue();
  std::vector<std::byte> data(4 * KiB);
  std::vector<Duration> latencies;
  for (const auto silence : kSilences) {
    std::this_thread::sleep_for(silence);
    const auto start = Clock::now();
    ASSERT_EQ(run(queue, POLLUX_READ, session, data).result, POLLUX_OK);
    latencies.push_back(Clock::now() - start);
  }
  std::sort(latencies.begin(), latencies.end());
  EXPECT_LT(latencies[latencies.size() / 2], kPrompt);
  EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_OK);
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
}

TEST_F(IdleSleep, AMessageOfControlWakesTheWorker) {
  ASSERT_NO_FATAL_FAILURE(open(kHuge));
  std::vector<Duration> times;
  for (const auto silence : kSilences) {
    std::this_thread::sleep_for(silence);
    const auto start = Clock::now();
    const auto session = log_in();
    times.push_back(Clock::now() - start);
    std::this_thread::sleep_for(silence);
    const auto middle = Clock::now();
    EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
    times.push_back(Clock::now() - middle);
  }
  std::sort(times.begin(), times.end());
  EXPECT_LT(times[times.size() / 2], kPrompt);
}

// The answer would lie in the port until the nap is over.
TEST_F(IdleSleep, AWorkerWithACommandInFlightNeverNaps) {
  lab_options_.target.faults.response_delay = 400ms;
  ASSERT_NO_FATAL_FAILURE(open(1000));
  const auto session = log_in();
  pollux_queue* queue = make_queue();
  std::this_thread::sleep_for(20ms);
  EXPECT_GT(stats().naps, 0u);
  std::vector<std::byte> data(4 * KiB);
  const iovec iov{data.data(), data.size()};
  bool was_seen = false;
  // A machine that stops this thread for longer than the target waits spoils an attempt.
  for (int i = 0; i < 10 && !was_seen; ++i) {
    ASSERT_EQ(submit(queue, POLLUX_READ, session, iov), 1);
    std::this_thread::sleep_for(100ms);
    const std::uint64_t before = stats().naps;
    std::this_thread::sleep_for(100ms);
    const std::uint64_t after = stats().naps;
    pollux_completion done{};
    was_seen = pollux_queue_reap(queue, &done, 1) == 0;
    if (!was_seen) continue;
    EXPECT_EQ(after, before);
    const auto end = Clock::now() + 10s;
    while (pollux_queue_reap(queue, &done, 1) == 0 && Clock::now() < end) std::this_thread::yield();
    EXPECT_EQ(done.result, POLLUX_OK);
  }
  EXPECT_TRUE(was_seen);
  EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_OK);
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
}

// ARP asks once a second for a neighbour that is not there: nothing but a timer wakes the worker
// for that.
TEST_F(IdleSleep, TimersFireOnTime) {
  ASSERT_NO_FATAL_FAILURE(open(kHuge));
  const Counter& requests = instance_->units[0]->worker->interface(0).counters().arp_requests_out;
  std::thread caller([this] {
    pollux_login_options options;
    pollux_login_options_init(&options);
    options.timeout_ms = 2500;
    pollux_session_id session = 0;
    EXPECT_NE(pollux_login(instance_, "iscsi://10.99.0.77/iqn.2026-01.org.pollux:disk/0", &options,
                           &session, nullptr, nullptr),
              POLLUX_OK);
  });
  std::vector<Clock::time_point> times;
  const std::uint64_t first = requests.get();
  const auto end = Clock::now() + 2400ms;
  while (Clock::now() < end && times.size() < 3) {
    if (requests.get() > first + times.size()) times.push_back(Clock::now());
    std::this_thread::sleep_for(1ms);
  }
  caller.join();
  ASSERT_EQ(times.size(), 3u);
  for (std::size_t i = 1; i < times.size(); ++i) {
    EXPECT_GT(times[i] - times[i - 1], 900ms);
    EXPECT_LT(times[i] - times[i - 1], 1200ms);
  }
  EXPECT_GT(stats().naps, 0u);
}

TEST_F(IdleSleep, WorkersThatHandOverFramesServeEachOther) {
  ASSERT_NO_FATAL_FAILURE(open(kAllowed, 2));
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    const auto session = log_in(worker);
    pollux_queue* queue = make_queue(worker);
    std::vector<std::byte> out(16 * KiB);
    std::vector<std::byte> back(out.size());
    for (int i = 0; i < 20; ++i) {
      sim::stamp(out, 64, i, 7);
      ASSERT_EQ(run(queue, POLLUX_WRITE, session, out).result, POLLUX_OK);
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));
      ASSERT_EQ(run(queue, POLLUX_READ, session, back).result, POLLUX_OK);
      ASSERT_EQ(back, out);
    }
    EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_OK);
    EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
  }
  std::this_thread::sleep_for(100ms);
  for (std::uint32_t worker = 0; worker < 2; ++worker) EXPECT_GT(stats(worker).naps, 10u);
}

}  // namespace
}  // namespace pollux
