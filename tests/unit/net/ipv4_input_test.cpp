// What reaches TCP and what does not: RFC 791, RFC 1122 3.2 and 3.3, one row for each rule.
#include "dataplane/net/ipv4_input.hpp"

#include <array>

#include "dataplane/net/tcp_datagram.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

class Ipv4Input : public NetTest {
 protected:
  /// The frame is dropped and exactly this counter says so.
  void expect_dropped(const Frame& frame, Counter Counters::*counter, const char* what) {
    const auto before = count(counter);
    EXPECT_TRUE(deliver(frame).empty()) << what;
    EXPECT_EQ(count(counter), before + 1) << what;
    EXPECT_EQ(sent(), std::nullopt) << what;
  }
};

TEST_F(Ipv4Input, HandsOverHeaderAndDataOfASegment) {
  start();
  const Frame data = pattern(100);
  const Frame segment = tcp({}, data, 3);
  const auto got = deliver(to_us(ipv4({}, segment)));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].source, IpAddress::from_v4_host(kPeerIp));
  EXPECT_EQ(got[0].destination, IpAddress::from_v4_host(kOurIp));
  EXPECT_EQ(got[0].header, Frame(segment.begin(), segment.begin() + 32));
  EXPECT_EQ(got[0].data, data);
}

TEST_F(Ipv4Input, C97_TrimsPaddingOfShortFrames) {
  start();
  const auto bare = deliver(to_us(ipv4({}, tcp({}, {}))) + Frame(6));
  ASSERT_EQ(bare.size(), 1u);
  EXPECT_TRUE(bare[0].data.empty());
  EXPECT_EQ(bare[0].pieces, 0u);
  const auto one = deliver(to_us(ipv4({}, tcp({}, pattern(1)))) + Frame(300, std::byte{0xee}));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].data, pattern(1));
}

TEST_F(Ipv4Input, C97_SkipsOptionsAndIgnoresTimeToLive) {
  start();
  for (std::size_t words = 1; words <= 10; ++words) {
    Ip ip;
    ip.options = Frame(words * 4, std::byte{1});
    ip.ttl = static_cast<int>(words == 1 ? 0 : words);
    const auto got = deliver(to_us(ipv4(ip, tcp(ip, pattern(33), 10))));
    ASSERT_EQ(got.size(), 1u) << words;
    EXPECT_EQ(got[0].data, pattern(33));
    EXPECT_EQ(got[0].header.size(), 60u);
  }
  EXPECT_EQ(count(&Counters::rx_ip_options), 10u);
}

TEST_F(Ipv4Input, C97_DropsBadHeadersAndLengths) {
  start();
  const Frame segment = tcp({}, pattern(20));
  const auto with = [&](auto change) {
    Ip ip;
    change(ip);
    return to_us(ipv4(ip, segment));
  };
  expect_dropped(with([](Ip& ip) { ip.version = 6; }), &Counters::drop_ip_version, "version");
  expect_dropped(with([](Ip& ip) { ip.ihl = 4; }), &Counters::drop_ip_header_length, "IHL 4");
  expect_dropped(with([](Ip& ip) { ip.ihl = 0; }), &Counters::drop_ip_header_length, "IHL 0");
  expect_dropped(to_us(ipv4(
                     [] {
                       Ip ip;
                       ip.ihl = 15;
                       return ip;
                     }(),
                     {})),
                 &Counters::drop_ip_header_length, "header beyond the frame");
  expect_dropped(with([](Ip& ip) { ip.total_length = 61; }), &Counters::drop_ip_length,
                 "one too long");
  expect_dropped(with([](Ip& ip) { ip.total_length = 65535; }), &Counters::drop_ip_length,
                 "longest");
  expect_dropped(with([](Ip& ip) { ip.total_length = 19; }), &Counters::drop_ip_length,
                 "below header");
  expect_dropped(with([](Ip& ip) { ip.good_checksum = false; }), &Counters::drop_ip_checksum,
                 "checksum");
  expect_dropped(with([](Ip& ip) { ip.fragment = 0x2000; }), &Counters::drop_ip_fragment, "MF");
  expect_dropped(with([](Ip& ip) { ip.fragment = 0x0001; }), &Counters::drop_ip_fragment, "offset");
  expect_dropped(with([](Ip& ip) { ip.protocol = 17; }), &Counters::drop_ip_protocol, "UDP");
}

TEST_F(Ipv4Input, C98_FragmentsAreDroppedAndCountedAndNothingIsKept) {
  start();
  const Frame segment = tcp({}, pattern(64));
  std::uint64_t dropped = 0;
  // First, middle and last pieces, in and out of order, overlapping, and a flood of first ones.
  for (std::uint32_t field :
       {0x2000u, 0x2001u, 0x0002u, 0x0001u, 0x2000u, 0x3fffu, 0x1fffu, 0x6000u})
    for (int times = 0; times < 200; ++times) {
      Ip ip;
      ip.fragment = field;
      expect_dropped(to_us(ipv4(ip, segment)), &Counters::drop_ip_fragment, "fragment");
      ++dropped;
    }
  EXPECT_EQ(count(&Counters::drop_ip_fragment), dropped);
  EXPECT_LE(memory.buffers_in_use(), 1u) << "the last frame goes back with the next burst";
  EXPECT_EQ(deliver(to_us(ipv4({}, segment))).size(), 1u) << "DF alone is no fragment";
}

