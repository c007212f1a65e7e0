// Ports that do more than carry frames, or stop carrying them: large segments that the port cuts
// (TSO), links that go down and come back, devices that are removed under a running session.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "dataplane/tcp/counters.hpp"
#include "tests/support/disk_stamp.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/sim_queue.hpp"
#include "tests/support/sim_world.hpp"

namespace pollux {
namespace {

using sim::SimQueue;
using sim::SimWorld;
using sim::WorldOptions;

constexpr std::size_t kEthernetBytes = 14;

/// Both ends cut large segments as a NIC with TSO does.
WorldOptions with_tso(std::uint64_t seed, std::uint16_t mtu) {
  WorldOptions options;
  options.seed = seed;
  for (sim::SimPortOptions* port : {&options.initiator_port, &options.target_port}) {
    port->mtu = mtu;
    port->tx_checksum = true;
    port->tso_bytes_max = 65'415;
  }
  return options;
}

/// What one data segment on the wire looked like.
struct Seen {
  std::size_t from;
  std::size_t frame_bytes;
  std::uint32_t sequence;
  std::uint32_t payload;
  std::uint8_t flags;
};

/// Notes every data segment that is sent, and that its sums are right.
void note_segments(SimWorld& world, std::vector<Seen>& seen) {
  world.wire.watch([&seen](std::size_t from, Instant, std::span<const std::byte> frame) {
    const sim::TcpFrame at = sim::dissect(frame);
    if (!at.valid || at.end == at.payload) return;
    EXPECT_TRUE(sim::ip_checksum_good(frame));
    EXPECT_TRUE(sim::tcp_checksum_good(frame, at));
    seen.push_back({from, frame.size(), load<Be32>(&frame[at.tcp + 4]).get(),
                    static_cast<std::uint32_t>(at.end - at.payload),
                    std::to_integer<std::uint8_t>(frame[at.tcp + 13])});
  });
}

/// Writes and reads back `bytes` once; true when both completed well and the bytes are the same.
bool round_trip(SimWorld& world, std::size_t bytes, std::uint64_t generation) {
  SimQueue queue(world);
  std::vector<std::byte> out(bytes), in(bytes);
  sim::stamp(out, 64, generation, 7);
  const iovec out_iov{out.data(), bytes};
  const iovec in_iov{in.data(), bytes};
  const auto written = queue.run(
      SimQueue::transfer(POLLUX_WRITE, world.session_id(0), 64, &out_iov, 1, POLLUX_REGISTERED));
  const auto read = queue.run(SimQueue::transfer(POLLUX_READ, world.session_id(0), 64, &in_iov, 1));
  return written.result == 0 && read.result == 0 && sim::wrong_blocks(in, 64, generation, 7) == 0;
}

TEST(Tso, LargeSegmentsCarryTransfersBothWays) {
  for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
    SimWorld world(with_tso(1, mtu));
    std::vector<Seen> seen;
    note_segments(world, seen);
    ASSERT_TRUE(world.log_in(0));
    for (std::uint64_t generation = 1; generation <= 4; ++generation)
      EXPECT_TRUE(round_trip(world, 1 * MiB + 512, generation)) << "mtu " << mtu;
    EXPECT_GT(world.initiator_port.hits().tx_large, 20u);
    EXPECT_GT(world.target_port.hits().tx_large, 20u);
    EXPECT_EQ(world.worker->engine(0).counters().large_segments_sent.get(),
              world.initiator_port.hits().tx_large);
    EXPECT_EQ(world.worker->engine(0).counters().segments_retransmitted.get(), 0u);
    for (const Seen& segment : seen) ASSERT_LE(segment.frame_bytes, mtu + kEthernetBytes);
    EXPECT_TRUE(world.log_out(0));
  }
}

TEST(Tso, C61_LastSegmentOfABurstHasPshAlsoWhenThePortCuts) {
  constexpr std::uint8_t kPsh = 0x08;
  for (const bool cuts : {false, true}) {
    SimWorld world(cuts ? with_tso(2, 1500) : WorldOptions{});
    ASSERT_TRUE(world.log_in(0));
    std::vector<Seen> seen;
    note_segments(world, seen);
    EXPECT_TRUE(round_trip(world, 256 * KiB, 1));
    EXPECT_EQ(world.initiator_port.hits().tx_large > 3, cuts);
    std::erase_if(seen, [](const Seen& segment) { return segment.from != 0; });
    ASSERT_GT(seen.size(), 180u);
    // RFC 9293 3.9.1 MUST-60 and 61: what ends a burst is pushed, what another part follows is not.
    EXPECT_NE(seen.back().flags & kPsh, 0);
    std::size_t pushed = 0;
    for (const Seen& segment : seen) pushed += (segment.flags & kPsh) != 0;
    EXPECT_LT(pushed * 4, seen.size()) << "cuts: " << cuts;
    EXPECT_TRUE(world.log_out(0));
  }
}

TEST(Tso, LossIsRepairedOneSegmentAtATime) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SimWorld world(with_tso(seed, 1500));
    ASSERT_TRUE(world.log_in(0));
    for (const std::size_t from : {0, 1}) {
      world.wire.faults(from).drop_ppm = 10'000;
      world.wire.faults(from).reorder_ppm = 5'000;
    }
    std::uint32_t highest = 0;
    bool started = false;
    std::uint64_t large_repeats = 0;
    world.wire.watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
      const sim::TcpFrame at = sim::dissect(frame);
      if (from != 0 || !at.valid || at.end == at.payload) return;
      const std::uint32_t start = load<Be32>(&frame[at.tcp + 4]).get();
      const std::uint32_t end = start + static_cast<std::uint32_t>(at.end - at.payload);
      const bool is_repeat = started && static_cast<std::int32_t>(end - highest) <= 0;
      if (is_repeat && world.initiator_port.is_cutting()) ++large_repeats;
      if (!started || static_cast<std::int32_t>(end - highest) > 0) highest = end;
      started = true;
    });
    for (std::uint64_t generation = 1; generation <= 3; ++generation)
      ASSERT_TRUE(round_trip(world, 512 * KiB, generation)) << "seed " << seed;
    EXPECT_GT(world.worker->engine(0).counters().segments_retransmitted.get(), 0u);
    EXPECT_GT(world.initiator_port.hits().tx_large, 10u);
    EXPECT_EQ(large_repeats, 0u);
    world.wire.heal();
    EXPECT_TRUE(world.log_out(0));
  }
}

