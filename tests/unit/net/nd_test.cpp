// Neighbour discovery as RFC 4861 7 has it: validity, the states of a neighbour, who may change
// what, and duplicate address detection of RFC 4862 5.4.
#include "tests/unit/net/net6_fixture.hpp"

namespace pollux::net::test {
namespace {

constexpr std::uint32_t kAnswer = kSolicitedFlag | kOverrideFlag;

struct NeighbourDiscovery : Net6Test {
  void say(const Nd& nd) { deliver(advertisement(nd)); }
  /// The frames of type 135 that leave within `time`, with the time they left at.
  std::vector<Sent6> solicitations(Duration time) {
    std::vector<Sent6> out;
    for (Duration t{}; t < time; t += 100ms) {
      run(100ms);
      while (auto frame = sent6()) out.push_back(*frame);
    }
    return out;
  }
  std::uint32_t generation() const { return interface->neighbour_generation(); }
};

// --- Validity (7.1) ------------------------------------------------------------------------------

TEST_F(NeighbourDiscovery, C101_TakesNothingThatARouterCouldHaveForwarded) {
  start6();
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  sent6();
  say({.flags = kAnswer, .options = link_option(2, kPeerMac), .hop_limit = 254});
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  deliver(solicitation({.target = kOur6, .options = link_option(1, kPeerMac), .hop_limit = 254}));
  EXPECT_EQ(sent(), std::nullopt);
  EXPECT_EQ(count(&Counters::drop_nd_hop_limit), 2u);
  say({.flags = kAnswer, .options = link_option(2, kPeerMac)});
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
}

TEST_F(NeighbourDiscovery, C101_DropsEveryMessageThatBreaksARule) {
  start6();
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  sent6();
  const Frame good = link_option(2, kPeerMac);
  std::vector<std::pair<const char*, Frame>> frames{
      {"code", advertisement({.flags = kAnswer, .options = good, .code = 1})},
      {"group as target", advertisement({.target = kAllNodes, .flags = kAnswer, .options = good})},
      {"solicited to a group",
       advertisement({.destination = kAllNodes, .flags = kAnswer, .options = good})},
      {"from nobody", advertisement({.source = kNobody, .flags = kAnswer, .options = good})},
      {"option of length zero", advertisement({.flags = kAnswer, .options = Frame(8)})},
      {"option over the end",
       advertisement({.flags = kAnswer, .options = bytes({2, 2}) + Frame(6)})},
      {"half an option", advertisement({.flags = kAnswer, .options = good + Frame(4)})},
      {"long address", advertisement({.flags = kAnswer, .options = bytes({2, 2}) + Frame(14)})},
      {"group as address",
       advertisement({.flags = kAnswer, .options = link_option(2, kBroadcastMac)})},
      {"probe to the address",
       solicitation({.source = kNobody, .destination = kOur6, .target = kOur6})},
      {"probe with an address", solicitation({.source = kNobody,
                                              .destination = kOurGroup,
                                              .target = kOur6,
                                              .options = link_option(1, kPeerMac)})},
      {"solicited group", solicitation({.target = kAllNodes})},
      {"router from afar",
       nd_frame({.source = kPeer6, .destination = kAllNodes, .options = Frame{}}, 134)},
  };
  const Ip6 ip{.next_header = 58, .hop_limit = 255};
  frames.emplace_back("short", to_us6(ipv6(ip, icmp6(ip, 136, 0, kAnswer, Frame(15)))));
  std::uint64_t dropped = 0;
  for (const auto& [name, frame] : frames) {
    deliver(frame);
    EXPECT_EQ(count(&Counters::drop_nd_malformed), ++dropped) << name;
    EXPECT_EQ(ask(kPeer6), RouteState::pending) << name;
    EXPECT_EQ(sent(), std::nullopt) << name;
  }
}

TEST_F(NeighbourDiscovery, AnswersNobodyWhoSaysHeIsAGroupOrNobody) {
  start6();
  std::uint64_t dropped = 0;
  for (const Frame& source : {kBroadcastMac, kAllNodesMac, Frame(6)}) {
    deliver(solicitation({.target = kOur6, .mac = source}));
    const Ip6 ip{.next_header = 58};
    deliver(to_us6(ipv6(ip, icmp6(ip, 128, 0, 1, pattern(8))), source));
    EXPECT_EQ(sent(), std::nullopt);
    EXPECT_EQ(count(&Counters::drop_source_mac), dropped += 2);
  }
}

TEST_F(NeighbourDiscovery, AnyDamageIsSurvived) {
  start6();
  Random random(5);
  for (int i = 0; i < 5000; ++i) {
    Frame frame = nd_frame({.target = random.below(2) == 0 ? kOur6 : kPeer6,
                            .flags = static_cast<std::uint32_t>(random.next()),
                            .options = link_option(static_cast<int>(random.below(6)), kPeerMac) +
                                       Frame(random.below(40), std::byte{1})},
                           133 + static_cast<int>(random.below(5)));
    const std::size_t at = 54 + random.below(static_cast<std::uint32_t>(frame.size() - 54));
    frame[at] = static_cast<std::byte>(random.next());
    // The sum is made right again, so that the damage gets past it.
    Frame message(frame.begin() + 54, frame.end());
    message = with_sum6({}, 58, (put16(message, 2, 0), message), 2);
    std::copy(message.begin(), message.end(), frame.begin() + 54);
    deliver(frame);
    while (sent()) {
    }
  }
}

// --- Resolution and states (7.2, 7.3) ------------------------------------------------------------

TEST_F(NeighbourDiscovery, C101_AsksTheGroupThreeTimesAndThenGivesUp) {
  start6();
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  const auto first = sent6();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->type(), 135);
  EXPECT_EQ(first->hop_limit, 255);
  EXPECT_EQ(first->source, kOur6);
  EXPECT_EQ(first->destination, ip6(0xff02, {1, 0xff00, 2}));
  EXPECT_EQ(first->destination_mac, bytes({0x33, 0x33, 0xff, 0, 0, 2}));
  EXPECT_EQ(first->target(), kPeer6);
  EXPECT_EQ(first->option(), link_option(1, kOurMac));
  EXPECT_EQ(solicitations(2900ms).size(), 2u);
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  const std::uint32_t before = generation();
  EXPECT_EQ(solicitations(300ms).size(), 0u);
  EXPECT_NE(generation(), before);
  EXPECT_EQ(ask(kPeer6), RouteState::unreachable);
  EXPECT_EQ(count(&Counters::nd_unreachable), 1u);
  EXPECT_EQ(solicitations(4s).size(), 0u);  // known to be silent: not asked at once again
  run(2s);
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  EXPECT_TRUE(sent6());
}

TEST_F(NeighbourDiscovery, C101_ASolicitedAnswerMakesItReachableAndAnUnsolicitedOneStale) {
  start6();
  learn(kPeer6);
  EXPECT_EQ(route_mac(), kPeerMac);
  EXPECT_EQ(route.source, kOur6);
  EXPECT_EQ(solicitations(14s).size(), 0u);  // REACHABLE for half of 30 s at least
  // Not solicited: usable, but the next packet makes it DELAY and five seconds later PROBE.
  EXPECT_EQ(ask(kGateway6), RouteState::pending);
  sent6();
  say({.source = kGateway6,
       .target = kGateway6,
       .flags = kOverrideFlag,
       .options = link_option(2, kOtherMac),
       .mac = kOtherMac});
  EXPECT_EQ(ask(kGateway6), RouteState::resolved);
  EXPECT_EQ(route_mac(), kOtherMac);
  EXPECT_TRUE(solicitations(4800ms).empty());
  const auto probes = solicitations(400ms);
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_EQ(probes[0].destination_mac, kOtherMac);  // to itself, not to the group
  EXPECT_EQ(probes[0].destination, kGateway6);
}

TEST_F(NeighbourDiscovery, C101_AnAnswerWithoutAnAddressResolvesNothing) {
  start6();
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  sent6();
  say({.flags = kAnswer});
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  EXPECT_EQ(count(&Counters::drop_nd_no_address), 1u);
}

TEST_F(NeighbourDiscovery, C101_StaleIsAskedAboutOnlyOnceItIsUsed) {
  start6();
  learn(kPeer6);
  const std::uint32_t before = generation();
  EXPECT_TRUE(solicitations(100s).empty());  // nobody sends: STALE, and silent
  EXPECT_NE(generation(), before);           // cached routes come and ask
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  EXPECT_TRUE(solicitations(4900ms).empty());  // DELAY
  EXPECT_EQ(solicitations(2s).size(), 2u);     // PROBE, one a second
  say({.flags = kSolicitedFlag, .options = link_option(2, kPeerMac)});
  EXPECT_TRUE(solicitations(14s).empty());
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
}

TEST_F(NeighbourDiscovery, C101_ForwardProgressOfTcpSparesTheProbes) {
  start6();
  learn(kPeer6);
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(solicitations(10s).empty());
    interface->confirm_reachable(kPeer6, wire.now());
    EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  }
  EXPECT_EQ(count(&Counters::nd_confirmed), 30u);
  // In DELAY, too.
  run(50s);
  ask(kPeer6);
  run(3s);
  interface->confirm_reachable(kPeer6, wire.now());
  EXPECT_TRUE(solicitations(10s).empty());
  // A neighbour that nobody asked for is not made by it.
  interface->confirm_reachable(kGateway6, wire.now());
  EXPECT_EQ(ask(kGateway6), RouteState::pending);
  sent6();
}

