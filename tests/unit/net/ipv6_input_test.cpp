// IPv6 on the way in: what reaches TCP, and one counter for each way in which a packet does not.
#include "tests/unit/net/net6_fixture.hpp"

namespace pollux::net::test {
namespace {

using Ipv6Input = Net6Test;

/// Next header, length in units of 8 less one, `content` up to whole units.
Frame extension(int next, Frame content) {
  while ((content.size() + 2) % 8 != 0) content.push_back(std::byte{0});
  const auto units = static_cast<int>((content.size() + 2) / 8 - 1);
  return bytes({next, units}) + content;
}

TEST_F(Ipv6Input, HandsTcpOn) {
  start6();
  const Frame data = pattern(777);
  const auto got = deliver(to_us6(ipv6({}, tcp6({}, data))));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].source, kPeer6);
  EXPECT_EQ(got[0].destination, kOur6);
  EXPECT_EQ(got[0].data, data);
  EXPECT_EQ(count(&Counters::rx_tcp), 1u);
}

TEST_F(Ipv6Input, TrimsPaddingAndTakesPiecesOfAnyShape) {
  start6(config6(), {.scatter = true});
  for (unsigned i = 0; i < 200; ++i) {
    const Frame data = pattern(i, i);
    const auto got = deliver(to_us6(ipv6({}, tcp6({}, data)) + Frame(i % 7, std::byte{0xee})));
    ASSERT_EQ(got.size(), 1u) << i;
    EXPECT_EQ(got[0].data, data);
  }
}

TEST_F(Ipv6Input, WalksOptionsAndEmptyRoutingHeaders) {
  start6(config6(), {.scatter = true});
  const Frame data = pattern(99);
  const Frame chain = extension(43, bytes({1, 4, 0, 0, 0, 0})) +         // hop-by-hop, PadN
                      extension(60, bytes({2, 0, 0, 0, 0, 0})) +         // routing, none left
                      extension(6, bytes({0x1e, 3, 1, 2, 3, 0, 0, 0}));  // unknown, to be skipped
  for (int i = 0; i < 50; ++i) {
    const auto got = deliver(to_us6(ipv6({.next_header = 0}, chain + tcp6({}, data))));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].data, data);
  }
}

struct BadPacket {
  const char* name;
  Frame frame;
  Counter Counters::*counter;
};
std::vector<BadPacket> bad_packets() {
  const Frame data = pattern(20);
  const auto packet = [&](Ip6 ip) { return to_us6(ipv6(ip, tcp6(ip, data))); };
  const auto after = [&](int next, const Frame& chain) {
    return to_us6(ipv6({.next_header = next}, chain + tcp6({}, data)));
  };
  Frame many;
  for (int i = 0; i < 7; ++i) many = many + extension(i == 6 ? 6 : 60, Frame(6));
  const IpAddress mapped = IpAddress::v4(10, 99, 0, 2);
  const auto bad_tcp = [&](std::size_t at, int value) {
    Frame frame = packet({});
    frame[54 + at] ^= static_cast<std::byte>(value);
    return frame;
  };
  return {
      {"short", Frame(ethernet(kOurMac, kPeerMac, 0x86dd, Frame(39))), &Counters::drop_short_frame},
      {"version", packet({.version = 4}), &Counters::drop_ip6_version},
      {"length", packet({.payload_length = 41}), &Counters::drop_ip6_length},
      {"multicast source", packet({.source = kAllNodes}), &Counters::drop_ip6_source},
      {"loopback source", packet({.source = ip6(0, {1})}), &Counters::drop_ip6_source},
      {"mapped source", packet({.source = mapped}), &Counters::drop_ip6_source},
      {"no source", packet({.source = kNobody}), &Counters::drop_ip6_source},
      {"our source", packet({.source = kOur6}), &Counters::drop_ip6_source},
      {"destination", packet({.destination = kGateway6}), &Counters::drop_ip6_destination},
      {"other group", packet({.destination = kAllRouters}), &Counters::drop_ip6_destination},
      {"TCP to a group", packet({.destination = kAllNodes}), &Counters::drop_ip6_broadcast},
      {"unicast in a group frame",
       ethernet(kAllNodesMac, kPeerMac, 0x86dd, ipv6({}, tcp6({}, data))),
       &Counters::drop_ip6_broadcast},
      {"fragment", after(44, bytes({6, 0, 0, 1, 0, 0, 0, 1})), &Counters::drop_ip6_fragment},
      {"fragment behind options",
       after(60, extension(44, Frame(6)) + bytes({6, 0, 0, 0, 0, 0, 0, 1})),
       &Counters::drop_ip6_fragment},
      {"late hop-by-hop", after(60, extension(0, Frame(6)) + extension(6, Frame(6))),
       &Counters::drop_ip6_extension},
      {"extension over the end", after(60, bytes({6, 200}) + Frame(6)),
       &Counters::drop_ip6_extension},
      {"too many", after(60, many), &Counters::drop_ip6_extension},
      {"option to be understood", after(60, extension(6, bytes({0x5e, 4, 0, 0, 0, 0}))),
       &Counters::drop_ip6_option},
      {"option over the end", after(60, extension(6, bytes({1, 9, 0, 0, 0, 0}))),
       &Counters::drop_ip6_option},
      {"segments left", after(43, extension(6, bytes({0, 1, 0, 0, 0, 0}))),
       &Counters::drop_ip6_routing},
      {"unknown next header", after(17, Frame{}), &Counters::drop_ip6_next_header},
      {"no next header", after(59, Frame{}), &Counters::drop_ip6_next_header},
      {"TCP offset", bad_tcp(12, 0x10), &Counters::drop_tcp_header},
      {"TCP checksum", bad_tcp(25, 1), &Counters::drop_tcp_checksum},
      {"IPv4 without an address", to_us(ipv4({}, tcp({}, data))), &Counters::drop_ether_type},
  };
}

