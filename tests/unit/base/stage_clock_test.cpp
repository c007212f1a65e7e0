// Cycles by stage, from a counter that the test moves.
#include "dataplane/base/stage_clock.hpp"

#include <gtest/gtest.h>

namespace pollux {
namespace {

std::uint64_t fake_now = 0;
std::uint64_t fake_read_cost = 0;  ///< what reading the counter takes
std::uint64_t fake_cycles() noexcept { return fake_now += fake_read_cost; }

class Stages : public testing::Test {
 protected:
  void SetUp() override { fake_now = fake_read_cost = 0; }

  /// Turns until one has been measured.
  template <class Turn>
  void measure(Turn turn, bool busy = true) {
    for (int i = 0; i < 61; ++i) {
      clock_.begin_turn(&fake_cycles, fake_now);
      turn();
      clock_.end_turn(busy);
    }
  }

  StageClock clock_;
};

TEST_F(Stages, OneTurnIn61IsMeasured) {
  measure([&] {
    clock_.enter(Stage::receive);
    fake_now += 100;
    clock_.enter(Stage::transmit);
    fake_now += 30;
  });
  // Reading the counter costs at least one cycle, which is taken off.
  EXPECT_EQ(clock_.sampled(Stage::receive), 99u);
  EXPECT_EQ(clock_.sampled(Stage::transmit), 29u);
  EXPECT_EQ(clock_.sampled(Stage::pdu), 0u);
}

TEST_F(Stages, AScopeGivesTheStageBack) {
  measure([&] {
    clock_.enter(Stage::pdu);
    fake_now += 10;
    {
      const StageScope copy(clock_, Stage::copy);
      fake_now += 200;
      const StageScope digest(clock_, Stage::digest);
      fake_now += 50;
    }
    fake_now += 20;
  });
  EXPECT_EQ(clock_.sampled(Stage::pdu), 28u);  // 10 and 20, in two pieces
  EXPECT_EQ(clock_.sampled(Stage::copy), 199u);
  EXPECT_EQ(clock_.sampled(Stage::digest), 49u);
}

TEST_F(Stages, ReadingTheCounterIsNoStagesTime) {
  fake_read_cost = 25;
  measure([&] {
    clock_.enter(Stage::tcp);
    fake_now += 1000;
    clock_.enter(Stage::other);
  });
  EXPECT_EQ(clock_.sampled(Stage::tcp), 1000u);
}

TEST_F(Stages, AnIdleTurnCountsNothing) {
  measure([&] { fake_now += 100; }, false);
  EXPECT_EQ(clock_.sampled(Stage::other), 0u);
}

TEST_F(Stages, WithoutACounterNothingIsMeasured) {
  for (int i = 0; i < 200; ++i) {
    clock_.begin_turn(nullptr, 0);
    const StageScope scope(clock_, Stage::copy);
    clock_.end_turn(true);
  }
  EXPECT_EQ(clock_.sampled(Stage::copy), 0u);
}

}  // namespace
}  // namespace pollux
