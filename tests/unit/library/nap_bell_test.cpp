// Sleeping and being woken: no ring is missed whenever it comes, and workers that carry each
// other's frames keep each other awake.
#include "dataplane/worker/nap_bell.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "control/library/napping_worker.hpp"

namespace pollux {
namespace {

using library::NapGroup;
using worker::NapBell;
using Clock = std::chrono::steady_clock;

// Far above what a loaded machine takes to wake a thread, far below a nap that nobody cuts short.
constexpr auto kPrompt = 400ms;
constexpr Duration kLong = 900ms;

TEST(NapBell, ANapLastsAsLongAsAsked) {
  NapBell bell;
  bell.announce();
  const auto start = Clock::now();
  bell.nap(20ms);
  EXPECT_GE(Clock::now() - start, 20ms);
  EXPECT_TRUE(bell.is_announced()) << "nobody has rung";
}

TEST(NapBell, ARingBetweenAnnouncementAndNapIsNotMissed) {
  NapBell bell;
  bell.announce();
  bell.ring();
  EXPECT_FALSE(bell.is_announced());
  const auto start = Clock::now();
  bell.nap(kLong);
  EXPECT_LT(Clock::now() - start, kPrompt);
}

TEST(NapBell, ARingCutsANapShort) {
  NapBell bell;
  bell.announce();
  const auto start = Clock::now();
  std::thread ringer([&bell] {
    std::this_thread::sleep_for(20ms);
    bell.ring();
  });
  bell.nap(kLong);
  EXPECT_LT(Clock::now() - start, kPrompt);
  EXPECT_FALSE(bell.is_announced());
  ringer.join();
}

TEST(NapBell, ARingAtAnAwakeWorkerLeavesNoTrace) {
  NapBell bell;
  bell.ring();
  bell.announce();
  EXPECT_TRUE(bell.is_announced());
  bell.withdraw();
  EXPECT_FALSE(bell.is_announced());
}

// Work is handed over thousands of times at every moment of the sleeper's preparation; a single
// missed ring costs a whole nap.
TEST(NapBell, NoRingIsMissedInARace) {
  constexpr std::uint32_t kRounds = 300'000;
  NapBell bell;
  std::atomic<std::uint32_t> brought{0};
  std::atomic<std::uint32_t> taken{0};
  std::atomic<std::uint32_t> missed{0};
  std::thread sleeper([&] {
    while (taken.load(std::memory_order_relaxed) < kRounds) {
      const std::uint32_t seen = brought.load(std::memory_order_acquire);
      if (seen != taken.load(std::memory_order_relaxed)) {
        bell.withdraw();
        taken.store(seen, std::memory_order_release);
      } else if (!bell.is_announced()) {
        // As an idle turn takes: the ringer has noticed that its work was taken, and brings more.
        for (std::uint32_t spin = 0; spin < seen % 13; ++spin) __builtin_ia32_pause();
        bell.announce();
      } else {
        const auto start = Clock::now();
        bell.nap(kLong);
        if (Clock::now() - start >= kLong) missed.fetch_add(1);
      }
    }
  });
  for (std::uint32_t i = 1; i <= kRounds; ++i) {
    brought.store(i, std::memory_order_release);
    bell.ring();
    while (taken.load(std::memory_order_acquire) != i) {
    }
    // Mostly soon, when the sleeper is about to announce; now and then when it sleeps.
    const std::uint32_t spins = i % 16 == 0 ? i % 512 : i % 8;
    for (std::uint32_t spin = 0; spin < spins; ++spin) __builtin_ia32_pause();
  }
  sleeper.join();
  EXPECT_EQ(missed.load(), 0u);
}

TEST(NapGroup, KeepsAllAwakeWhileOneHasWork) {
  NapGroup group([] { return true; });
  NapBell first, second;
  group.add(first);
  group.add(second);
  EXPECT_FALSE(group.keeps_awake());
  second.announce();
  group.enter(first);
  EXPECT_TRUE(group.keeps_awake());
  EXPECT_FALSE(second.is_announced()) << "who slept was woken";
  group.enter(second);
  group.leave();
  EXPECT_TRUE(group.keeps_awake());
  group.leave();
  EXPECT_FALSE(group.keeps_awake());
}

TEST(NapGroup, LeavesAloneWhomADeviceSteers) {
  NapGroup group([] { return false; });
  NapBell first, second;
  group.add(first);
  group.add(second);
  second.announce();
  group.enter(first);
  EXPECT_FALSE(group.keeps_awake());
  EXPECT_TRUE(second.is_announced());
}

}  // namespace
}  // namespace pollux