TEST_F(Ipv6Input, C98_EveryWrongPacketHasItsCounter) {
  start6();
  for (const BadPacket& bad : bad_packets()) {
    const std::uint64_t before = count(bad.counter);
    EXPECT_TRUE(deliver(bad.frame).empty()) << bad.name;
    EXPECT_EQ(count(bad.counter), before + 1) << bad.name;
  }
  EXPECT_EQ(count(&Counters::rx_tcp), 0u);
}

TEST_F(Ipv6Input, AnyCutOrFlippedByteIsSurvived) {
  start6(config6(), {.scatter = true});
  Random random(11);
  const auto packets = bad_packets();
  for (int i = 0; i < 4000; ++i) {
    Frame frame = packets[random.below(static_cast<std::uint32_t>(packets.size()))].frame;
    for (std::uint32_t n = random.below(4); n > 0; --n)
      frame[12 + random.below(static_cast<std::uint32_t>(frame.size() - 12))] =
          static_cast<std::byte>(random.next());
    frame.resize(1 + random.below(static_cast<std::uint32_t>(frame.size())));
    deliver(frame);
  }
}

TEST_F(Ipv6Input, AnInterfaceWithoutIpv6DropsIt) {
  start();
  EXPECT_TRUE(deliver(to_us6(ipv6({}, tcp6({}, {})))).empty());
  EXPECT_EQ(count(&Counters::drop_ether_type), 1u);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::off);
}

TEST_F(Ipv6Input, AnswersEchoAndKeepsItsBytes) {
  start6(config6(), {.scatter = true});
  for (const std::size_t size : {0u, 1u, 57u, 1000u, 1400u}) {
    const Frame data = pattern(size);
    const Ip6 ip{.next_header = 58, .traffic_class = 0x48};
    deliver(to_us6(ipv6(ip, icmp6(ip, 128, 0, 0x12340007, data))));
    const auto reply = sent6();
    ASSERT_TRUE(reply) << size;
    EXPECT_EQ(reply->type(), 129);
    EXPECT_EQ(reply->word(), 0x12340007u);
    EXPECT_EQ(Frame(reply->body.begin() + 8, reply->body.end()), data);
    EXPECT_EQ(reply->source, kOur6);
    EXPECT_EQ(reply->destination, kPeer6);
    EXPECT_EQ(reply->destination_mac, kPeerMac);
    EXPECT_EQ(reply->traffic_class, 0x48);
  }
}

