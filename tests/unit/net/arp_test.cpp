// Neighbours as a conversation on the wire: RFC 826, RFC 1122 2.3.2, RFC 5227.
#include "dataplane/net/address_claim.hpp"
#include "dataplane/net/arp_table.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

const Frame kZeroMac = Frame(6);
const Frame kOtherMac = bytes({2, 0, 0, 0, 0, 9});

class Arp : public NetTest {
 protected:
  RouteState ask(std::uint32_t host = kPeerIp) {
    return interface->route(IpAddress::from_v4_host(host), wire.now(), route);
  }
  Frame request_for(std::uint32_t host, const Frame& to = kBroadcastMac) {
    return ethernet(to, kOurMac, 0x0806, arp(1, kOurMac, kOurIp, kZeroMac, host));
  }
  void answer(std::uint32_t host = kPeerIp, const Frame& mac = kPeerMac) {
    deliver(ethernet(kOurMac, mac, 0x0806, arp(2, mac, host, kOurMac, kOurIp)));
  }
  /// Runs second by second and answers nothing; returns the frames sent.
  std::vector<Frame> silence(int seconds) {
    std::vector<Frame> frames;
    for (int i = 0; i < seconds * 10; ++i) {
      run(100ms);
      while (auto frame = sent()) frames.push_back(*frame);
    }
    return frames;
  }
  void resolve() {
    ASSERT_EQ(ask(), RouteState::pending);
    ASSERT_EQ(sent(), request_for(kPeerIp));
    answer();
    ASSERT_EQ(ask(), RouteState::resolved);
  }
  Route route;
};

TEST_F(Arp, AsksOnceAndGivesAReadyHeaderWhenAnswered) {
  start();
  EXPECT_EQ(ask(), RouteState::pending);
  EXPECT_EQ(ask(), RouteState::pending);
  EXPECT_EQ(sent(), request_for(kPeerIp));
  EXPECT_EQ(sent(), std::nullopt);
  const auto before = interface->neighbour_generation();
  answer();
  EXPECT_NE(interface->neighbour_generation(), before);
  ASSERT_EQ(ask(), RouteState::resolved);
  EXPECT_EQ(Frame(route.ethernet.begin(), route.ethernet.end()), kPeerMac + kOurMac + be16(0x0800));
  EXPECT_EQ(route.source, interface->address());
  EXPECT_EQ(route.mtu, 1500);
  EXPECT_EQ(route.generation, interface->neighbour_generation());
}

TEST_F(Arp, C99_AsksAtMostOnceASecondAndGivesUpAfterFiveRequests) {
  start();
  const Instant begin = wire.now();
  ask();
  std::vector<Instant> times;
  wire.watch([&](std::size_t from, Instant at, auto) {
    if (from == 0) times.push_back(at);
  });
  sent();
  const auto before = interface->neighbour_generation();
  while (ask() == RouteState::pending && wire.now() < begin + 60s) {
    run(10ms);
    sent();
  }
  EXPECT_EQ(times.size(), ArpTable::kRequests);
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], 1s - 1ms);
  EXPECT_EQ(ask(), RouteState::unreachable);
  EXPECT_NE(interface->neighbour_generation(), before);
  EXPECT_LE(wire.now() - begin, 6s);
  EXPECT_EQ(interface->next_deadline(), kNever);
}

TEST_F(Arp, TriesAgainSomeTimeAfterGivingUp) {
  start();
  ask();
  silence(6);
  ASSERT_EQ(ask(), RouteState::unreachable);
  EXPECT_TRUE(silence(1).empty());
  run(ArpTable::kUnreachableTime);
  EXPECT_EQ(ask(), RouteState::pending);
  EXPECT_EQ(sent(), request_for(kPeerIp));
  answer();
  EXPECT_EQ(ask(), RouteState::resolved);
}

TEST_F(Arp, RecoversAtOnceWhenAnUnreachableNeighbourSpeaks) {
  start();
  ask();
  silence(6);
  ASSERT_EQ(ask(), RouteState::unreachable);
  deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, kZeroMac, kPeerIp)));
  EXPECT_EQ(ask(), RouteState::resolved);
}