TEST_F(NeighbourDiscovery, C101_ASilentProbeFallsBackToTheGroupAndThenFails) {
  start6();
  learn(kPeer6);
  run(100s);
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  const auto probes = solicitations(8s);
  ASSERT_GE(probes.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(probes[i].destination_mac, kPeerMac);
  const auto asked = solicitations(3s);
  EXPECT_EQ(ask(kPeer6), RouteState::unreachable);
  for (const Sent6& ask_all : asked) EXPECT_EQ(ask_all.destination_mac[0], std::byte{0x33});
  EXPECT_EQ(count(&Counters::nd_unreachable), 1u);
}

TEST_F(NeighbourDiscovery, C101_OverrideMovesAReachableNeighbourAndItsAbsenceDoesNot) {
  start6();
  learn(kPeer6);
  std::uint32_t before = generation();
  // Without override: REACHABLE becomes STALE, the address stays.
  say({.flags = kSolicitedFlag, .options = link_option(2, kOtherMac), .mac = kOtherMac});
  EXPECT_NE(generation(), before);
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  EXPECT_EQ(route_mac(), kPeerMac);
  // In DELAY it is ignored altogether.
  before = generation();
  say({.options = link_option(2, kOtherMac), .mac = kOtherMac});
  EXPECT_EQ(generation(), before);
  // Unsolicited with override is how a portal moves: every cached route is asked for again.
  say({.destination = kAllNodes,
       .flags = kOverrideFlag,
       .options = link_option(2, kOtherMac),
       .mac = kOtherMac});
  EXPECT_NE(generation(), before);
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  EXPECT_EQ(route_mac(), kOtherMac);
  EXPECT_EQ(count(&Counters::nd_changed), 1u);
}

TEST_F(NeighbourDiscovery, C101_WhatNobodyAskedForMakesNoEntry) {
  start6();
  say({.flags = kAnswer, .options = link_option(2, kPeerMac)});
  EXPECT_EQ(count(&Counters::drop_nd_unsolicited), 1u);
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  sent6();
}

TEST_F(NeighbourDiscovery, AFloodOfStrangersNeverPushesOutANeighbourInUse) {
  start6();
  learn(kPeer6);
  for (std::uint32_t i = 0; i < 2000; ++i) {
    deliver(solicitation({.source = ip6(0xfd99, {1, i}),
                          .target = kOur6,
                          .options = link_option(1, kOtherMac),
                          .mac = kOtherMac}));
    while (sent()) {
    }
  }
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  EXPECT_GT(count(&Counters::drop_nd_rate), 0u);
}

// RFC 4861 7.3.3: a stale entry stays while nothing is sent to it, and any policy may end it.
TEST_F(NeighbourDiscovery, AFullTableForgetsTheStaleNeighbourThatWasUsedLongestAgo) {
  start6();
  const auto host = [](std::uint32_t i) { return ip6(0xfd99, {2, i}); };
  constexpr std::uint32_t kEntries = 256;
  for (std::uint32_t i = 0; i < kEntries; ++i) learn(host(i));
  EXPECT_EQ(ask(host(kEntries)), RouteState::unreachable) << "all of them are reachable";
  EXPECT_EQ(count(&Counters::nd_table_full), 1u);
  run(60s);
  while (sent()) {
  }
  ask(host(0));  // in use again: the second one is the oldest now
  learn(host(kEntries));
  EXPECT_EQ(count(&Counters::nd_table_full), 1u);
  EXPECT_EQ(ask(host(0)), RouteState::resolved);
  EXPECT_EQ(ask(host(2)), RouteState::resolved);
  // Strangers push out no neighbour of ours, stale or not.
  const auto full = count(&Counters::nd_table_full);
  deliver(solicitation({.source = ip6(0xfd99, {3, 1}),
                        .target = kOur6,
                        .options = link_option(1, kOtherMac),
                        .mac = kOtherMac}));
  EXPECT_EQ(count(&Counters::nd_table_full), full + 1);
  while (sent()) {
  }
  EXPECT_EQ(ask(host(1)), RouteState::pending) << "forgotten";
  EXPECT_EQ(sent6()->target(), host(1));
}

TEST_F(NeighbourDiscovery, ALinkThatIsBackHearsOfOurAddressesAndIsAskedForRouters) {
  InterfaceConfig config = config6();
  config.accept_ra = true;
  start6(config);
  run(15s);  // the routers' turn at the start is over
  while (sent6()) {
  }
  wire.set_link(false);
  run(1s);
  EXPECT_EQ(sent(), std::nullopt);
  wire.set_link(true);
  run(1ms);
  std::vector<IpAddress> announced;
  unsigned asked = 0;
  while (const auto frame = sent6()) {
    asked += frame->type() == 133;
    if (frame->type() != 136) continue;
    // RFC 4861 7.2.6: unsolicited, to all nodes.
    EXPECT_EQ(frame->destination, kAllNodes);
    EXPECT_EQ(frame->destination_mac, kAllNodesMac);
    EXPECT_EQ(frame->word(), kOverrideFlag);
    EXPECT_EQ(frame->option(), link_option(2, kOurMac));
    EXPECT_EQ(frame->source, frame->target());
    announced.push_back(frame->target());
  }
  EXPECT_EQ(announced, (std::vector<IpAddress>{kOurLinkLocal, kOur6}));
  EXPECT_EQ(asked, 1u);
  run(1s);
  EXPECT_EQ(sent(), std::nullopt);  // once
}

// --- Answers
// --------------------------------------------------------------------------------------

TEST_F(NeighbourDiscovery, C101_AnswersForItsAddressesAndLearnsWhoAsked) {
  start6();
  deliver(solicitation(
      {.destination = kOurGroup, .target = kOur6, .options = link_option(1, kPeerMac)}));
  auto reply = sent6();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type(), 136);
  EXPECT_EQ(reply->hop_limit, 255);
  EXPECT_EQ(reply->source, kOur6);
  EXPECT_EQ(reply->destination, kPeer6);
  EXPECT_EQ(reply->destination_mac, kPeerMac);
  EXPECT_EQ(reply->word(), kAnswer);
  EXPECT_EQ(reply->target(), kOur6);
  EXPECT_EQ(reply->option(), link_option(2, kOurMac));
  EXPECT_EQ(ask(kPeer6), RouteState::resolved);
  EXPECT_EQ(route_mac(), kPeerMac);
  // One that checks an address of ours is told through all nodes.
  deliver(solicitation(
      {.source = kNobody, .destination = kOurGroup, .target = kOur6, .mac = kOtherMac}));
  reply = sent6();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->destination, kAllNodes);
  EXPECT_EQ(reply->destination_mac, kAllNodesMac);
  EXPECT_EQ(reply->word(), kOverrideFlag);
  // A neighbour in our group is none of our business.
  deliver(solicitation({.destination = kOurGroup, .target = ip6(0xfd99, {5, 1})}));
  EXPECT_EQ(sent(), std::nullopt);
}