TEST_F(Ipv6Input, EchoToAGroupIsAnsweredFromAnAddressOfOurs) {
  start6();
  const Ip6 ip{.source = kPeerLinkLocal, .destination = kAllNodes, .next_header = 58};
  deliver(ethernet(kAllNodesMac, kPeerMac, 0x86dd, ipv6(ip, icmp6(ip, 128, 0, 1, {}))));
  const auto reply = sent6();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->source, kOurLinkLocal);
  EXPECT_EQ(reply->destination, kPeerLinkLocal);
}

TEST_F(Ipv6Input, EchoIsLimited) {
  start6();
  const Ip6 ip{.next_header = 58};
  const Frame ping = to_us6(ipv6(ip, icmp6(ip, 128, 0, 1, {})));
  for (int i = 0; i < 100; ++i) deliver(ping);
  EXPECT_GT(count(&Counters::drop_icmp6_rate), 20u);
  EXPECT_LE(count(&Counters::icmp6_echo_out), 66u);
  while (sent()) {
  }
}

TEST_F(Ipv6Input, WrongIcmpHasItsCounter) {
  start6();
  const Ip6 ip{.next_header = 58};
  deliver(to_us6(ipv6(ip, Frame(7))));
  EXPECT_EQ(count(&Counters::drop_icmp6_malformed), 1u);
  Frame wrong = icmp6(ip, 128, 0, 1, {});
  wrong[2] ^= std::byte{1};
  deliver(to_us6(ipv6(ip, wrong)));
  EXPECT_EQ(count(&Counters::drop_icmp6_checksum), 1u);
  deliver(to_us6(ipv6(ip, icmp6(ip, 200, 0, 1, {}))));
  EXPECT_EQ(count(&Counters::icmp6_other_in), 1u);
  deliver(to_us6(ipv6(ip, icmp6(ip, 137, 0, 0, Frame(32)))));
  EXPECT_EQ(count(&Counters::icmp6_redirects_ignored), 1u);
  EXPECT_EQ(sent(), std::nullopt);
}

/// An error about a segment that we are said to have sent.
Frame error_frame(int type, std::uint32_t word, const IpAddress& from = kOur6, int next = 6) {
  const Ip6 ip{.source = kGateway6, .next_header = 58};
  const Frame quoted = ipv6({.source = from, .destination = kPeer6, .next_header = next},
                            be16(50000) + be16(3260) + be32(0x01020304) + Frame(12));
  return to_us6(ipv6(ip, icmp6(ip, type, 0, word, quoted)));
}

TEST_F(Ipv6Input, ErrorsAboutOurTcpAreTakenAndOthersCounted) {
  start6();
  deliver(error_frame(2, 1400));
  EXPECT_EQ(count(&Counters::icmp6_too_big_in), 1u);
  deliver(error_frame(1, 0));
  EXPECT_EQ(count(&Counters::icmp6_unreachable_in), 1u);
  deliver(error_frame(2, 1400, kPeer6));
  EXPECT_EQ(count(&Counters::drop_icmp6_quote), 1u);
  deliver(error_frame(2, 1400, kOur6, 17));
  EXPECT_EQ(count(&Counters::icmp6_other_in), 1u);
  const Ip6 ip{.next_header = 58};
  deliver(to_us6(ipv6(ip, icmp6(ip, 2, 0, 1400, Frame(47)))));
  deliver(to_us6(ipv6(ip, icmp6(ip, 2, 0, 1400, Frame(48)))));  // version 0
  EXPECT_EQ(count(&Counters::drop_icmp6_malformed), 2u);
}

TEST_F(Ipv6Input, PacketTooBigBelow1280IsDiscarded) {
  start6();
  for (const std::uint32_t mtu : {0u, 68u, 1279u}) deliver(error_frame(2, mtu));
  EXPECT_EQ(count(&Counters::drop_icmp6_mtu), 3u);
  EXPECT_EQ(count(&Counters::icmp6_too_big_in), 0u);
  deliver(error_frame(2, 1280));
  EXPECT_EQ(count(&Counters::icmp6_too_big_in), 1u);
}

}  // namespace
}  // namespace pollux::net::test