TEST_F(Arp, C99_RefreshesAnAgedEntryByAskingTheNeighbourItself) {
  start();
  resolve();
  const auto generation = interface->neighbour_generation();
  EXPECT_TRUE(silence(59).empty());
  const auto frames = silence(2);
  ASSERT_GE(frames.size(), 1u);
  EXPECT_EQ(frames[0], request_for(kPeerIp, kPeerMac));
  answer();
  EXPECT_TRUE(silence(58).empty());
  EXPECT_EQ(ask(), RouteState::resolved);
  EXPECT_EQ(interface->neighbour_generation(), generation) << "nothing has changed for TCP";
}

TEST_F(Arp, C99_KeepsUsingAnEntryWhileRefreshingAndDropsItAfterTheBound) {
  start();
  resolve();
  silence(62);
  EXPECT_EQ(ask(), RouteState::resolved);
  const auto frames = silence(5);
  EXPECT_EQ(ask(), RouteState::unreachable);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back(), request_for(kPeerIp)) << "at the end everybody is asked";
  EXPECT_EQ(count(&Counters::arp_requests_out), 1u + ArpTable::kRequests);
}

TEST_F(Arp, AnswersRequestsForOurAddressAndLearnsTheAsker) {
  start();
  deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, kZeroMac, kOurIp)));
  EXPECT_EQ(sent(),
            ethernet(kPeerMac, kOurMac, 0x0806, arp(2, kOurMac, kOurIp, kPeerMac, kPeerIp)));
  EXPECT_EQ(ask(), RouteState::resolved);
  EXPECT_EQ(sent(), std::nullopt);
}

TEST_F(Arp, AnswersAProbeWithoutLearning) {
  start();
  deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, 0, kZeroMac, kOurIp)));
  EXPECT_EQ(sent(), ethernet(kPeerMac, kOurMac, 0x0806, arp(2, kOurMac, kOurIp, kPeerMac, 0)));
}

TEST_F(Arp, C100_IgnoresRequestsForOthersAndUnsolicitedReplies) {
  start();
  deliver(
      ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, kZeroMac, kGatewayIp)));
  answer();
  EXPECT_EQ(sent(), std::nullopt);
  EXPECT_EQ(count(&Counters::drop_arp_unsolicited), 1u);
  EXPECT_EQ(ask(), RouteState::pending) << "nothing was learnt";
}

TEST_F(Arp, C100_GratuitousArpUpdatesAnExistingEntryOnly) {
  start();
  const Frame gratuitous =
      ethernet(kBroadcastMac, kOtherMac, 0x0806, arp(1, kOtherMac, kPeerIp, kZeroMac, kPeerIp));
  deliver(gratuitous);
  ASSERT_EQ(ask(), RouteState::pending);
  sent();
  answer();
  ASSERT_EQ(ask(), RouteState::resolved);
  const auto generation = interface->neighbour_generation();
  deliver(gratuitous);
  EXPECT_NE(interface->neighbour_generation(), generation);
  ASSERT_EQ(ask(), RouteState::resolved);
  EXPECT_EQ(Frame(route.ethernet.begin(), route.ethernet.begin() + 6), kOtherMac);
  EXPECT_EQ(count(&Counters::arp_changed), 1u);
}

TEST_F(Arp, C100_DefendsOurAddressAtMostOnceInTenSeconds) {
  start();
  const Frame thief =
      ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kOurIp, kZeroMac, kOurIp));
  const Frame defence =
      ethernet(kBroadcastMac, kOurMac, 0x0806, arp(1, kOurMac, kOurIp, kZeroMac, kOurIp));
  deliver(thief);
  EXPECT_EQ(sent(), defence);
  run(9s);
  deliver(thief);
  EXPECT_EQ(sent(), std::nullopt);
  run(1s);
  deliver(thief);
  EXPECT_EQ(sent(), defence);
  EXPECT_EQ(count(&Counters::arp_conflicts), 3u);
}