// --- Routes
// ----------------------------------------------------------------------------------------

TEST_F(NeighbourDiscovery, FarAddressesGoThroughTheGateway) {
  InterfaceConfig config = config6();
  start6(config);
  EXPECT_EQ(ask(kFar6), RouteState::unreachable);
  EXPECT_EQ(count(&Counters::no_route), 1u);
  interface.reset();
  port.reset();
  config.gateway6 = kPeerLinkLocal;
  start6(config);
  EXPECT_FALSE(interface->on_link(kFar6));
  EXPECT_TRUE(interface->has_gateway(kFar6));
  EXPECT_EQ(ask(kFar6), RouteState::pending);
  EXPECT_EQ(sent6()->target(), kPeerLinkLocal);
  say({.source = kPeerLinkLocal,
       .destination = kOurLinkLocal,
       .target = kPeerLinkLocal,
       .flags = kAnswer | kRouterFlag,
       .options = link_option(2, kPeerMac)});
  EXPECT_EQ(ask(kFar6), RouteState::resolved);
  EXPECT_EQ(route.source, kOur6);
}

TEST_F(NeighbourDiscovery, LinkLocalPeersAreReachedFromTheLinkLocalAddress) {
  start6();
  learn(kPeerLinkLocal);
  EXPECT_EQ(route.source, kOurLinkLocal);
  EXPECT_EQ(interface->source_for(kPeer6), kOur6);
}

