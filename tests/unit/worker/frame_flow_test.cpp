// Whose frame it is, from its bytes: each kind of frame, and anything at all without a byte read
// outside of it.
#include "dataplane/worker/frame_flow.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "dataplane/base/random.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::worker {
namespace {

using net::test::arp;
using net::test::be16;
using net::test::be32;
using net::test::bytes;
using net::test::ethernet;
using net::test::ipv4;
using net::test::operator+;
using sim::Frame;

const Frame kUs = bytes({2, 0, 0, 0, 0, 1});
const Frame kThem = bytes({2, 0, 0, 0, 0, 2});
const Frame kNobody = bytes({0, 0, 0, 0, 0, 0});
constexpr std::uint32_t kOurIp = 0x0a63'0001;
constexpr std::uint32_t kPeerIp = 0x0a63'0002;

FrameFlow look(const Frame& frame) {
  FrameFlow flow;
  classify(std::span(frame).first(std::min(frame.size(), kClassifyBytes)), flow);
  return flow;
}

Frame segment(int flags) {
  return be16(3260) + be16(50'000) + be32(1) + be32(2) + bytes({0x50, flags}) + be16(1000) +
         be32(0);
}
Frame v6_address(int last) {
  return bytes({0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
}
Frame v6(int next, const Frame& payload, int from = 2, int to = 1) {
  return bytes({0x60, 0, 0, 0}) + be16(static_cast<std::uint32_t>(payload.size())) +
         bytes({next, 64}) + v6_address(from) + v6_address(to) + payload;
}

TEST(FrameFlow, TcpSegmentsShowTheirTuple) {
  const FrameFlow flow = look(ethernet(kUs, kThem, 0x0800, ipv4({}, segment(0x10))));
  EXPECT_EQ(flow.kind, FrameKind::flow);
  EXPECT_FALSE(flow.is_syn_ack);
  EXPECT_TRUE(flow.is_plain);
  EXPECT_FALSE(flow.is_ipv6);
  EXPECT_EQ(flow.tuple.remote_port, 3260);
  EXPECT_EQ(flow.tuple.local_port, 50'000);
  EXPECT_EQ(flow.tuple.remote[15], 2);
  EXPECT_EQ(flow.tuple.local[15], 1);
  EXPECT_TRUE(look(ethernet(kUs, kThem, 0x0800, ipv4({}, segment(0x12)))).is_syn_ack);
  EXPECT_FALSE(look(ethernet(kUs, kThem, 0x0800, ipv4({}, segment(0x02)))).is_syn_ack);
}

TEST(FrameFlow, OptionsAndTagsMoveTheTupleAndAreNotPlain) {
  const FrameFlow options =
      look(ethernet(kUs, kThem, 0x0800, ipv4({.options = bytes({1, 1, 1, 1})}, segment(0x12))));
  EXPECT_EQ(options.tuple.local_port, 50'000);
  EXPECT_FALSE(options.is_plain);
  const FrameFlow tagged =
      look(ethernet(kUs, kThem, 0x8100, be16(0x6005) + be16(0x0800) + ipv4({}, segment(0x12))));
  EXPECT_EQ(tagged.kind, FrameKind::flow);
  EXPECT_EQ(tagged.tuple.local_port, 50'000);
  EXPECT_FALSE(tagged.is_plain);
}

TEST(FrameFlow, Ipv6SegmentsShowTheirTuple) {
  const FrameFlow flow = look(ethernet(kUs, kThem, 0x86dd, v6(6, segment(0x12))));
  EXPECT_EQ(flow.kind, FrameKind::flow);
  EXPECT_TRUE(flow.is_syn_ack && flow.is_plain);
  EXPECT_TRUE(flow.is_ipv6);
  EXPECT_EQ(flow.tuple.remote[0], 0xfd);
  EXPECT_EQ(flow.tuple.remote[15], 2);
  EXPECT_EQ(flow.tuple.local[15], 1);
  EXPECT_EQ(flow.tuple.remote_port, 3260);
}

TEST(FrameFlow, ErrorsShowTheConnectionTheyAreAbout) {
  const Frame inside =
      ipv4({.source = kOurIp, .destination = kPeerIp}, be16(50'000) + be16(3260) + be32(7));
  for (const int type : {3, 4, 5, 11, 12}) {
    const FrameFlow flow =
        look(ethernet(kUs, kThem, 0x0800,
                      ipv4({.protocol = 1}, bytes({type, 4}) + be16(0) + be32(1400) + inside)));
    EXPECT_EQ(flow.kind, FrameKind::error) << type;
    EXPECT_EQ(flow.tuple.local_port, 50'000);
    EXPECT_EQ(flow.tuple.remote_port, 3260);
    EXPECT_EQ(flow.tuple.local[15], 1);
    EXPECT_EQ(flow.tuple.remote[15], 2);
  }
  // RFC 4443 3.2, packet too big.
  const FrameFlow too_big =
      look(ethernet(kUs, kThem, 0x86dd,
                    v6(58, bytes({2, 0}) + be16(0) + be32(1280) +
                               v6(6, be16(50'000) + be16(3260) + be32(7), 1, 2))));
  EXPECT_EQ(too_big.kind, FrameKind::error);
  EXPECT_EQ(too_big.tuple.local_port, 50'000);
  EXPECT_EQ(too_big.tuple.local[15], 1);
}

TEST(FrameFlow, NoticesAndQuestionsAreToldApart) {
  const auto kind = [](const Frame& frame) { return look(frame).kind; };
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0806, arp(2, kThem, kPeerIp, kUs, kOurIp))),
            FrameKind::notice);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0806, arp(1, kThem, kPeerIp, kNobody, kPeerIp))),
            FrameKind::notice);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0806, arp(1, kThem, kPeerIp, kNobody, kOurIp))),
            FrameKind::question);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0806, arp(1, kThem, 0, kNobody, kOurIp))),
            FrameKind::question);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0806, arp(3, kThem, kPeerIp, kNobody, kOurIp))),
            FrameKind::other);
  for (const auto& [type, expected] : {std::pair{134, FrameKind::notice},
                                       {136, FrameKind::notice},
                                       {137, FrameKind::notice},
                                       {135, FrameKind::question},
                                       {128, FrameKind::other}})
    EXPECT_EQ(kind(ethernet(kUs, kThem, 0x86dd, v6(58, bytes({type, 0}) + Frame(30)))), expected)
        << type;
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0800, ipv4({.protocol = 1}, bytes({8, 0}) + Frame(40)))),
            FrameKind::other);
}