TEST_F(Arp, DropsMalformedPackets) {
  start();
  const Frame good = arp(1, kPeerMac, kPeerIp, kZeroMac, kOurIp);
  for (std::size_t at : {1, 2, 4, 5, 7}) {
    Frame bad = good;
    bad[at] ^= std::byte{0x40};
    deliver(ethernet(kOurMac, kPeerMac, 0x0806, bad));
  }
  deliver(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kBroadcastMac, kPeerIp, kZeroMac, kOurIp)));
  EXPECT_EQ(count(&Counters::drop_arp_malformed), 6u);
  Frame truncated = ethernet(kOurMac, kPeerMac, 0x0806, good);
  truncated.pop_back();
  deliver(truncated);
  EXPECT_EQ(count(&Counters::drop_short_frame), 1u);
  // Whole packets whose sender is no host.
  std::uint64_t senders = 0;
  for (std::uint32_t sender :
       {0xffff'ffffu, 0x0a63'00ffu, 0xe000'0001u, 0x7f00'0001u, 0xf000'0001u})
    for (std::uint32_t op : {1u, 2u}) {
      deliver(ethernet(kOurMac, kPeerMac, 0x0806, arp(op, kPeerMac, sender, kZeroMac, kOurIp)));
      EXPECT_EQ(count(&Counters::drop_arp_sender), ++senders);
    }
  EXPECT_EQ(count(&Counters::drop_arp_malformed), 6u);
  EXPECT_EQ(sent(), std::nullopt);
}

// --- Our own address: RFC 5227
// -----------------------------------------------------------------------------------

TEST_F(Arp, AnnouncesOurAddressAtTheStartAndWhenTheLinkComesBack) {
  announce = true;
  start();
  const Frame announcement =
      ethernet(kBroadcastMac, kOurMac, 0x0806, arp(1, kOurMac, kOurIp, kZeroMac, kOurIp));
  run(1ms);
  EXPECT_EQ(sent(), announcement);
  auto frames = silence(10);
  EXPECT_EQ(frames, std::vector<Frame>{announcement}) << "a second one, two seconds later";
  EXPECT_EQ(interface->next_deadline(), kNever);
  wire.set_link(false);
  EXPECT_TRUE(silence(3).empty());
  wire.set_link(true);
  EXPECT_EQ(silence(10), (std::vector<Frame>{announcement, announcement}));
  EXPECT_EQ(count(&Counters::arp_announcements_out), 4u);
}

class AddressCheck : public Arp {
 protected:
  void begin() {
    announce = true;
    start({}, {.address = IpAddress::from_v4_host(kOurIp), .detect_conflicts = true});
    began = wire.now();
    wire.watch([this](std::size_t from, Instant at, std::span<const std::byte> frame) {
      if (from == 0) seen.push_back({at, Frame(frame.begin(), frame.end())});
    });
  }
  const Frame probe =
      ethernet(kBroadcastMac, kOurMac, 0x0806, arp(1, kOurMac, 0, kZeroMac, kOurIp));
  const Frame announcement =
      ethernet(kBroadcastMac, kOurMac, 0x0806, arp(1, kOurMac, kOurIp, kZeroMac, kOurIp));
  Instant began;
  std::vector<std::pair<Instant, Frame>> seen;
};

TEST_F(AddressCheck, ProbesThreeTimesBeforeTheAddressIsUsed) {
  begin();
  const auto generation = interface->neighbour_generation();
  EXPECT_EQ(interface->address_state(), AddressState::probing);
  EXPECT_EQ(ask(), RouteState::pending) << "a connect waits";
  while (interface->address_state() == AddressState::probing && wire.now() < began + 20s) {
    deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, kZeroMac, kOurIp)));
    run(10ms);
    sent();
  }
  silence(5);
  ASSERT_EQ(seen.size(), 5u) << "and nobody was answered meanwhile";
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(seen[i].second, i < 3 ? probe : announcement) << i;
  EXPECT_LE(seen[0].first - began, 1020ms);
  for (std::size_t i : {1u, 2u}) {
    EXPECT_GE(seen[i].first - seen[i - 1].first, 980ms);
    EXPECT_LE(seen[i].first - seen[i - 1].first, 2020ms);
  }
  EXPECT_GE(seen[3].first - seen[2].first, 1980ms);
  EXPECT_LE(seen[3].first - seen[2].first, 2020ms);
  EXPECT_GE(count(&Counters::arp_before_use), 1u);
  EXPECT_EQ(count(&Counters::address_state), 0u);
  EXPECT_NE(interface->neighbour_generation(), generation);
  EXPECT_EQ(ask(), RouteState::pending);
  EXPECT_EQ(sent(), request_for(kPeerIp));
}