TEST_F(NeighbourDiscovery, AZoneNamesOneLink) {
  InterfaceConfig config = config6();
  config.zone = 2;
  start6(config);
  EXPECT_TRUE(interface->on_link(kPeerLinkLocal));
  EXPECT_TRUE(interface->on_link(kPeerLinkLocal.with_zone(2)));
  EXPECT_FALSE(interface->on_link(kPeerLinkLocal.with_zone(1)));
  EXPECT_EQ(kPeer6.with_zone(2), kPeer6);
  EXPECT_EQ(kPeerLinkLocal.with_zone(2).with_zone(0), kPeerLinkLocal);
}

TEST_F(NeighbourDiscovery, HasNoRouteToWhatIsNoHost) {
  start6();
  for (const IpAddress& host : {kAllNodes, kNobody, ip6(0, {1}), kOur6, kOurLinkLocal})
    EXPECT_EQ(ask(host), RouteState::unreachable);
  EXPECT_EQ(sent(), std::nullopt);
}

// --- Duplicate address detection
// -------------------------------------------------------------------

struct DuplicateAddress : NeighbourDiscovery {
  void start_checking() {
    InterfaceConfig config = config6();
    config.dad_transmits = 1;
    start6(config);
  }
};

TEST_F(DuplicateAddress, C102_NothingIsUsedBeforeItWasChecked) {
  start_checking();
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::checking);
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  // Neither TCP nor ping nor questions about it are answered.
  EXPECT_TRUE(deliver(to_us6(ipv6({}, tcp6({}, {})))).empty());
  deliver(solicitation(
      {.destination = kOurGroup, .target = kOur6, .options = link_option(1, kPeerMac)}));
  EXPECT_EQ(sent(), std::nullopt);
  const auto probes = solicitations(1100ms);
  ASSERT_EQ(probes.size(), 2u);  // the link-local address and the configured one
  for (const Sent6& probe : probes) {
    EXPECT_EQ(probe.source, kNobody);
    EXPECT_EQ(probe.hop_limit, 255);
    EXPECT_TRUE(probe.option().empty());
    EXPECT_EQ(probe.destination, kOurGroup);  // both end in the same 24 bits
  }
  const bool ours_first = probes[0].target() == kOur6;
  EXPECT_EQ(probes[ours_first ? 0 : 1].target(), kOur6);
  EXPECT_EQ(probes[ours_first ? 1 : 0].target(), kOurLinkLocal);
  EXPECT_TRUE(solicitations(1s).empty());
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::ready);
  EXPECT_EQ(ask(kPeer6), RouteState::pending);
  EXPECT_EQ(sent6()->source, kOur6);
  EXPECT_EQ(deliver(to_us6(ipv6({}, tcp6({}, {})))).size(), 1u);
}