TEST(Tso, FewPiecesAndARefusingPortAreNoObstacle) {
  WorldOptions options = with_tso(3, 1500);
  options.initiator_port.tso_segments_max = 3;
  options.initiator_port.tx_segments_max = 3;
  options.initiator_port.transmit_most = 5;
  options.initiator_port.tso_bytes_max = 20'000;
  SimWorld world(options);
  ASSERT_TRUE(world.log_in(0));
  EXPECT_TRUE(round_trip(world, 1 * MiB, 1));
  EXPECT_GT(world.initiator_port.hits().tx_large, 10u);
  EXPECT_GT(world.initiator_port.hits().tx_refused, 0u);
  EXPECT_TRUE(world.log_out(0));
}

TEST(Tso, PortThatCannotReadForeignMemoryGetsCopies) {
  for (const bool cuts : {false, true}) {
    WorldOptions options = cuts ? with_tso(4, 9000) : WorldOptions{};
    options.initiator_port.tx_external = options.target_port.tx_external = false;
    SimWorld world(options);
    ASSERT_TRUE(world.log_in(0));
    EXPECT_TRUE(round_trip(world, 1 * MiB + 512, 1));
    EXPECT_EQ(world.initiator_port.hits().tx_large > 10, cuts);
    EXPECT_GE(world.worker->engine(0).counters().bytes_copied.get(), 1 * MiB);
    EXPECT_TRUE(world.log_out(0));
  }
}

TEST(Tso, IsOffWhenThePortHasNone) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  EXPECT_TRUE(round_trip(world, 256 * KiB, 1));
  EXPECT_EQ(world.worker->engine(0).counters().large_segments_sent.get(), 0u);
  EXPECT_TRUE(world.log_out(0));
}

// --- Links and devices

/// Eight commands at once, half of them writes.
class Batch {
 public:
  explicit Batch(SimWorld& world) : queue_(world), memory_(kCommands * kBytes) {
    for (std::size_t i = 0; i < kCommands; ++i) {
      iov_[i] = {memory_.data() + i * kBytes, kBytes};
      EXPECT_EQ(
          queue_.submit(SimQueue::transfer(i % 2 ? POLLUX_WRITE : POLLUX_READ, world.session_id(0),
                                           4096 * i, &iov_[i], 1, i % 2 ? POLLUX_REGISTERED : 0)),
          1);
    }
  }
  /// How many of them ended with `result`.
  int wait(int result, Duration limit) {
    int count = 0;
    for (std::size_t i = 0; i < kCommands; ++i) count += queue_.wait(limit).result == result;
    return count;
  }
  static constexpr std::size_t kCommands = 8;
  static constexpr std::size_t kBytes = 512 * KiB;

 private:
  SimQueue queue_;
  std::vector<std::byte> memory_;
  std::array<iovec, kCommands> iov_{};
};