TEST_F(AddressCheck, AConflictKeepsTheAddressUnusedUntilItIsFree) {
  const Frame answers[] = {
      arp(2, kPeerMac, kOurIp, kOurMac, 0),         // has it
      arp(1, kPeerMac, kOurIp, kZeroMac, kPeerIp),  // uses it
      arp(1, kPeerMac, 0, kZeroMac, kOurIp),        // wants it as well
  };
  for (const Frame& answer : answers) {
    begin();
    run(1001ms);
    ASSERT_EQ(sent(), probe);
    deliver(ethernet(kBroadcastMac, kPeerMac, 0x0806, answer));
    EXPECT_EQ(interface->address_state(), AddressState::conflict);
    EXPECT_EQ(to_words(interface->address_state()), "not used: another station on the link has it");
    EXPECT_EQ(count(&Counters::address_state), 2u);
    EXPECT_EQ(count(&Counters::arp_conflicts), 1u);
    EXPECT_EQ(ask(), RouteState::unreachable);
    EXPECT_TRUE(silence(59).empty()) << "neither used nor defended";
    EXPECT_FALSE(silence(8).empty()) << "asked again";
    EXPECT_EQ(interface->address_state(), AddressState::usable);
    interface.reset();
    port.reset();
  }
}

TEST_F(AddressCheck, NothingIsFoundOutOnALinkThatIsDown) {
  begin();
  wire.set_link(false);
  for (int i = 0; i < 200; ++i) {
    run(100ms);
    interface->drop_queued();
  }
  EXPECT_EQ(interface->address_state(), AddressState::probing);
  EXPECT_EQ(interface->next_deadline(), kNever) << "an idle worker may sleep";
  EXPECT_EQ(ask(), RouteState::pending);
  EXPECT_TRUE(seen.empty());
  wire.set_link(true);
  EXPECT_EQ(silence(10), (std::vector<Frame>{probe, probe, probe, announcement, announcement}));
  EXPECT_EQ(interface->address_state(), AddressState::usable);
}

TEST_F(AddressCheck, ALinkThatFailsDuringTheCheckStartsItAnew) {
  begin();
  while (seen.size() < 3 && wire.now() < began + 10s) {
    run(10ms);
    sent();
  }
  ASSERT_EQ(seen.size(), 3u);
  wire.set_link(false);
  run(10s);
  wire.set_link(true);
  run(1ms);
  EXPECT_EQ(interface->address_state(), AddressState::probing) << "the last one may be lost";
  EXPECT_EQ(silence(12), (std::vector<Frame>{probe, probe, probe, announcement, announcement}));
}

// --- A neighbour that TCP doubts
// ---------------------------------------------------------------------------------

TEST_F(Arp, AWrongEntryIsHealedWithinTwoSecondsOfBeingSuspected) {
  start();
  ask();
  sent();
  answer(kPeerIp, kOtherMac);  // one bit was flipped
  ASSERT_EQ(ask(), RouteState::resolved);
  run(10s);
  interface->suspect(IpAddress::from_v4_host(kPeerIp), wire.now());
  EXPECT_EQ(sent(), request_for(kPeerIp, kOtherMac)) << "itself first: an honest one answers";
  EXPECT_EQ(ask(), RouteState::resolved) << "and is used meanwhile";
  run(999ms);
  EXPECT_EQ(sent(), std::nullopt);
  run(2ms);
  EXPECT_EQ(sent(), request_for(kPeerIp));
  answer();
  ASSERT_EQ(ask(), RouteState::resolved);
  EXPECT_EQ(Frame(route.ethernet.begin(), route.ethernet.begin() + 6), kPeerMac);
  EXPECT_EQ(count(&Counters::arp_suspected), 1u);
  EXPECT_TRUE(silence(50).empty());
}

