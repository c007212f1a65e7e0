// Steady state of a worker through the public queue API, on the wires inside the process: no
// allocation, no lock, no system call, no copy beyond those that the design has and the counters
// show. All kinds of commands, digests off and on.
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/unit/steady_state/application.hpp"
#include "tests/unit/steady_state/watch.hpp"

namespace pollux::steady {
namespace {

using namespace std::chrono_literals;

struct Wire {
  const char* name;
  bool digests;
  /// The far end reaches only the driver's own memory, so what is sent is copied into frames.
  bool copies_on_send;
};

void PrintTo(const Wire& wire, std::ostream* out) { *out << wire.name; }

/// DPDK starts once in a process, and so does this: run one wire at a time.
class SteadyState : public testing::TestWithParam<Wire> {
 protected:
  static void TearDownTestSuite() {
    application_.reset();
    platform::stop_eal();
  }
  void SetUp() override {
    if (application_ == nullptr) {
      application_ = std::make_unique<Application>(GetParam().name, GetParam().digests);
      ASSERT_TRUE(application_->ready());
      ASSERT_EQ(application_->run({.commands = 1000, .rests = true}).failed, 0u);
    }
    ASSERT_TRUE(application_->ready());
  }

  static std::unique_ptr<Application> application_;
};

std::unique_ptr<Application> SteadyState::application_;

// Longer than the worker's looks at its ports are apart, and than it waits before it makes an idle
// port give back what was sent.
constexpr auto kSeveralPortChecks = 350ms;

TEST_P(SteadyState, NeitherAllocatesNorLocks) {
  start_watch();
  const Application::Done done =
      application_->run({.commands = 4000, .at_least = kSeveralPortChecks, .rests = true});
  const Calls calls = stop_watch();
  EXPECT_EQ(done.failed, 0u);
  EXPECT_EQ(calls.allocations, 0u);
  EXPECT_EQ(calls.locks, 0u) << "the last was " << calls.last_lock;
}

TEST_P(SteadyState, MakesNoSystemCall) {
  bool is_filtered = false;
  Application::Done done;
  std::thread thread([&] {
    std::string error;
    EXPECT_TRUE(platform::register_worker_thread(error)) << error;
    is_filtered = forbid_system_calls();
    if (!is_filtered) return;
    count_system_calls(true);
    done = application_->run({.commands = 4000, .at_least = kSeveralPortChecks});
    count_system_calls(false);
  });
  thread.join();
  ASSERT_TRUE(is_filtered);
  EXPECT_EQ(done.commands, 4000u);
  EXPECT_EQ(done.failed, 0u);
  const SystemCalls caught = take_system_calls();
  EXPECT_EQ(caught.count, 0u) << "the last was number " << caught.last;
}

// What watch_areas() is given, in this order.
constexpr std::size_t kCaller = 0;
constexpr std::size_t kSnapshots = 1;

struct Copied {
  Application::Done done;
  Calls calls;
  CopyCounters counted;
};

Copied copies_of(Application& application, Kind kind, std::uint64_t commands) {
  watch_areas(application.memory(), application.snapshots());
  const CopyCounters before = application.copies();
  start_watch();
  const Application::Done done =
      application.run({.kind = kind, .commands = commands, .rests = true});
  Copied copied{.done = done, .calls = stop_watch(), .counted = application.copies()};
  watch_areas({}, {});
  copied.counted.iscsi -= before.iscsi;
  copied.counted.tcp -= before.tcp;
  copied.counted.linearised -= before.linearised;
  copied.counted.sent_again -= before.sent_again;
  return copied;
}

void add(Copied& sum, const Copied& part) {
  sum.done.commands += part.done.commands;
  sum.done.bytes += part.done.bytes;
  sum.done.failed += part.done.failed;
  for (std::size_t area : {kCaller, kSnapshots}) {
    sum.calls.area_bytes[area] += part.calls.area_bytes[area];
    sum.calls.area_large_bytes[area] += part.calls.area_large_bytes[area];
  }
  sum.calls.other_large_bytes += part.calls.other_large_bytes;
  sum.counted.iscsi += part.counted.iscsi;
  sum.counted.tcp += part.counted.tcp;
  sum.counted.linearised += part.counted.linearised;
}

/// Of 2,048 commands. They go in small lots, and a lot in which TCP has sent something again is
/// left out: that copies, and it happens when a busy machine holds the target's thread up.
Copied copies_of(Application& application, Kind kind) {
  constexpr std::uint64_t kLots = 16;
  constexpr std::uint64_t kLotCommands = 128;
  Copied sum;
  std::uint64_t lots = 0;
  for (std::uint64_t tries = 0; lots < kLots && tries < 4 * kLots; ++tries) {
    const Copied lot = copies_of(application, kind, kLotCommands);
    if (lot.counted.sent_again != 0) continue;
    add(sum, lot);
    ++lots;
  }
  EXPECT_EQ(lots, kLots) << "TCP sends again all the time";
  EXPECT_EQ(sum.done.commands, kLots * kLotCommands);
  EXPECT_EQ(sum.done.failed, 0u);
  // No frame is put together anew for the driver.
  EXPECT_EQ(sum.counted.linearised, 0u);
  return sum;
}

/// TCP counts `payload` and headers of PDUs, and nothing but a run of such headers is ever moved
/// from one buffer of the worker to another.
void expect_only_headers_beside(std::uint64_t payload, const Copied& copied) {
  // 48 bytes and two digests for each PDU; every sixteenth write takes several PDUs.
  constexpr std::uint64_t kHeaderBytesMost = 128;
  ASSERT_GE(copied.counted.tcp, payload);
  const std::uint64_t headers = copied.counted.tcp - payload;
  EXPECT_LE(headers, kHeaderBytesMost * copied.done.commands);
  EXPECT_LE(copied.calls.other_large_bytes, headers);
}

/// TCP copies a piece that is shorter than attaching it is worth (kCopyBelow): the end or the
/// beginning of what a frame's edge has cut.
void expect_short_pieces_only(std::size_t area, const Copied& copied) {
  EXPECT_EQ(copied.calls.area_large_bytes[area], 0u);
  EXPECT_LE(copied.calls.area_bytes[area], copied.done.bytes / 20);
}

TEST_P(SteadyState, LentReadsAreNotCopied) {
  const Copied copied = copies_of(*application_, Kind::lent_read);
  EXPECT_EQ(copied.counted.iscsi, 0u);
  EXPECT_EQ(copied.calls.area_bytes[kCaller], 0u);
  EXPECT_EQ(copied.calls.area_bytes[kSnapshots], 0u);
  expect_only_headers_beside(0, copied);
}

TEST_P(SteadyState, PlacedReadsAreCopiedOnce) {
  const Copied copied = copies_of(*application_, Kind::placed_read);
  EXPECT_EQ(copied.counted.iscsi, copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[kCaller], copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[kSnapshots], 0u);
  expect_only_headers_beside(0, copied);
}

TEST_P(SteadyState, RegisteredWritesAreNotCopiedButWhereTheDriverNeedsIt) {
  const Copied copied = copies_of(*application_, Kind::registered_write);
  EXPECT_EQ(copied.counted.iscsi, 0u);
  EXPECT_EQ(copied.calls.area_bytes[kSnapshots], 0u);
  if (GetParam().copies_on_send)
    EXPECT_EQ(copied.calls.area_bytes[kCaller], copied.done.bytes);
  else
    expect_short_pieces_only(kCaller, copied);
  expect_only_headers_beside(copied.calls.area_bytes[kCaller], copied);
}

TEST_P(SteadyState, PlainWritesAreCopiedOnceToASnapshot) {
  const Copied copied = copies_of(*application_, Kind::plain_write);
  EXPECT_EQ(copied.counted.iscsi, copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[kCaller], copied.done.bytes);
  if (GetParam().copies_on_send)
    EXPECT_EQ(copied.calls.area_bytes[kSnapshots], copied.done.bytes);
  else
    expect_short_pieces_only(kSnapshots, copied);
  expect_only_headers_beside(copied.calls.area_bytes[kSnapshots], copied);
}

/// Where a polling thread may take a cache line for itself, how often for each command of the mix
/// below (a quarter of each kind), and why. None of these waits for another thread.
struct AllowedPlace {
  const char* name;
  double most;
  const char* reason;
};

constexpr AllowedPlace kAllowedPlaces[] = {
    {"pollux_queue_reap", 0.25, "once for a lent read: how many the application holds"},
    {"pollux_release", 0.5, "twice for a lent read: any thread may give it back"},
    {"pollux::iscsi::Initiator::take_returned(", 0.25, "lent reads given back, all at once"},
    {"pollux::platform::DpdkPacketMemory::release(", 0.5, "a buffer that two reads' views share"},
    {"pollux::platform::DpdkPort::Impl::build(", 1, "a frame that points into a caller's memory"},
    {"rte_pktmbuf_detach", 3, "net_ring passes the target's frames, which point into its disk"},
    {"librte_mempool_ring", 0.25,
     "buffers that go back to the peer's pool, a cache full at a time"},
};

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

/// Runs `work` several times over, stepped. Little at a time: a turn takes a hundred thousand times
/// what it takes otherwise, and where it takes seconds the other end gives the connection up.
Instructions step_through(Application& application, const Application::Work& work, int runs,
                          Application::Done& sum) {
  application.hold_time();
  start_stepping();
  for (int i = 0; i < runs; ++i) {
    const Application::Done done = application.run(work);
    sum.commands += done.commands;
    sum.bytes += done.bytes;
    sum.failed += done.failed;
  }
  return stop_stepping();
}

TEST_P(SteadyState, ExecutesLockedInstructionsOnlyWhereTheyAreKnown) {
  constexpr int kRuns = 6;
  constexpr std::uint64_t kCommands = kRuns * 4;  // one of each kind in a run
  Application::Done done;
  const Instructions seen =
      step_through(*application_, {.commands = 4, .long_ones = false, .rests = true}, kRuns, done);
  EXPECT_EQ(done.failed, 0u);
  EXPECT_EQ(done.commands, kCommands);
  for (const LockedPlace& place : seen.locked) {
    const std::string name = demangled(place.name);
    const double each = static_cast<double>(place.executed) / kCommands;
    std::printf("%6.2f for each command: %s\n", each, name.c_str());
    const auto* allowed =
        std::find_if(std::begin(kAllowedPlaces), std::end(kAllowedPlaces),
                     [&](const AllowedPlace& one) { return name.starts_with(one.name); });
    if (allowed == std::end(kAllowedPlaces))
      ADD_FAILURE() << name << " executes a locked instruction";
    else
      EXPECT_LE(each, allowed->most) << name << ": " << allowed->reason;
  }
}

/// What the replaced memcpy does not see: rte_memcpy and other loops that are compiled in line.
TEST_P(SteadyState, LentReadsAreNotCopiedInLineEither) {
  // The first of a run is long: beside 64 KiB its headers and completion do not count.
  constexpr int kRuns = 4;
  Application::Done done;
  const Instructions seen = step_through(
      *application_, {.kind = Kind::lent_read, .commands = 1, .rests = true}, kRuns, done);
  EXPECT_EQ(done.failed, 0u);
  EXPECT_EQ(done.bytes, kRuns * 64 * KiB);
  EXPECT_LE(seen.vector_bytes, done.bytes / 4);
}

INSTANTIATE_TEST_SUITE_P(On, SteadyState,
                         testing::Values(Wire{"wire", false, false}, Wire{"wire", true, false},
                                         Wire{"virtio_user", false, true},
                                         Wire{"virtio_user", true, true}),
                         [](const testing::TestParamInfo<Wire>& wire) {
                           return std::string(wire.param.copies_on_send ? "virtio_user" : "ring") +
                                  (wire.param.digests ? "_digests" : "");
                         });

}  // namespace
}  // namespace pollux::steady