TEST_F(Ipv4Input, C31_DropsWhatIsNotFromOneHostToUs) {
  start();
  const auto with = [&](std::uint32_t from, std::uint32_t to) {
    Ip ip;
    ip.source = from;
    ip.destination = to;
    return ipv4(ip, tcp(ip, pattern(20)));
  };
  for (std::uint32_t from :
       {0xffff'ffffu, 0x0a63'00ffu, 0xe000'0001u, 0xf000'0001u, 0u, 0x7f00'0001u, kOurIp})
    expect_dropped(to_us(with(from, kOurIp)), &Counters::drop_ip_source, "source");
  for (std::uint32_t to : {0xffff'ffffu, 0x0a63'00ffu, 0xe000'0001u})
    expect_dropped(to_us(with(kPeerIp, to)), &Counters::drop_ip_broadcast, "destination group");
  expect_dropped(to_us(with(kPeerIp, kGatewayIp)), &Counters::drop_ip_destination, "another host");
  const Frame good = with(kPeerIp, kOurIp);
  expect_dropped(ethernet(kBroadcastMac, kPeerMac, 0x0800, good), &Counters::drop_ip_broadcast,
                 "link broadcast");
  expect_dropped(ethernet(bytes({1, 0, 0x5e, 0, 0, 1}), kPeerMac, 0x0800, good),
                 &Counters::drop_ip_broadcast, "link multicast");
  expect_dropped(ethernet(kPeerMac, kPeerMac, 0x0800, good), &Counters::drop_other_mac,
                 "another station");
  expect_dropped(ethernet(kOurMac, kPeerMac, 0x86dd, good), &Counters::drop_ether_type, "IPv6");
}

TEST_F(Ipv4Input, DropsFramesShorterThanTheirHeaders) {
  start();
  const Frame whole = to_us(ipv4({}, tcp({}, {})));
  std::uint64_t delivered = 0;
  for (std::size_t length = 1; length < whole.size(); ++length)
    delivered +=
        deliver(Frame(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))).size();
  EXPECT_EQ(delivered, 0u);
  EXPECT_EQ(count(&Counters::drop_short_frame) + count(&Counters::drop_ip_length),
            whole.size() - 1);
}

TEST_F(Ipv4Input, DropsBadTcpHeaders) {
  start();
  Frame segment = tcp({}, pattern(8));
  for (int words : {0, 4, 8, 15}) {
    segment[12] = static_cast<std::byte>(words << 4);
    expect_dropped(to_us(ipv4({}, segment)), &Counters::drop_tcp_header, "data offset");
  }
  expect_dropped(to_us(ipv4({}, Frame(segment.begin(), segment.begin() + 19))),
                 &Counters::drop_tcp_header, "19 bytes");
  expect_dropped(to_us(ipv4({}, {})), &Counters::drop_tcp_header, "no bytes");
}

// RFC 9293 MUST-2/3 for each answer of a port: unknown is verified here.
TEST_F(Ipv4Input, C19_ChecksumIsVerifiedByThePortOrHere) {
  for (auto mode : {sim::RxChecksum::unknown, sim::RxChecksum::verified}) {
    sim::SimPortOptions options;
    options.rx_checksum = mode;
    start(options);
    const Frame good = to_us(ipv4({}, tcp({}, pattern(777))));
    EXPECT_EQ(deliver(good).size(), 1u);
    for (std::size_t at : {34, 50, 54, 100, 830}) {
      Frame bad = good;
      bad[at] ^= std::byte{0x10};
      expect_dropped(bad, &Counters::drop_tcp_checksum, "bit");
    }
    Frame bad = good;
    bad[16 + 6] ^= std::byte{0x10};  // time to live
    expect_dropped(bad, &Counters::drop_ip_checksum, "IP header bit");
    interface.reset();
    port.reset();
  }
}

/// Every answer that a port can give, on a segment in two pieces.
TEST_F(Ipv4Input, C19_WhatThePortDidNotVerifyIsVerifiedHere) {
  InterfaceConfig config;
  config.address = IpAddress::from_v4_host(kOurIp);
  const Ipv4Subnet subnet(config);
  for (const unsigned flags :
       {0u, unsigned{platform::kRxIpChecksumGood}, unsigned{platform::kRxL4ChecksumGood},
        unsigned{platform::kRxL4ChecksumBad},
        platform::kRxIpChecksumGood | unsigned{platform::kRxL4ChecksumBad}})
    for (const bool damaged : {false, true}) {
      SCOPED_TRACE(flags);
      Frame frame = to_us(ipv4({}, tcp({}, pattern(200))));
      if (damaged) frame[150] ^= std::byte{1};
      const std::uint32_t rest = static_cast<std::uint32_t>(frame.size()) - 100;
      std::array<platform::RxSegment, 2> segments;
      segments[0] = {.data = frame.data(),
                     .length = 100,
                     .flags = static_cast<std::uint16_t>(flags | platform::kRxMore)};
      segments[1] = {.data = frame.data() + 100, .length = rest};
      const FrameView view{
          .segments = segments, .bytes = 100 + rest, .head = {frame.data(), frame.size()}};
      Counters counters;
      Ipv4Packet packet;
      ASSERT_EQ(check_ipv4(view, subnet, false, counters, packet), Ipv4Verdict::tcp);
      TcpDatagram datagram;
      const bool taken = make_datagram(view, packet, counters, datagram, [](void*) {});
      const bool is_good = (flags & platform::kRxL4ChecksumBad) == 0 &&
                           ((flags & platform::kRxL4ChecksumGood) != 0 || !damaged);
      EXPECT_EQ(taken, is_good);
      EXPECT_EQ(counters.drop_tcp_checksum.get(), is_good ? 0u : 1u);
    }
}

TEST_F(Ipv4Input, TrustsAPortThatSaysGood) {
  sim::SimPortOptions options;
  options.rx_checksum = sim::RxChecksum::assumed_good;
  start(options);
  Frame frame = to_us(ipv4({}, tcp({}, pattern(10))));
  frame[14 + 10] ^= std::byte{1};
  frame[34 + 16] ^= std::byte{1};
  EXPECT_EQ(deliver(frame).size(), 1u);
}

TEST_F(Ipv4Input, HeadersAndDataMayLieInAnyPieces) {
  sim::SimPortOptions options;
  options.scatter = true;
  start(options);
  Random random(5);
  for (int round = 0; round < 3000; ++round) {
    Ip ip;
    ip.options = Frame(random.below(3) * 4, std::byte{1});
    const Frame data = pattern(random.below(1300), random.below(200));
    const Frame segment = tcp(ip, data, random.below(11));
    const auto got =
        deliver(to_us(ipv4(ip, segment)) + Frame(random.below(3) * 11, std::byte{0x77}));
    ASSERT_EQ(got.size(), 1u) << round;
    ASSERT_EQ(got[0].header + got[0].data, segment) << round;
    ASSERT_EQ(got[0].data, data) << round;
  }
  EXPECT_GT(count(&Counters::rx_pulled_up), 300u);
  EXPECT_GT(port->hits().rx_scattered, 1000u);
}

TEST_F(Ipv4Input, JumboFramesComeAsChains) {
  sim::SimPortOptions options;
  options.mtu = 9000;
  start(options);
  const auto got = deliver(to_us(ipv4({}, tcp({}, pattern(8960)))));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].data, pattern(8960));
  EXPECT_EQ(got[0].pieces, 5u);
}

TEST_F(Ipv4Input, KeepsTheRestOfABurstForTheNextCall) {
  start();
  for (unsigned i = 0; i < 50; ++i) wire.send(1, to_us(ipv4({}, tcp({}, pattern(10 + i, i)))));
  wire.advance(wire.now() + 1ms);
  unsigned next = 0;
  for (int turn = 0; turn < 20; ++turn)
    for (const Segment& segment : receive(3)) {
      EXPECT_EQ(segment.data, pattern(10 + next, next));
      ++next;
    }
  EXPECT_EQ(next, 50u);
  EXPECT_EQ(frames_seen, 50u);
  EXPECT_EQ(count(&Counters::rx_frames), 50u);
}

TEST_F(Ipv4Input, ReleasesABurstThatNobodyAskedForAgain) {
  start();
  for (unsigned i = 0; i < 9; ++i) wire.send(1, to_us(ipv4({}, tcp({}, pattern(10)))));
  wire.advance(wire.now() + 1ms);
  EXPECT_EQ(receive(2).size(), 2u);  // TearDown counts the buffers
}

TEST_F(Ipv4Input, SurvivesDamageOfEveryKindWithoutDeliveringAWrongByte) {
  sim::SimPortOptions options;
  options.scatter = true;
  start(options);
  auto& faults = wire.faults(1);
  faults.corrupt_ppm = 300'000;
  faults.truncate_ppm = 200'000;
  faults.duplicate_ppm = 100'000;
  const Frame data = pattern(600);
  std::size_t delivered = 0;
  for (int round = 0; round < 3000; ++round)
    for (const Segment& got : deliver(to_us(ipv4({}, tcp({}, data))))) {
      ASSERT_EQ(got.data, data);
      ++delivered;
    }
  EXPECT_GT(delivered, 1000u);
  EXPECT_GT(wire.hits(1).corrupted, 500u);
  EXPECT_GT(wire.hits(1).truncated, 300u);
}

}  // namespace
}  // namespace pollux::net::test
