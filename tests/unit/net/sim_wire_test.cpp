// The simulated wire does what it is told: a test of the tools of the other tests.
#include "tests/support/sim_wire.hpp"

#include <gtest/gtest.h>

#include "tests/support/frame_checksum.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

using sim::SimWire;

TEST(SimWire, DeliversInOrderAfterTheDelay) {
  SimWire wire(1, Instant{});
  wire.faults(0).delay = 30us;
  wire.faults(0).jitter = 20us;
  for (unsigned i = 0; i < 100; ++i) wire.send(0, pattern(64, i));
  EXPECT_GE(wire.next_event(), Instant{30us});
  wire.advance(Instant{29us});
  EXPECT_FALSE(wire.take(1));
  wire.advance(Instant{50us});
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(wire.take(1), pattern(64, i));
}

TEST(SimWire, EachFaultHappensAboutAsOftenAsAskedAndIsCounted) {
  SimWire wire(2, Instant{});
  auto& faults = wire.faults(0);
  faults.drop_ppm = faults.duplicate_ppm = faults.reorder_ppm = 100'000;
  faults.corrupt_ppm = faults.corrupt_fixed_ppm = faults.truncate_ppm = 100'000;
  faults.burst_enter_ppm = 20'000;
  faults.burst_leave_ppm = 200'000;
  faults.burst_drop_ppm = 800'000;
  Ip ip;
  const Frame frame = to_us(ipv4(ip, tcp(ip, pattern(100))));
  for (int i = 0; i < 20'000; ++i) wire.send(0, frame);
  wire.advance(Instant{1s});
  const auto& hits = wire.hits(0);
  for (auto n : {hits.dropped, hits.duplicated, hits.reordered, hits.corrupted, hits.truncated,
                 hits.burst_dropped})
    EXPECT_NEAR(static_cast<double>(n), 1800, 700);
  EXPECT_GT(hits.corrupted_fixed, 1000u);
  EXPECT_EQ(hits.delivered, hits.sent + hits.duplicated - hits.dropped - hits.burst_dropped);
  EXPECT_EQ(wire.arrived(1), hits.delivered);
}

TEST(SimWire, FixedCorruptionPassesTheChecksum) {
  SimWire wire(3, Instant{});
  wire.faults(1).corrupt_fixed_ppm = 1'000'000;
  const Frame frame = to_us(ipv4({}, tcp({}, pattern(100))));
  wire.send(1, frame);
  wire.advance(Instant{1s});
  const auto got = wire.take(0);
  ASSERT_TRUE(got);
  EXPECT_NE(*got, frame);
  EXPECT_TRUE(sim::tcp_checksum_good(*got, sim::dissect(*got)));
}

TEST(SimWire, SameSeedSameFate) {
  const auto fate = [](std::uint64_t seed) {
    SimWire wire(seed, Instant{});
    wire.faults(0).drop_ppm = 500'000;
    std::vector<bool> out;
    for (int i = 0; i < 200; ++i) {
      const auto before = wire.hits(0).dropped;
      wire.send(0, Frame(60));
      out.push_back(wire.hits(0).dropped != before);
    }
    return out;
  };
  EXPECT_EQ(fate(4), fate(4));
  EXPECT_NE(fate(4), fate(5));
}

TEST(SimWire, RateLimitSpacesFramesAndDropsBehindTheQueue) {
  SimWire wire(6, Instant{});
  auto& faults = wire.faults(0);
  faults.delay = 0us;
  faults.bits_per_second = 1'000'000'000;
  faults.queue_bytes = 10'000;
  for (int i = 0; i < 20; ++i) wire.send(0, Frame(1226));
  EXPECT_NEAR(static_cast<double>(wire.hits(0).queue_dropped), 12, 1);
  wire.advance(Instant{10us});
  EXPECT_EQ(wire.arrived(1), 1u);
  wire.advance(Instant{20us});
  EXPECT_EQ(wire.arrived(1), 2u);
}

TEST(SimWire, NthPredicatePauseAndLink) {
  SimWire wire(7, Instant{});
  wire.drop_nth(0, 2);
  wire.drop_if(0, [](auto frame) { return frame.size() == 99; });
  for (std::size_t size : {61, 62, 99, 63}) wire.send(0, Frame(size));
  wire.set_paused(0, true);
  wire.send(0, Frame(64));
  wire.advance(Instant{1s});
  EXPECT_EQ(wire.arrived(1), 2u);
  wire.set_paused(0, false);
  wire.set_link(false);
  wire.send(0, Frame(65));
  wire.advance(Instant{2s});
  EXPECT_EQ(wire.arrived(1), 3u);
  const auto& hits = wire.hits(0);
  EXPECT_EQ(hits.nth_dropped, 1u);
  EXPECT_EQ(hits.predicate_dropped, 1u);
  EXPECT_EQ(hits.link_dropped, 1u);
}

TEST(HeapPacketMemoryDeathTest, AbortsOnDoubleReleaseAndOnWritesAfterRelease) {
  sim::HeapPacketMemory memory({.buffers = 2, .buffer_bytes = 128, .trackers = 1});
  platform::FrameBuffer buffer;
  ASSERT_EQ(memory.allocate({&buffer, 1}), 1u);
  memory.retain(buffer.handle);
  memory.release(buffer.handle);
  EXPECT_EQ(memory.buffers_in_use(), 1u);
  memory.release(buffer.handle);
  EXPECT_EQ(buffer.data[100], sim::HeapPacketMemory::kPoison);
  EXPECT_DEATH(memory.release(buffer.handle), "references");
  buffer.data[5] = std::byte{1};
  std::array<platform::FrameBuffer, 2> both;
  EXPECT_DEATH(memory.allocate(both), "written_after_release");
}

}  // namespace
}  // namespace pollux::net::test
