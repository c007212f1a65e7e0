// The stages of an idle worker's rest, as decisions about given times: when it polls, pauses and
// naps, how naps grow, and that they end before a timer is due.
#include "control/library/idle_backoff.hpp"

#include <gtest/gtest.h>

namespace pollux::library {
namespace {

constexpr Instant kStart{1s};
constexpr Duration kNapMax = 1ms;

struct Fixture : testing::Test {
  /// The first instant at which a worker that worked last at kStart may nap.
  static constexpr Instant kRested = kStart + 50us + IdleBackoff::kPauseStage;

  /// A worker that has just stopped working, then done nothing until kRested.
  Fixture() {
    EXPECT_EQ(backoff.after_turn(true, kStart), IdleAction::turn);
    EXPECT_EQ(backoff.after_turn(false, kRested), IdleAction::nap);
  }
  IdleBackoff backoff{{.spin = 50us, .nap_max = kNapMax}};
};

using IdleBackoffTest = Fixture;

TEST(IdleBackoffStages, PollsThenPausesThenNaps) {
  IdleBackoff backoff({.spin = 50us, .nap_max = kNapMax});
  EXPECT_EQ(backoff.after_turn(true, kStart), IdleAction::turn);
  EXPECT_EQ(backoff.after_turn(false, kStart + 49us), IdleAction::turn);
  EXPECT_EQ(backoff.after_turn(false, kStart + 50us), IdleAction::pause);
  const Duration stages = 50us + IdleBackoff::kPauseStage;
  EXPECT_EQ(backoff.after_turn(false, kStart + stages - 1ns), IdleAction::pause);
  EXPECT_EQ(backoff.after_turn(false, kStart + stages), IdleAction::nap);
}

TEST(IdleBackoffStages, WithoutASpinItPausesAtOnce) {
  IdleBackoff backoff({.spin = 0us, .nap_max = kNapMax});
  EXPECT_EQ(backoff.after_turn(true, kStart), IdleAction::turn);
  EXPECT_EQ(backoff.after_turn(false, kStart + 1us), IdleAction::pause);
}

TEST_F(IdleBackoffTest, WorkStartsAllStagesAnew) {
  EXPECT_EQ(backoff.after_turn(true, kRested), IdleAction::turn);
  EXPECT_EQ(backoff.after_turn(false, kRested + 49us), IdleAction::turn);
  EXPECT_EQ(backoff.after_turn(false, kRested + 51us), IdleAction::pause);
}

TEST_F(IdleBackoffTest, NapsDoubleUpToTheLongest) {
  backoff.know_deadline(kNever, kRested);
  Duration expected = IdleBackoff::kNapFirst;
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(backoff.nap_length(kRested), expected);
    expected = std::min(2 * expected, kNapMax);
  }
  EXPECT_EQ(expected, kNapMax);
}

TEST_F(IdleBackoffTest, AfterWorkNapsAreShortAgain) {
  backoff.know_deadline(kNever, kRested);
  for (int i = 0; i < 12; ++i) (void)backoff.nap_length(kRested);
  EXPECT_EQ(backoff.after_turn(true, kRested), IdleAction::turn);
  backoff.know_deadline(kNever, kRested + 1s);
  EXPECT_EQ(backoff.nap_length(kRested + 1s), IdleBackoff::kNapFirst);
}

TEST(IdleBackoffStages, NoNapIsLongerThanTheLongest) {
  IdleBackoff backoff({.spin = 0us, .nap_max = 3us});
  EXPECT_EQ(backoff.after_turn(true, kStart), IdleAction::turn);
  backoff.know_deadline(kNever, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(backoff.nap_length(kStart), 3us);
}

TEST_F(IdleBackoffTest, ANapEndsBeforeTheDeadline) {
  constexpr Duration kUntilTimer = IdleBackoff::kWakeMargin + 300us;
  backoff.know_deadline(kRested + kUntilTimer, kRested);
  Instant now = kRested;
  Duration nap;
  int naps = 0;
  while ((nap = backoff.nap_length(now)) != Duration::zero()) {
    now += nap;
    ASSERT_LE(now, kRested + kUntilTimer - IdleBackoff::kWakeMargin);
    ASSERT_LT(++naps, 10);
  }
  // Up to a nap that is not worth it, all of the time was slept.
  EXPECT_GT(now, kRested + kUntilTimer - IdleBackoff::kWakeMargin - IdleBackoff::kNapLeast);
}

TEST_F(IdleBackoffTest, ADeadlineThatHasPassedAllowsNoNap) {
  backoff.know_deadline(kRested - 1ms, kRested);
  EXPECT_EQ(backoff.nap_length(kRested), Duration::zero());
  backoff.know_deadline(kRested, kRested);
  EXPECT_EQ(backoff.nap_length(kRested), Duration::zero());
}

TEST_F(IdleBackoffTest, AsksForTheDeadlineOnceUntilItMayHaveMoved) {
  EXPECT_TRUE(backoff.wants_deadline(kRested));
  backoff.know_deadline(kRested + 5ms, kRested);
  EXPECT_FALSE(backoff.wants_deadline(kRested));
  EXPECT_FALSE(backoff.wants_deadline(kRested + 5ms - 1ns));
  EXPECT_TRUE(backoff.wants_deadline(kRested + 5ms))
      << "the timer has fired and may be armed again";
  backoff.know_deadline(kNever, kRested);
  EXPECT_FALSE(backoff.wants_deadline(kRested + IdleBackoff::kDeadlineAge - 1ns));
  EXPECT_TRUE(backoff.wants_deadline(kRested + IdleBackoff::kDeadlineAge));
  EXPECT_EQ(backoff.after_turn(true, kRested), IdleAction::turn);
  EXPECT_TRUE(backoff.wants_deadline(kRested + 1us)) << "work arms timers";
}

}  // namespace
}  // namespace pollux::library
