// A port that frees lazily, as NIC drivers do, under a worker that falls idle: what it keeps comes
// back within a bound, or is reported as held.
#include <gtest/gtest.h>

#include <vector>

#include "dataplane/worker/idle_reclaim.hpp"
#include "tests/support/sim_queue.hpp"
#include "tests/support/sim_world.hpp"

namespace pollux {
namespace {

using sim::SimQueue;
using sim::SimWorld;
using worker::IdleReclaim;

/// Writes 64 KiB out of registered memory and waits for the response.
void write_some(SimWorld& world) {
  SimQueue queue(world, 8, 1 * MiB);
  std::vector<std::byte> bytes(64 * KiB);
  const iovec iov[] = {{bytes.data(), bytes.size()}};
  const auto done = queue.run(
      SimQueue::transfer(POLLUX_WRITE, world.session_id(0), 0, iov, 1, POLLUX_REGISTERED));
  ASSERT_EQ(done.result, 0);
}

std::uint64_t external_in_flight(SimWorld& world) {
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < world.initiator_memory.tracker_count(); ++i)
    frames += world.initiator_memory.in_flight(*world.initiator_memory.tracker(i));
  return frames;
}

TEST(IdleReclaim, C107_WhatALazyPortKeepsComesBackWithinTwoMilliseconds) {
  sim::WorldOptions options;
  // On its own the port gives nothing back; when poked, what it has sent.
  options.initiator_port.completion_min = 1us;
  options.initiator_port.completion_max = 4s;
  SimWorld world(options);
  ASSERT_TRUE(world.log_in(0));
  write_some(world);
  world.run_for(15ms);  // delayed acknowledgments leave
  const Instant idle_since = world.now();
  world.run_for(2ms);
  EXPECT_EQ(world.initiator_port.in_flight(), 0u) << "since " << (world.now() - idle_since).count();
  EXPECT_EQ(external_in_flight(world), 0u);
  EXPECT_EQ(world.worker->counters().external_held.get(), 0u);
  EXPECT_NE(world.worker->counters().reclaims.get(), 0u);
  // And then it is left alone.
  const std::uint64_t reclaims = world.worker->counters().reclaims.get();
  world.run_for(50ms);
  EXPECT_EQ(world.worker->counters().reclaims.get(), reclaims);
}

TEST(IdleReclaim, C107_WhatThePortDoesNotGiveBackIsReportedAsHeld) {
  sim::WorldOptions options;
  options.initiator_port.completion_min = 500ms;  // whoever asks
  options.initiator_port.completion_max = 4s;
  SimWorld world(options);
  ASSERT_TRUE(world.log_in(0));
  write_some(world);
  world.run_for(50ms);
  EXPECT_NE(external_in_flight(world), 0u);
  EXPECT_EQ(world.worker->counters().external_held.get(), external_in_flight(world));
  world.run_for(600ms);
  EXPECT_EQ(external_in_flight(world), 0u);
  EXPECT_EQ(world.worker->counters().external_held.get(), 0u);
}

TEST(IdleReclaim, PokesWithinABoundAndEverMoreRarely) {
  IdleReclaim port;
  const Instant start{1s};
  EXPECT_EQ(port.next_deadline(), kNever);
  port.on_sent(start);
  port.on_sent(start + 500us);
  EXPECT_FALSE(port.due(start + 999us));
  EXPECT_TRUE(port.due(start + 1ms));  // a busy port too
  port.on_reclaimed(true, start + 1ms);
  EXPECT_EQ(port.next_deadline(), start + 1500us);
  Instant now = start + 1500us;
  Duration before{0};
  for (int i = 0; i < 20; ++i) {
    port.on_reclaimed(true, now);
    const Duration wait = port.next_deadline() - now;
    EXPECT_GE(wait, before);
    EXPECT_LE(wait, IdleReclaim::kLongest);
    before = wait;
    now = port.next_deadline();
  }
  EXPECT_EQ(before, IdleReclaim::kLongest);
  port.on_reclaimed(true, now);
  port.on_sent(now);
  EXPECT_EQ(port.next_deadline(), now + IdleReclaim::kFirst);
  port.on_reclaimed(false, now + 1ms);
  EXPECT_EQ(port.next_deadline(), kNever);
}

}  // namespace
}  // namespace pollux
