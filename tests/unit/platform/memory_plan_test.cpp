// The arithmetic of packet memory.

#include "dataplane/platform/memory_plan.hpp"

#include <gtest/gtest.h>

namespace pollux::platform {
namespace {

MemoryPlan planned(const MemoryPlanInput& input) {
  MemoryPlan plan;
  std::string error;
  EXPECT_TRUE(plan_memory(input, plan, error)) << error;
  return plan;
}

TEST(MemoryPlan, LinesAddUpToThePools) {
  const MemoryPlan plan = planned({});
  std::uint64_t rx = 0;
  std::uint64_t frames = 0;
  for (const MemoryPlanLine& line : plan.lines) {
    EXPECT_GT(line.buffers, 0U) << line.place;
    if (line.pool == PlanPool::rx) rx += line.buffers;
    if (line.pool == PlanPool::frames) frames += line.buffers;
  }
  EXPECT_EQ(plan.options.rx_buffers, rx);
  EXPECT_EQ(plan.options.frame_buffers, frames);
  EXPECT_EQ(plan.memory_mib, plan.hugepages * 2);
  EXPECT_GT(plan.total_bytes, plan.bytes_per_worker);
}

TEST(MemoryPlan, MoreOfAnythingNeedsNoLess) {
  const std::uint64_t base = planned({}).total_bytes;
  EXPECT_GT(planned({.workers = 2}).total_bytes, base);
  EXPECT_GT(planned({.sessions = 1024}).total_bytes, base);
  EXPECT_GT(planned({.rx_descriptors = 1024}).total_bytes, base);
  EXPECT_GT(planned({.lent_bytes_budget = 64 << 20}).total_bytes, base);
  EXPECT_GT(planned({.in_process_wire = true}).total_bytes, base);
}

TEST(MemoryPlan, WindowsOfFullFramesFit) {
  // 16 connections with 16 KiB of 9000-byte frames, each frame a chain of five buffers.
  const MemoryPlan plan = planned({.mtu = 9000});
  EXPECT_GE(plan.options.frame_bytes, 9014U);
  EXPECT_GE(plan.options.rx_buffers, 16U * 2 * 5);
}

TEST(MemoryPlan, DriverWithoutScatterGetsBuffersForAWholeFrame) {
  const MemoryPlan plan = planned({.mtu = 3400, .one_buffer_frames = true});
  EXPECT_GE(plan.options.rx_buffer_bytes, 3400U + 18 + 256);
  EXPECT_EQ(planned({.mtu = 3400}).options.rx_buffer_bytes, 2048U);
}

TEST(MemoryPlan, RefusalsNameTheNumber) {
  MemoryPlan plan;
  std::string error;
  EXPECT_FALSE(plan_memory({.mtu = 65'000}, plan, error));
  EXPECT_NE(error.find("mtu must be"), std::string::npos);
  EXPECT_FALSE(plan_memory({.workers = 0}, plan, error));
  EXPECT_FALSE(plan_memory({.lent_bytes_budget = 1ULL << 40}, plan, error));
  EXPECT_NE(error.find("lower sessions, windows or the lent budget"), std::string::npos);
  EXPECT_FALSE(plan_memory({.ports = 16, .tx_descriptors = 16'384}, plan, error));
  EXPECT_NE(error.find("lower tx_descriptors"), std::string::npos);
}

std::uint64_t window_buffers(const MemoryPlan& plan) {
  std::uint64_t windows = 0;
  for (const MemoryPlanLine& line : plan.lines)
    if (std::string(line.place).find("window") != std::string::npos) windows += line.buffers;
  return windows;
}

TEST(MemoryPlan, WhatTcpMayKeepFitsTheLinesOfWindows) {
  for (const std::uint32_t mtu : {1500U, 9000U}) {
    const MemoryPlan plan = planned({.sessions = 100, .mtu = mtu});
    const std::uint64_t windows = window_buffers(plan);
    EXPECT_LE(plan.receive_views_most, windows);
    EXPECT_GT(plan.receive_views_least, 0U);
    EXPECT_LE(plan.receive_views_total + 100U * 2 * plan.receive_views_least, windows);
    EXPECT_GE(plan.receive_views_total + 100U * 2 * plan.receive_views_least, windows / 2);
  }
}

TEST(MemoryPlan, SmallestWindowsAreForSoManyConnectionsAsHoldSomethingAtOnce) {
  const MemoryPlan some = planned({.sessions = 256});
  const MemoryPlan many = planned({.sessions = 4096});
  EXPECT_EQ(window_buffers(many), window_buffers(some));
  EXPECT_EQ(many.receive_views_most, some.receive_views_most);
  EXPECT_EQ(many.receive_views_least, some.receive_views_least);
  EXPECT_GT(many.receive_views_most, many.receive_views_total);
}

}  // namespace
}  // namespace pollux::platform