TEST(Link, DownForThreeSecondsIsAPauseAndNoMore) {
  SimWorld world;
  for (const std::size_t from : {0, 1}) world.wire.faults(from).bits_per_second = 1'000'000'000;
  ASSERT_TRUE(world.log_in(0));
  {
    Batch batch(world);
    world.run_for(5ms);
    world.wire.set_link(false);
    world.run_for(200ms);
    EXPECT_EQ(world.worker->port_state(0), platform::PortState::down);
    const std::uint64_t lost_before = world.wire.hits(0).link_dropped;
    world.run_for(2800ms);
    EXPECT_EQ(world.wire.hits(0).link_dropped, lost_before) << "nothing is sent into a dead port";
    EXPECT_EQ(worker::port_state(world.link.ports[0]), platform::PortState::down);
    world.wire.set_link(true);
    const Instant up = world.now();
    EXPECT_EQ(batch.wait(0, 30s), static_cast<int>(Batch::kCommands));
    // Our side tries at once; the target knows nothing of the link and may have backed off.
    EXPECT_LT(world.now() - up, 5s);
    EXPECT_EQ(world.worker->port_state(0), platform::PortState::up);
    EXPECT_EQ(worker::port_changes(world.link.ports[0]), 2u);
  }
  EXPECT_TRUE(world.log_out(0));
}

TEST(Link, SenderTriesAtOnceWhenTheLinkIsBack) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  {
    SimQueue queue(world);
    std::vector<std::byte> memory(4096);
    const iovec iov{memory.data(), memory.size()};
    world.wire.set_link(false);
    world.run_for(200ms);
    ASSERT_EQ(queue.submit(SimQueue::transfer(POLLUX_WRITE, world.session_id(0), 0, &iov, 1)), 1);
    world.run_for(2s);
    world.wire.set_link(true);
    const Instant up = world.now();
    EXPECT_EQ(queue.wait(10s).result, 0);
    // Within the interval of the checks, not at the next time-out of a timer that has backed off.
    EXPECT_LT(world.now() - up, 50ms);
  }
  EXPECT_TRUE(world.log_out(0));
}

TEST(Link, DownForGoodEndsConnectionsWithinTheirTimeouts) {
  SimWorld world;
  for (const std::size_t from : {0, 1}) world.wire.faults(from).bits_per_second = 1'000'000'000;
  ASSERT_TRUE(world.log_in(0));
  {
    Batch batch(world);
    world.run_for(5ms);
    world.wire.set_link(false);
    const int good = batch.wait(0, 200s);
    EXPECT_LT(good, static_cast<int>(Batch::kCommands));
    world.wire.set_link(true);
  }
  world.run_for(5s);
  EXPECT_EQ(world.worker->initiator().tasks_in_use(), 0u);
}

TEST(Link, RemovalEndsEveryConnectionAndCommand) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  ASSERT_TRUE(world.log_in(1));
  {
    Batch batch(world);
    world.run_for(100us);
    world.initiator_port.remove();
    const Instant removed = world.now();
    EXPECT_EQ(batch.wait(POLLUX_ESESSION_LOST, 10s), static_cast<int>(Batch::kCommands));
    EXPECT_LT(world.now() - removed, 2s);
  }
  EXPECT_EQ(world.worker->port_state(0), platform::PortState::removed);
  EXPECT_EQ(worker::port_state(world.link.ports[0]), platform::PortState::removed);
  int ended = 0;
  while (const auto message = world.take_message()) {
    if (message->kind != iscsi::ToControlKind::ended) continue;
    EXPECT_EQ(message->reason, iscsi::LossReason::port_removed);
    ++ended;
  }
  EXPECT_EQ(ended, 2);
  world.run_for(2s);
  EXPECT_EQ(world.worker->engine(0).open_connections(), 0u);
  EXPECT_EQ(world.worker->initiator().tasks_in_use(), 0u);
  EXPECT_EQ(world.initiator_port.in_flight(), 0u);
  const std::size_t cached = world.worker->interface(0).counters().buffers_cached.get();
  EXPECT_LE(world.initiator_memory.buffers_in_use(), cached + 1);

  // Whoever asks for a connection now hears the same at once.
  EXPECT_FALSE(world.log_in(2));
  const auto message = world.take_message();
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->reason, iscsi::LossReason::port_removed);
}

TEST(Link, RemovalDuringTheHandshakeEndsIt) {
  SimWorld world;
  world.wire.set_paused(1, true);  // no answer to ARP or SYN
  world.send({.kind = iscsi::ToWorkerKind::open,
              .connection = {.slot = 3, .reserved = 0, .epoch = 1},
              .session_id = world.session_id(3),
              .remote = {net::IpAddress::v4(10, 99, 0, 1), 3260},
              .connect_timeout = 15s});
  world.run_for(10ms);
  world.initiator_port.remove();
  world.run_for(1500ms);
  const auto message = world.take_message();
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->reason, iscsi::LossReason::port_removed);
  world.wire.set_paused(1, false);
}

}  // namespace
}  // namespace pollux
