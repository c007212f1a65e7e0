// Router Advertisements: default routers, prefixes on the link, addresses formed from prefixes and
// their lifetimes (RFC 4861 6.3, RFC 4862 5.5).
#include "tests/unit/net/net6_fixture.hpp"

namespace pollux::net::test {
namespace {

const IpAddress kPrefix = ip6(0x2001, {0, 0, 0, 0}, 0xdb8);
const IpAddress kFormed = ip6(0x2001, {0, 0xff, 0xfe00, 1}, 0xdb8);
const IpAddress kNeighbour = ip6(0x2001, {0x77}, 0xdb8);
const IpAddress kElsewhere = ip6(0x2a00, {1}, 0x1450);
constexpr std::uint32_t kForEver = 0xffff'ffff;

Frame prefix_option(std::uint32_t valid, std::uint32_t preferred, int flags = 0xc0, int length = 64,
                    const IpAddress& prefix = kPrefix) {
  return bytes({3, 4, length, flags}) + be32(valid) + be32(preferred) + be32(0) +
         address_bytes(prefix);
}
struct Ra {
  int lifetime = 1800;  ///< of the router, seconds
  Frame options;
  IpAddress source = kPeerLinkLocal;
  int hop_limit = 0;
};
Frame router_advertisement(const Ra& ra) {
  const Ip6 ip{.source = ra.source, .destination = kAllNodes, .next_header = 58, .hop_limit = 255};
  const std::uint32_t word =
      static_cast<std::uint32_t>(ra.hop_limit) << 24 | static_cast<std::uint32_t>(ra.lifetime);
  const Frame message =
      icmp6(ip, 134, 0, word, be32(0) + be32(0) + link_option(1, kPeerMac) + ra.options);
  return ethernet(kAllNodesMac, kPeerMac, 0x86dd, ipv6(ip, message));
}

struct RouterAdvertisements : Net6Test {
  void begin(std::uint8_t dad = 0) {
    InterfaceConfig config;
    config.accept_ra = true;
    config.dad_transmits = dad;
    start6(config);
  }
  void hear(const Ra& ra) { deliver(router_advertisement(ra)); }
  void drain() {
    while (sent()) {
    }
  }
};

TEST_F(RouterAdvertisements, AreIgnoredUnlessWanted) {
  start6();
  hear({.options = prefix_option(kForEver, kForEver)});
  EXPECT_EQ(count(&Counters::ra_ignored), 1u);
  EXPECT_FALSE(interface->is_own(kFormed));
  EXPECT_EQ(ask(kElsewhere), RouteState::unreachable);
}

TEST_F(RouterAdvertisements, AreAskedForThreeTimes) {
  begin();
  std::vector<Sent6> asked;
  for (int i = 0; i < 200; ++i) {
    run(100ms);
    while (auto frame = sent6()) asked.push_back(*frame);
  }
  ASSERT_EQ(asked.size(), 3u);
  for (const Sent6& solicit : asked) {
    EXPECT_EQ(solicit.type(), 133);
    EXPECT_EQ(solicit.source, kOurLinkLocal);
    EXPECT_EQ(solicit.destination, kAllRouters);
    EXPECT_EQ(solicit.hop_limit, 255);
  }
  EXPECT_EQ(ask(kElsewhere), RouteState::unreachable);  // nobody answered
}

TEST_F(RouterAdvertisements, GiveADefaultRouterAndAnAddress) {
  begin();
  EXPECT_EQ(ask(kElsewhere), RouteState::pending);
  hear({.options = prefix_option(kForEver, kForEver), .hop_limit = 33});
  EXPECT_TRUE(interface->is_own(kFormed));
  EXPECT_TRUE(interface->on_link(kNeighbour));
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);  // the router told its hardware address
  EXPECT_EQ(route.source, kFormed);
  EXPECT_EQ(route.hop_limit, 33);
  EXPECT_EQ(route_mac(), kPeerMac);
  drain();
  run(10s);
  while (const auto frame = sent6()) EXPECT_NE(frame->type(), 133);  // nobody is asked any more
}

TEST_F(RouterAdvertisements, TheRouterIsDroppedAtItsEndOrWhenItSaysSo) {
  begin();
  hear({.lifetime = 30, .options = prefix_option(kForEver, kForEver)});
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  run(31s);
  EXPECT_EQ(ask(kElsewhere), RouteState::unreachable);
  hear({.options = prefix_option(kForEver, kForEver)});
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  hear({.lifetime = 0});
  EXPECT_EQ(ask(kElsewhere), RouteState::unreachable);
  hear({.options = prefix_option(kForEver, kForEver)});
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  // RFC 4861 7.2.5: a neighbour that is no router any more.
  deliver(advertisement({.source = kPeerLinkLocal,
                         .destination = kOurLinkLocal,
                         .target = kPeerLinkLocal,
                         .flags = kSolicitedFlag | kOverrideFlag,
                         .options = link_option(2, kPeerMac)}));
  EXPECT_EQ(ask(kElsewhere), RouteState::unreachable);
  drain();
}

TEST_F(RouterAdvertisements, AnMtuInRangeIsTaken) {
  begin();
  const auto mtu = [](std::uint32_t value) { return bytes({5, 1, 0, 0}) + be32(value); };
  hear({.options = prefix_option(kForEver, kForEver) + mtu(1400)});
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  EXPECT_EQ(route.mtu, 1400);
  hear({.options = mtu(1279)});
  hear({.options = mtu(1501)});
  EXPECT_EQ(count(&Counters::ra_mtu_ignored), 2u);
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  EXPECT_EQ(route.mtu, 1400);
  drain();
}

TEST_F(RouterAdvertisements, C102_AFormedAddressIsCheckedBeforeUse) {
  begin(1);
  for (int i = 0; i < 30; ++i) run(100ms);
  drain();
  hear({.options = prefix_option(kForEver, kForEver)});
  EXPECT_FALSE(interface->is_own(kFormed));
  EXPECT_EQ(ask(kElsewhere), RouteState::pending);
  run(1ms);
  const auto probe = sent6();
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->target(), kFormed);
  EXPECT_EQ(probe->source, kNobody);
  run(1001ms);
  EXPECT_TRUE(interface->is_own(kFormed));
  EXPECT_EQ(ask(kElsewhere), RouteState::resolved);
  drain();
}