TEST(FrameFlow, FragmentsAndOtherProtocolsStay) {
  const auto kind = [](const Frame& frame) { return look(frame).kind; };
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0800, ipv4({.fragment = 0x2000}, segment(0x10)))),
            FrameKind::other);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0800, ipv4({.fragment = 5}, segment(0x10)))),
            FrameKind::other);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x0800, ipv4({.protocol = 17}, segment(0x10)))),
            FrameKind::other);
  EXPECT_EQ(kind(ethernet(kUs, kThem, 0x88cc, Frame(60))), FrameKind::other);
}

TEST(FrameFlow, NoBytesAreReadThatAreNotThere) {
  // Each frame in memory of exactly its size: a sanitizer sees a read behind it.
  const std::vector<Frame> frames = {
      ethernet(kUs, kThem, 0x0800, ipv4({.options = Frame(40)}, segment(0x12))),
      ethernet(kUs, kThem, 0x86dd, v6(6, segment(0x12))),
      ethernet(kUs, kThem, 0x8100, be16(1) + be16(0x86dd) + v6(6, segment(0x12))),
      ethernet(kUs, kThem, 0x0800,
               ipv4({.protocol = 1}, bytes({3, 4}) + Frame(6) + ipv4({}, segment(0x10)))),
      ethernet(kUs, kThem, 0x86dd, v6(58, bytes({2, 0}) + Frame(6) + v6(6, segment(2)))),
      ethernet(kUs, kThem, 0x0806, arp(2, kThem, kPeerIp, kUs, kOurIp))};
  Random random(5);
  const auto look_exactly = [](const Frame& frame, std::size_t size) {
    const auto exact = std::make_unique<std::byte[]>(size);
    std::copy_n(frame.begin(), size, exact.get());
    FrameFlow flow;
    classify({exact.get(), size}, flow);
  };
  for (const Frame& frame : frames) {
    for (std::size_t size = 0; size <= frame.size(); ++size) look_exactly(frame, size);
    for (int i = 0; i < 20'000; ++i) {
      Frame damaged = frame;
      for (std::uint32_t k = random.below(4); k > 0; --k)
        damaged[12 + random.below(static_cast<std::uint32_t>(frame.size() - 12))] =
            static_cast<std::byte>(random.next());
      look_exactly(damaged, random.below(static_cast<std::uint32_t>(frame.size() + 1)));
    }
  }
}

}  // namespace
}  // namespace pollux::worker
