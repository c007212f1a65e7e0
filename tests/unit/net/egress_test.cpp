// The transmit queue: order, whole frames, what the port leaves behind, and checksums.
#include "dataplane/net/egress.hpp"

#include <cstring>

#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

class EgressTest : public NetTest {
 protected:
  /// A frame without checksums whose head holds `head_data` bytes and whose other pieces are
  /// external.
  Frame queue(const Frame& data, std::size_t head_data, std::size_t pieces) {
    Ip ip;
    ip.source = kOurIp;
    ip.destination = kPeerIp;
    const Frame whole = ethernet(kPeerMac, kOurMac, 0x0800, ipv4(ip, tcp(ip, data)));
    Frame bare = whole;
    put16(bare, 24, 0);
    put16(bare, 50, 0);
    const platform::FrameBuffer buffer = interface->take_buffer();
    std::memcpy(buffer.data, bare.data(), 54 + head_data);
    std::vector<platform::TxSegment> segments(1);
    segments[0].data = buffer.data;
    segments[0].length = static_cast<std::uint32_t>(54 + head_data);
    segments[0].handle = buffer.handle;
    external.push_back(data);
    const std::byte* at = external.back().data() + head_data;
    std::size_t left = data.size() - head_data;
    for (; pieces > 0; --pieces) {
      platform::TxSegment segment;
      segment.data = at;
      // Odd lengths wherever possible: the sum must carry over.
      segment.length = static_cast<std::uint32_t>(pieces == 1 ? left : (left / pieces) | 1);
      segment.tracker = memory.tracker(0);
      segments.push_back(segment);
      at += segment.length;
      left -= segment.length;
    }
    EXPECT_TRUE(interface->can_send(segments.size()));
    interface->send_tcp(segments, 20);
    return whole;
  }
  std::deque<Frame> external;
};

TEST_F(EgressTest, C108_FillsChecksumsOverChainsWithOddPieces) {
  start();
  for (std::size_t size : {0, 1, 2, 999, 1000, 1460})
    for (std::size_t pieces = 0; pieces <= (size >= 999 ? 4u : 0u); ++pieces) {
      const Frame expected = queue(pattern(size), pieces == 0 ? size : size % 8, pieces);
      EXPECT_EQ(sent(), expected) << size << " in " << pieces;
    }
  EXPECT_GT(count(&Counters::tx_software_checksums), 10u);
}

TEST_F(EgressTest, LeavesChecksumsToAPortThatCan) {
  sim::SimPortOptions options;
  options.tx_checksum = true;
  start(options);
  const Frame expected = queue(pattern(1001), 1, 3);
  EXPECT_EQ(sent(), expected);
  EXPECT_EQ(count(&Counters::tx_software_checksums), 0u);
}

TEST_F(EgressTest, C103_ATagPutInHereDoesNotMisleadThePortsChecksums) {
  sim::SimPortOptions options;
  options.tx_checksum = true;
  InterfaceConfig config;
  config.vlan_id = 100;
  start(options, config);
  const Frame plain = queue(pattern(1001), 1, 3);
  EXPECT_EQ(sent(), Frame(plain.begin(), plain.begin() + 12) + be16(0x8100) + be16(100) +
                        Frame(plain.begin() + 12, plain.end()));
}

TEST_F(EgressTest, C105_KeepsOrderWhateverThePortTakes) {
  start();
  Random random(11);
  std::vector<Frame> expected;
  std::vector<Frame> got;
  for (unsigned round = 0; round < 400; ++round) {
    for (unsigned n = random.below(12); n > 0; --n) {
      if (!interface->can_send(5)) break;
      expected.push_back(
          queue(pattern(200 + random.below(900), round + n), 7, random.below(5) != 0 ? 3 : 1));
    }
    port->options().transmit_most = random.below(20);
    interface->flush();
    wire.advance(wire.now() + 20us);
    while (auto frame = wire.take(1)) got.push_back(*frame);
  }
  EXPECT_GT(count(&Counters::tx_partial), 100u);
  port->options().transmit_most = SIZE_MAX;
  while (interface->queued() > 0) {
    interface->flush();
    wire.advance(wire.now() + 1ms);
  }
  while (auto frame = wire.take(1)) got.push_back(*frame);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], expected[i]) << i;
}

TEST_F(EgressTest, IsBoundedWhenThePortTakesNothing) {
  start();
  port->options().transmit_most = 0;
  std::size_t frames = 0;
  while (interface->can_send(1)) {
    queue(pattern(10), 10, 0);
    ++frames;
    EXPECT_EQ(interface->flush(), 0u);
  }
  EXPECT_EQ(frames, Egress::kQueueSegments);
  EXPECT_EQ(interface->queued(), frames);
  // Questions are not answered while the queue is full; nothing else suffers.
  deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, Frame(6), kOurIp)));
  EXPECT_EQ(count(&Counters::drop_reply_no_room), 1u);
}

TEST_F(EgressTest, PokesThePortWhenItsRingIsFullOfSentFrames) {
  sim::SimPortOptions options;
  options.tx_ring_segments = 4;
  options.completion_min = 1us;
  options.completion_max = 1s;
  start(options);
  for (int i = 0; i < 4; ++i) queue(pattern(10), 10, 0);
  EXPECT_EQ(interface->flush(), 4u);
  wire.advance(wire.now() + 2us);
  queue(pattern(10), 10, 0);
  EXPECT_EQ(interface->flush(), 1u);
}

TEST_F(EgressTest, ReclaimGivesBackWhatHasBeenSent) {
  sim::SimPortOptions options;
  options.completion_max = 1s;
  start(options);
  queue(pattern(900), 0, 3);
  interface->flush();
  wire.advance(wire.now() + options.completion_min);
  interface->reclaim();
  EXPECT_EQ(memory.in_flight(*memory.tracker(0)), 0u);
  EXPECT_EQ(port->in_flight(), 0u);
}

TEST_F(EgressTest, TrackerCountsUntilThePortLetsGo) {
  sim::SimPortOptions options;
  options.completion_min = 50us;
  start(options);
  queue(pattern(900), 0, 3);
  EXPECT_EQ(memory.in_flight(*memory.tracker(0)), 0u) << "queued is not in flight";
  interface->flush();
  EXPECT_EQ(memory.in_flight(*memory.tracker(0)), 3u);
  wire.advance(wire.now() + 1ms);
  EXPECT_EQ(memory.in_flight(*memory.tracker(0)), 0u);
}

TEST_F(EgressTest, BuffersRunOutAndComeBack) {
  start();
  memory.set_limit(40);
  std::vector<platform::FrameBuffer> taken;
  for (auto buffer = interface->take_buffer(); buffer.data != nullptr;
       buffer = interface->take_buffer())
    taken.push_back(buffer);
  EXPECT_EQ(taken.size(), 40u);
  EXPECT_EQ(count(&Counters::buffers_missing), 1u);
  for (const auto& buffer : taken) interface->give_back(buffer);
  EXPECT_LE(memory.buffers_in_use(), Egress::kCachedBuffers);
}

}  // namespace
}  // namespace pollux::net::test