TEST_F(RouterAdvertisements, C102_PrefixesThatFormNoAddress) {
  begin();
  hear({.options = prefix_option(100, 200)});                             // preferred beyond valid
  hear({.options = prefix_option(100, 100, 0xc0, 48)});                   // no room for 64 bits
  hear({.options = prefix_option(100, 100, 0x40, 64, ip6(0xfe80, {}))});  // link-local
  hear({.options = prefix_option(0, 0)});
  EXPECT_FALSE(interface->is_own(kFormed));
  EXPECT_GE(count(&Counters::ra_prefix_ignored), 4u);
  hear({.options = prefix_option(100, 100, 0x80)});  // on the link, without the A flag
  EXPECT_TRUE(interface->on_link(kNeighbour));
  EXPECT_FALSE(interface->is_own(kFormed));
  drain();
}

TEST_F(RouterAdvertisements, C102_LifetimesEndAddresses) {
  begin();
  hear({.options = prefix_option(100, 40)});
  EXPECT_TRUE(interface->is_own(kFormed));
  EXPECT_EQ(interface->source_for(kNeighbour), kFormed);
  run(41s);  // deprecated: still ours, and still better than a source of another scope
  EXPECT_TRUE(interface->is_own(kFormed));
  hear({.options = prefix_option(kForEver, kForEver, 0xc0, 64, ip6(0x2001, {0, 0, 0, 0}, 0xdb9))});
  const IpAddress other = ip6(0x2001, {0, 0xff, 0xfe00, 1}, 0xdb9);
  EXPECT_EQ(interface->source_for(kNeighbour), other);  // a preferred one goes first
  const std::uint32_t before = interface->neighbour_generation();
  run(60s);
  EXPECT_FALSE(interface->is_own(kFormed));
  EXPECT_NE(interface->neighbour_generation(), before);
  EXPECT_FALSE(interface->on_link(kNeighbour));
  drain();
}

TEST_F(RouterAdvertisements, C102_NobodyShortensALifetimeBelowTwoHours) {
  begin();
  hear({.options = prefix_option(100'000, 100'000)});
  // RFC 4862 5.5.3 e 3: more than two hours left, less offered: two hours.
  hear({.options = prefix_option(10, 10)});
  run(11s);
  EXPECT_TRUE(interface->is_own(kFormed));
  run(2h - 12s);
  EXPECT_TRUE(interface->is_own(kFormed));
  // e 2: less than two hours left, even less offered: ignored.
  hear({.options = prefix_option(0, 0)});
  EXPECT_TRUE(interface->is_own(kFormed));
  // e 1: more than what is left is taken.
  hear({.options = prefix_option(600, 600)});
  run(599s);
  EXPECT_TRUE(interface->is_own(kFormed));
  run(2s);
  EXPECT_FALSE(interface->is_own(kFormed));
  drain();
}

TEST_F(RouterAdvertisements, TablesAreBounded) {
  begin();
  for (std::uint32_t i = 0; i < 300; ++i)
    hear({.options =
              prefix_option(kForEver, kForEver, 0xc0, 64, ip6(0x2001, {i, 0, 0, 0, 0}, 0xdb8)),
          .source = ip6(0xfe80, {i + 10})});
  EXPECT_GT(count(&Counters::ra_table_full), 500u);
  EXPECT_GT(count(&Counters::ra_prefix_ignored), 290u);
  drain();
}

}  // namespace
}  // namespace pollux::net::test
