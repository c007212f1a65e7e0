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
    if (application_ == nullptr)
      application_ = std::make_unique<Application>(GetParam().name, GetParam().digests);
    ASSERT_TRUE(application_->ready());
    ASSERT_EQ(application_->run({.commands = 3000}).failed, 0u);
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
      application_->run({.commands = 12'000, .at_least = kSeveralPortChecks});
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
    done = application_->run({.commands = 12'000, .at_least = kSeveralPortChecks});
    count_system_calls(false);
  });
  thread.join();
  ASSERT_TRUE(is_filtered);
  EXPECT_EQ(done.commands, 12'000u);
  EXPECT_EQ(done.failed, 0u);
  const SystemCalls caught = take_system_calls();
  EXPECT_EQ(caught.count, 0u) << "the last was number " << caught.last;
}

struct Copied {
  Application::Done done;
  Calls calls;
  CopyCounters counted;  ///< the difference
};

Copied copies_of(Application& application, Kind kind) {
  watch_areas(application.memory(), application.snapshots());
  const CopyCounters before = application.copies();
  start_watch();
  const Application::Done done = application.run({.kind = kind, .commands = 4000});
  Copied copied{.done = done, .calls = stop_watch(), .counted = application.copies()};
  watch_areas({}, {});
  copied.counted.iscsi -= before.iscsi;
  copied.counted.tcp -= before.tcp;
  copied.counted.linearised -= before.linearised;
  copied.counted.sent_again -= before.sent_again;
  return copied;
}

/// A machine that holds the target's thread up makes the worker send again, which copies; such a
/// run says nothing.
Copied undisturbed_copies_of(Application& application, Kind kind) {
  Copied copied;
  for (int tries = 0; tries < 5; ++tries) {
    copied = copies_of(application, kind);
    if (copied.counted.sent_again == 0) break;
  }
  EXPECT_EQ(copied.counted.sent_again, 0u);
  EXPECT_EQ(copied.done.failed, 0u);
  // Between buffers of the worker itself nothing is moved, and no frame is put together anew.
  EXPECT_EQ(copied.calls.other_large_bytes, 0u);
  EXPECT_EQ(copied.counted.linearised, 0u);
  return copied;
}

TEST_P(SteadyState, LentReadsAreNotCopied) {
  const Copied copied = undisturbed_copies_of(*application_, Kind::lent_read);
  EXPECT_EQ(copied.counted.iscsi, 0u);
  EXPECT_EQ(copied.calls.area_bytes[0], 0u);
  EXPECT_EQ(copied.calls.area_bytes[1], 0u);
}

TEST_P(SteadyState, PlacedReadsAreCopiedOnce) {
  const Copied copied = undisturbed_copies_of(*application_, Kind::placed_read);
  EXPECT_EQ(copied.counted.iscsi, copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[0], copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[1], 0u);
}

TEST_P(SteadyState, RegisteredWritesAreNotCopied) {
  const Copied copied = undisturbed_copies_of(*application_, Kind::registered_write);
  EXPECT_EQ(copied.counted.iscsi, 0u);
  EXPECT_EQ(copied.calls.area_bytes[1], 0u);
  if (GetParam().copies_on_send) {
    EXPECT_EQ(copied.calls.area_bytes[0], copied.done.bytes);
    EXPECT_GE(copied.counted.tcp, copied.done.bytes);
  } else {
    // TCP copies a piece that is shorter than attaching it is worth (kCopyBelow), and counts it.
    EXPECT_EQ(copied.calls.area_large_bytes[0], 0u);
    EXPECT_LE(copied.calls.area_bytes[0], copied.counted.tcp);
    EXPECT_LE(copied.calls.area_bytes[0], copied.done.bytes / 20);
  }
}

TEST_P(SteadyState, PlainWritesAreCopiedOnceToASnapshot) {
  const Copied copied = undisturbed_copies_of(*application_, Kind::plain_write);
  EXPECT_EQ(copied.counted.iscsi, copied.done.bytes);
  EXPECT_EQ(copied.calls.area_bytes[0], copied.done.bytes);
  if (GetParam().copies_on_send) {
    EXPECT_EQ(copied.calls.area_bytes[1], copied.done.bytes);
    EXPECT_GE(copied.counted.tcp, copied.done.bytes);
  } else {
    EXPECT_EQ(copied.calls.area_large_bytes[1], 0u);
    EXPECT_LE(copied.calls.area_bytes[1], copied.counted.tcp);
    EXPECT_LE(copied.calls.area_bytes[1], copied.done.bytes / 20);
  }
}

/// Where a worker may execute a locked instruction, and why.
struct AllowedPlace {
  const char* name;
  const char* reason;
};

constexpr AllowedPlace kAllowedPlaces[] = {
    {"pollux_worker_poll", "one exchange a turn, so that two threads never turn one worker"},
};

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

TEST_P(SteadyState, ExecutesLockedInstructionsOnlyWhereTheyAreKnown) {
  constexpr std::uint64_t kCommands = 64;
  start_stepping();
  const Application::Done done =
      application_->run({.kind = Kind::all, .commands = kCommands, .long_ones = false});
  const Instructions seen = stop_stepping();
  EXPECT_EQ(done.failed, 0u);
  std::printf("%.0f instructions for each command, idle turns included; locked ones:\n",
              static_cast<double>(seen.executed) / kCommands);
  for (const LockedPlace& place : seen.locked) {
    const std::string name = demangled(place.name);
    std::printf("  %6.2f  %s\n", static_cast<double>(place.executed) / kCommands, name.c_str());
    EXPECT_TRUE(
        std::any_of(std::begin(kAllowedPlaces), std::end(kAllowedPlaces),
                    [&](const AllowedPlace& allowed) { return name.starts_with(allowed.name); }))
        << name << " executes a locked instruction";
  }
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