TEST_F(DuplicateAddress, C102_AnAnswerMeansThatSomebodyHasIt) {
  start_checking();
  solicitations(1100ms);
  say({.source = kOur6,
       .destination = kAllNodes,
       .target = kOur6,
       .flags = kOverrideFlag,
       .options = link_option(2, kOtherMac),
       .mac = kOtherMac});
  EXPECT_EQ(count(&Counters::dad_duplicates), 1u);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::duplicate);
  run(5s);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::duplicate);
  EXPECT_FALSE(interface->is_own(kOur6));
  EXPECT_TRUE(interface->is_own(kOurLinkLocal));
  EXPECT_TRUE(deliver(to_us6(ipv6({}, tcp6({}, {})))).empty());
}

TEST_F(DuplicateAddress, C102_TwoThatCheckTheSameAddressBothGiveWay) {
  start_checking();
  deliver(solicitation(
      {.source = kNobody, .destination = kOurGroup, .target = kOur6, .mac = kOtherMac}));
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::duplicate);
}

TEST_F(DuplicateAddress, C102_OnesOwnReflectedProbeIsNoConflict) {
  start_checking();
  deliver(
      solicitation({.source = kNobody, .destination = kOurGroup, .target = kOur6, .mac = kOurMac}));
  EXPECT_EQ(count(&Counters::nd_reflected), 1u);
  run(3s);
  run(3s);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::ready);
  while (sent()) {
  }
}

