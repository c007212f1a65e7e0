// The timer wheel against a list of deadlines: never early, at most a tick late, and bounded work
// however far time jumps.
#include "dataplane/base/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

#include "dataplane/base/random.hpp"

namespace pollux {
namespace {

constexpr Duration kTick{1 << 17};
constexpr Instant kStart{1000s};

std::vector<std::uint32_t> expire(TimerWheel& wheel, Instant now, std::size_t limit = 1'000'000) {
  std::vector<std::uint32_t> fired;
  wheel.expire(now, limit, [&](TimerNode& node) {
    EXPECT_LE(node.deadline, now) << "early";
    EXPECT_FALSE(node.armed());
    fired.push_back(node.owner_index);
  });
  return fired;
}

TEST(TimerWheel, RandomOperationsAgreeWithAModel) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Instant now = kStart + Duration(random.below(1'000'000'000));
    TimerWheel wheel(now);
    std::vector<TimerNode> nodes(200);
    std::map<std::uint32_t, Instant> model;
    for (std::uint32_t i = 0; i < nodes.size(); ++i) nodes[i].owner_index = i;
    // Shorter and longer than each level of the wheel reaches.
    const Duration reaches[] = {1ms, 30ms, 40ms, 9s, 40min, 3h};
    for (int round = 0; round < 4000; ++round) {
      const std::uint32_t i = random.below(200);
      switch (random.below(4)) {
        case 0:
        case 1: {
          const Duration reach = reaches[random.below(6)];
          const Instant deadline = now +
                                   Duration(static_cast<std::int64_t>(
                                       random.next() % static_cast<std::uint64_t>(reach.count()))) -
                                   1ms;
          wheel.arm(nodes[i], deadline);
          model[i] = deadline;
          break;
        }
        case 2:
          wheel.cancel(nodes[i]);
          model.erase(i);
          break;
        default: {
          const Duration step = reaches[random.below(random.below(20) == 0 ? 6 : 4)];
          now += Duration(
              static_cast<std::int64_t>(random.next() % static_cast<std::uint64_t>(step.count())));
          for (const std::uint32_t fired : expire(wheel, now)) ASSERT_EQ(model.erase(fired), 1u);
          for (const auto& [left, deadline] : model)
            ASSERT_GT(deadline + 2 * kTick, now) << "late: " << left;
        }
      }
      ASSERT_EQ(wheel.armed_count(), model.size());
      Instant earliest = kNever;
      for (const auto& [left, deadline] : model) earliest = std::min(earliest, deadline);
      ASSERT_EQ(wheel.next_deadline(), earliest);
    }
  }
}

TEST(TimerWheel, JumpOfAYearIsBoundedWork) {
  TimerWheel wheel(kStart);
  std::vector<TimerNode> nodes(1000);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    nodes[i].owner_index = i;
    wheel.arm(nodes[i], kStart + i * 1h);
  }
  const auto before = std::chrono::steady_clock::now();
  // 400 days in 800 steps: tick by tick these are 264 billion ticks.
  std::size_t fired = 0;
  for (int half_days = 1; half_days <= 800; ++half_days)
    fired += expire(wheel, kStart + half_days * 12h).size();
  EXPECT_EQ(fired, 1000u);
  EXPECT_EQ(wheel.armed_count(), 0u);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
}

TEST(TimerWheel, LimitLeavesTheRestForTheNextCall) {
  TimerWheel wheel(kStart);
  std::vector<TimerNode> nodes(10);
  for (TimerNode& node : nodes) wheel.arm(node, kStart + 1ms);
  EXPECT_EQ(expire(wheel, kStart + 10ms, 4).size(), 4u);
  EXPECT_EQ(wheel.armed_count(), 6u);
  wheel.cancel(*std::find_if(nodes.begin(), nodes.end(),
                             [](const TimerNode& node) { return node.armed(); }));
  EXPECT_EQ(expire(wheel, kStart + 10ms, 100).size(), 5u);
}

TEST(TimerWheel, FiringMayArmAndCancelAnyNode) {
  TimerWheel wheel(kStart);
  TimerNode nodes[3];
  wheel.arm(nodes[0], kStart);
  wheel.arm(nodes[1], kStart);
  wheel.arm(nodes[2], kStart + 1s);
  int fired = 0;
  wheel.expire(kStart + 1ms, 10, [&](TimerNode& node) {
    ++fired;
    wheel.cancel(nodes[1]);
    wheel.cancel(nodes[2]);
    wheel.arm(node, kStart + 5ms);
  });
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(wheel.armed_count(), 1u);
  EXPECT_EQ(expire(wheel, kStart + 4ms).size(), 0u);
  EXPECT_EQ(expire(wheel, kStart + 6ms).size(), 1u);
}

}  // namespace
}  // namespace pollux