TEST_F(Arp, C63_SuspicionAsksAtMostOnceASecondAndOnlyOfKnownNeighbours) {
  start({}, {IpAddress::from_v4_host(kOurIp), 24, IpAddress::from_v4_host(kGatewayIp)});
  interface->suspect(IpAddress::from_v4_host(kPeerIp), wire.now());
  interface->suspect({}, wire.now());
  EXPECT_EQ(sent(), std::nullopt);
  ask(0xc633'6401);
  EXPECT_EQ(sent(), request_for(kGatewayIp));
  answer(kGatewayIp);
  int requests = 0;
  for (int i = 0; i < 100; ++i) {
    run(100ms);
    interface->suspect(IpAddress::from_v4_host(0xc633'6401), wire.now());
    while (auto frame = sent()) {
      EXPECT_EQ(*frame, request_for(kGatewayIp, kPeerMac)) << "the neighbour is the gateway";
      ++requests;
      answer(kGatewayIp);
    }
  }
  EXPECT_GE(requests, 9);
  EXPECT_LE(requests, 10);
}

TEST_F(Arp, C63_ASuspectedNeighbourThatIsSilentIsUnreachableAfterThreeRequests) {
  start();
  resolve();
  run(5s);
  interface->suspect(IpAddress::from_v4_host(kPeerIp), wire.now());
  EXPECT_EQ(silence(4).size(), 3u);
  EXPECT_EQ(ask(), RouteState::unreachable);
}

TEST_F(Arp, TableIsBoundedAndWantedEntriesSurviveAFloodOfAskers) {
  InterfaceConfig config{IpAddress::from_v4_host(kOurIp), 16, {}};
  start({}, config);
  resolve();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    deliver(ethernet(kBroadcastMac, kOtherMac, 0x0806,
                     arp(1, kOtherMac, 0x0a63'1000 + i, kZeroMac, kOurIp)));
    sent();
  }
  EXPECT_EQ(ask(), RouteState::resolved);
  // Wanted ones that do not answer fill the table: then there is no route, and it is said so.
  for (std::uint32_t i = 0; i < 300; ++i) ask(0x0a63'2000 + i);
  EXPECT_EQ(ask(0x0a63'3000), RouteState::unreachable);
  EXPECT_GT(count(&Counters::arp_table_full), 0u);
  EXPECT_EQ(ask(), RouteState::resolved);
}

TEST_F(Arp, OffLinkDestinationsGoToTheGateway) {
  start({}, {IpAddress::from_v4_host(kOurIp), 24, IpAddress::from_v4_host(kGatewayIp)});
  EXPECT_EQ(ask(0xc633'6401), RouteState::pending);
  EXPECT_EQ(sent(), request_for(kGatewayIp));
  answer(kGatewayIp);
  EXPECT_EQ(ask(0xc633'6401), RouteState::resolved);
  EXPECT_EQ(ask(0xc633'6402), RouteState::resolved);
  EXPECT_EQ(sent(), std::nullopt);
}

TEST_F(Arp, SaysWhatIsOnLinkAndWhetherThereIsAGateway) {
  start();
  EXPECT_TRUE(interface->on_link(IpAddress::from_v4_host(kPeerIp)));
  EXPECT_FALSE(interface->on_link(IpAddress::from_v4_host(kPeerIp + 256)));
  EXPECT_FALSE(interface->on_link(IpAddress{}));
  EXPECT_FALSE(interface->has_gateway(IpAddress::from_v4_host(kPeerIp)));
  interface.reset();
  port.reset();
  start({}, {IpAddress::from_v4_host(kOurIp), 24, IpAddress::from_v4_host(kGatewayIp)});
  EXPECT_TRUE(interface->has_gateway(IpAddress::from_v4_host(kPeerIp)));
}

TEST_F(Arp, HasNoRouteToWhatIsNoReachableHost) {
  start();
  for (std::uint32_t host :
       {0xc633'6401u, 0x0a63'00ffu, 0xffff'ffffu, 0xe000'0001u, 0x7f00'0001u, 0u, kOurIp})
    EXPECT_EQ(ask(host), RouteState::unreachable) << std::hex << host;
  IpAddress v6{{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  EXPECT_EQ(interface->route(v6, wire.now(), route), RouteState::unreachable);
  EXPECT_EQ(sent(), std::nullopt);
}

TEST_F(Arp, KeepsItsTimesWhenThereIsNoBufferToAskWith) {
  start();
  memory.set_limit(0);
  EXPECT_EQ(ask(), RouteState::pending);
  silence(6);
  EXPECT_EQ(ask(), RouteState::unreachable);
  EXPECT_GT(count(&Counters::drop_reply_no_buffer), 0u);
}

}  // namespace
}  // namespace pollux::net::test