TEST_F(DuplicateAddress, C102_ADuplicateLinkLocalAddressEndsIpv6OnThePort) {
  start_checking();
  deliver(solicitation(
      {.source = kNobody, .destination = kOurGroup, .target = kOurLinkLocal, .mac = kOtherMac}));
  for (int i = 0; i < 4; ++i) run(1s);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::duplicate);
  EXPECT_FALSE(interface->is_own(kOur6));
  EXPECT_EQ(ask(kPeer6), RouteState::unreachable);
  while (sent()) {
  }
}

TEST_F(DuplicateAddress, NothingIsFoundOutOnALinkThatIsDown) {
  start_checking();
  const std::uint32_t before = generation();
  wire.set_link(false);
  for (int i = 0; i < 100; ++i) {
    run(100ms);
    interface->drop_queued();
  }
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::checking);
  EXPECT_FALSE(interface->is_own(kOur6));
  EXPECT_EQ(generation(), before);
  EXPECT_EQ(interface->next_deadline(), kNever) << "an idle worker may sleep";
  wire.set_link(true);
  const auto probes = solicitations(1100ms);
  ASSERT_EQ(probes.size(), 2u);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::checking);
  say({.source = kOur6,
       .destination = kAllNodes,
       .target = kOur6,
       .flags = kOverrideFlag,
       .options = link_option(2, kOtherMac),
       .mac = kOtherMac});
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::duplicate);
  solicitations(2s);
  EXPECT_TRUE(interface->is_own(kOurLinkLocal)) << "and nobody has that one";
}

// What was asked before the link failed may never have arrived.
TEST_F(DuplicateAddress, ALinkThatFailsDuringTheCheckStartsItAnew) {
  start_checking();
  ASSERT_EQ(solicitations(1s).size(), 2u);
  wire.set_link(false);
  run(1ms);
  wire.set_link(true);
  run(1ms);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::checking);
  EXPECT_EQ(solicitations(1s).size(), 2u);
  solicitations(1100ms);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::ready);
}

TEST_F(DuplicateAddress, ALaterClaimIsCountedAndTheAddressKept) {
  start6();
  say({.source = kOur6,
       .destination = kAllNodes,
       .target = kOur6,
       .flags = kOverrideFlag,
       .options = link_option(2, kOtherMac),
       .mac = kOtherMac});
  EXPECT_EQ(count(&Counters::nd_conflicts), 1u);
  EXPECT_EQ(interface->ipv6_state(), Ipv6State::ready);
  EXPECT_TRUE(interface->is_own(kOur6));
}

}  // namespace
}  // namespace pollux::net::test
