// Several workers on one port: whatever the NIC does with the frames, each connection lives on the
// worker that opened it, every buffer goes back to the worker it was taken from, and a NIC that
// does not steer as it was told is found out.
#include "dataplane/worker/shared_port.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "dataplane/net/address_claim.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "dataplane/worker/frame_flow.hpp"
#include "dataplane/worker/worker.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/toeplitz.hpp"
#include "tests/unit/net/net6_fixture.hpp"
#include "tests/unit/worker/shared_port_fixture.hpp"

namespace pollux::worker::test {
namespace {

using net::test::arp;
using net::test::be16;
using net::test::be32;
using net::test::bytes;
using net::test::ethernet;
using net::test::ipv4;
using net::test::operator+;

const sim::Frame kOurMac = bytes({2, 0, 0, 0, 0, 1});
const sim::Frame kPeerMac = bytes({2, 0, 0, 0, 0, 9});
constexpr std::uint32_t kOurIp = 0x0a63'0002;
constexpr std::uint32_t kPeerIp = 0x0a63'0001;

TEST(Handover, ATagThatThePortHasTakenOutGoesWithTheCopy) {
  sim::HeapPacketMemory from{{}}, to{{}};
  Lane lane(8);
  std::array<platform::FrameBuffer, 2> buffers;
  ASSERT_EQ(from.allocate_received(buffers), 2u);
  const platform::RxSegment pieces[] = {
      {.data = buffers[0].data,
       .length = 60,
       .flags = platform::kRxVlanStripped | platform::kRxMore,
       .vlan = 0x6064,
       .handle = buffers[0].handle},
      {.data = buffers[1].data, .length = 40, .handle = buffers[1].handle}};
  ASSERT_TRUE(lane.give(pieces));
  std::array<platform::RxSegment, 64> out;
  HandoverCounters counters;
  ASSERT_EQ(take_frames(lane, to, out, counters), 1u);
  EXPECT_EQ(out[0].length, 100u);
  EXPECT_EQ(out[0].flags, platform::kRxVlanStripped);
  EXPECT_EQ(out[0].vlan, 0x6064);
  to.release({&out[0].handle, 1});
  lane.collect(from);
  EXPECT_EQ(from.buffers_in_use() + to.buffers_in_use(), 0u);
}

TEST(SteeredPorts, RepliesComeBackHereOverIpv6Too) {
  std::string error;
  const auto steering = platform::Steering::create(
      {.rule = platform::SteeringRule::toeplitz, .workers = 3, .seed = 5}, error);
  ASSERT_NE(steering, nullptr) << error;
  const auto fd99 = [](std::uint8_t last) {
    net::IpAddress address;
    address.bytes = {0xfd, 0x99};
    address.bytes[15] = last;
    return address;
  };
  sim::HeapPacketMemory memory{{}};
  sim::SimWire wire(1, Instant{1000s});
  sim::SimPort port(wire, 0, memory);
  net::InterfaceConfig config{.address = kOurs, .prefix_length = 24};
  config.address6 = fd99(2);
  config.dad_transmits = 0;
  net::Interface interface(config, port, memory, wire.now());
  for (unsigned worker = 0; worker < 3; ++worker) {
    SteeredPorts ports(*steering, worker, interface, Random(worker));
    const tcp::PortPolicy policy = ports.policy();
    for (const auto& [remote, local] : {std::pair{kPeer, kOurs}, std::pair{fd99(1), fd99(2)}}) {
      unsigned found = 0;
      for (std::uint16_t candidate = 50'000; candidate < 50'100; ++candidate) {
        const std::uint16_t chosen = policy.choose(policy.context, {remote, kPeerPort}, candidate);
        if (chosen == 0) continue;
        ++found;
        EXPECT_EQ(steering->owner({.remote = remote.bytes,
                                   .local = local.bytes,
                                   .remote_port = kPeerPort,
                                   .local_port = chosen}),
                  worker);
      }
      EXPECT_GT(found, 50u);
    }
  }
}

struct Case {
  const char* name;
  RigOptions options;
  SteeringVerdict verdict;
};
class SharedPortCases : public ::testing::TestWithParam<Case> {};

TEST_P(SharedPortCases, EveryConnectionLivesOnTheWorkerThatOpenedIt) {
  Rig rig(GetParam().options);
  // In rounds: ports of earlier ones wait in TIME-WAIT.
  for (int round = 0; round < 3; ++round) exchange(rig, 12);
  EXPECT_EQ(rig.port->verdict(), GetParam().verdict);
  EXPECT_EQ(rig.sum(&HandoverCounters::dropped_full), 0u);
  EXPECT_EQ(rig.sum(&HandoverCounters::dropped_no_buffer), 0u);
  EXPECT_EQ(rig.sum(&HandoverCounters::given) + rig.sum(&HandoverCounters::notices_given),
            rig.sum(&HandoverCounters::taken));
  for (const auto& host : rig.hosts) {
    EXPECT_EQ(host->engine.counters().dropped_no_connection.get(), 0u);
    EXPECT_EQ(host->engine.counters().resets_sent.get(), 0u);
  }
  rig.expect_at_rest();
}

INSTANTIATE_TEST_SUITE_P(
    Ports, SharedPortCases,
    ::testing::Values(
        Case{"two_queues", {}, SteeringVerdict::confirmed},
        Case{"two_queues_hash_not_reported",
             {.nic = Nic::obeys_silently},
             SteeringVerdict::confirmed},
        Case{"two_queues_in_pieces", {.scatter = true}, SteeringVerdict::confirmed},
        Case{"one_queue", {.queues = 1, .nic = Nic::cannot_hash}, SteeringVerdict::software},
        Case{"one_queue_in_pieces",
             {.queues = 1, .nic = Nic::cannot_hash, .scatter = true},
             SteeringVerdict::software},
        Case{"two_queues_no_hash", {.nic = Nic::cannot_hash}, SteeringVerdict::software},
        Case{"other_key", {.nic = Nic::other_key}, SteeringVerdict::wrong_hash},
        Case{"ignores_table", {.nic = Nic::ignores_table}, SteeringVerdict::wrong_queue},
        Case{"five_workers_two_queues", {.workers = 5, .queues = 2}, SteeringVerdict::confirmed},
        Case{"three_workers_one_queue",
             {.workers = 3, .queues = 1, .nic = Nic::cannot_hash},
             SteeringVerdict::software}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(SharedPort, ANicThatSteersAsToldLeavesNothingToHandOver) {
  Rig rig({});
  exchange(rig, 20);
  EXPECT_EQ(rig.sum(&HandoverCounters::given), 0u);
  EXPECT_EQ(rig.sum(&HandoverCounters::relayed), 0u);
  EXPECT_EQ(rig.sum(&HandoverCounters::hash_checked), 40u);
  EXPECT_EQ(rig.sum(&HandoverCounters::hash_mismatches), 0u);
  EXPECT_GE(rig.nic->received(0), 80u);
  EXPECT_GE(rig.nic->received(1), 80u);
}

TEST(SharedPort, AWrongHashOrQueueIsFoundByTheFirstFramesAndCountedOnce) {
  Rig other_key({.nic = Nic::other_key});
  exchange(other_key, 4);
  EXPECT_EQ(other_key.sum(&HandoverCounters::hash_mismatches), 1u);
  EXPECT_GT(other_key.sum(&HandoverCounters::given), 0u);
  Rig ignores_table({.nic = Nic::ignores_table});
  exchange(ignores_table, 4);
  EXPECT_EQ(ignores_table.sum(&HandoverCounters::wrong_queue), 1u);
  EXPECT_EQ(ignores_table.nic->received(1), 0u);
  EXPECT_GT(ignores_table.sum(&HandoverCounters::given), 0u);
}

/// The first segment of a connection over IPv6, on the queue of the worker that it is not for.
void deliver_astray_over_ipv6(Rig& rig) {
  constexpr std::uint16_t kLocalPort = 50'000;
  platform::FlowTuple tuple{.remote = {0xfd, 0x99},
                            .local = {0xfd, 0x99},
                            .remote_port = kPeerPort,
                            .local_port = kLocalPort};
  tuple.remote[15] = 1;
  tuple.local[15] = 2;
  sim::Frame addresses;
  for (const auto& address : {tuple.remote, tuple.local})
    for (const std::uint8_t byte : address) addresses.push_back(std::byte{byte});
  const sim::Frame segment = be16(kPeerPort) + be16(kLocalPort) + be32(1) + be32(1) +
                             bytes({0x50, 0x12}) + be16(100) + be32(0);
  rig.nic->deliver(1 - rig.steering->owner(tuple),
                   ethernet(kOurMac, kPeerMac, 0x86dd,
                            bytes({0x60, 0, 0, 0, 0, 20, 6, 64}) + addresses + segment));
  rig.run_for(1ms);
}

TEST(SharedPort, OfIpv6NothingIsExpectedOfANicThatHashesOnlyIpv4) {
  Rig rig({.hashes_ipv6 = false});
  deliver_astray_over_ipv6(rig);
  EXPECT_EQ(rig.sum(&HandoverCounters::given), 1u) << "its owner gets it all the same";
  EXPECT_EQ(rig.sum(&HandoverCounters::hash_checked), 0u);
  EXPECT_EQ(rig.port->verdict(), SteeringVerdict::unproved);
  exchange(rig, 4);
  EXPECT_EQ(rig.port->verdict(), SteeringVerdict::confirmed) << "by IPv4";
  deliver_astray_over_ipv6(rig);
  EXPECT_EQ(rig.port->verdict(), SteeringVerdict::confirmed);
  EXPECT_EQ(rig.sum(&HandoverCounters::wrong_queue), 0u);
}

TEST(SharedPort, ANicThatHashesIpv6IsHeldToIt) {
  Rig rig({});
  deliver_astray_over_ipv6(rig);
  EXPECT_EQ(rig.sum(&HandoverCounters::wrong_queue), 1u);
  EXPECT_EQ(rig.port->verdict(), SteeringVerdict::wrong_queue);
}

TEST(SharedPort, AWorkerWithoutAQueueSendsByAnotherInOrder) {
  Rig rig({.queues = 1, .nic = Nic::cannot_hash});
  // The queue takes little at a time, so relayed frames wait and must not change places.
  rig.nic->options().transmit_most = 2;
  exchange(rig, 12);
  EXPECT_GT(rig.sum(&HandoverCounters::relayed), 12u * 4u);
  EXPECT_EQ(rig.peer.engine.counters().out_of_order_segments.get(), 0u);
  rig.expect_at_rest();
}

// RFC 6056 3.3: "The algorithm should minimise predictability", and what the NIC's hash asks.
class SteeredConnects : public ::testing::TestWithParam<Nic> {};

TEST_P(SteeredConnects, C18_PortsAreRandomUnusedAndOnTheOwnQueue) {
  Rig rig({.nic = GetParam(), .connections = 2048, .time_wait = 120s});
  constexpr std::size_t kWorker = 1;
  constexpr int kConnects = 1000;
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < kConnects; ++i) {
    Caller caller(rig, kWorker, static_cast<unsigned>(i % 64));
    ASSERT_TRUE(rig.run_until([&] { return caller.step(); })) << i;
    ports.push_back(caller.port());
  }
  // All of them wait in TIME-WAIT; at random some thirty of a thousand would have met one there.
  EXPECT_EQ(rig.hosts[kWorker]->engine.waiting_tuples(), std::size_t{kConnects});
  EXPECT_EQ(std::set(ports.begin(), ports.end()).size(), std::size_t{kConnects});
  int neighbours = 0;
  int ascending = 0;
  for (std::size_t i = 1; i < ports.size(); ++i) {
    neighbours += std::abs(ports[i] - ports[i - 1]) <= 8 ? 1 : 0;
    ascending += ports[i] > ports[i - 1] ? 1 : 0;
  }
  EXPECT_LE(neighbours, 8);
  EXPECT_NEAR(ascending, kConnects / 2, 80);
  EXPECT_GT(*std::max_element(ports.begin(), ports.end()), 64'000);
  EXPECT_LT(*std::min_element(ports.begin(), ports.end()), 34'000);
  for (const std::uint16_t port : ports) {
    if (GetParam() == Nic::cannot_hash) {
      ASSERT_EQ(port % 2, kWorker);
      continue;
    }
    const std::uint32_t hash =
        sim::toeplitz(rig.steering->key(), kPeer.bytes, kOurs.bytes, kPeerPort, port);
    ASSERT_EQ(rig.nic->options().table[hash & (rig.nic->options().table.size() - 1)], kWorker);
  }
  // ARP alone came by the other queue, and every port needed little more than one try.
  if (GetParam() == Nic::obeys) {
    EXPECT_LE(rig.nic->received(0), 4u);
  }
  const std::uint64_t tries = rig.hosts[kWorker]->ports.tries();
  RecordProperty("port_tries_per_1000_connects", static_cast<int>(tries));
  EXPECT_LE(tries, 1100u);
}

INSTANTIATE_TEST_SUITE_P(Nics, SteeredConnects, ::testing::Values(Nic::obeys, Nic::cannot_hash),
                         [](const auto& param_info) {
                           return param_info.param == Nic::obeys ? "ByHash" : "ByPortNumber";
                         });

TEST(SharedPort, WhatNeighboursAnnounceReachesAllAndQuestionsAreAnsweredOnce) {
  Rig rig({.workers = 3, .queues = 1, .nic = Nic::cannot_hash});
  exchange(rig, 1);
  const std::uint64_t before = rig.sum(&HandoverCounters::notices_given);
  // The peer has moved to another adapter and says so (RFC 5227 3).
  const sim::Frame new_mac = bytes({2, 0, 0, 0, 7, 7});
  rig.nic->deliver(0, ethernet(bytes({255, 255, 255, 255, 255, 255}), new_mac, 0x0806,
                               arp(1, new_mac, kPeerIp, bytes({0, 0, 0, 0, 0, 0}), kPeerIp)));
  rig.run_for(1ms);
  EXPECT_EQ(rig.sum(&HandoverCounters::notices_given), before + 2);
  for (const auto& host : rig.hosts) {
    net::Route route;
    ASSERT_EQ(host->interface.route(kPeer, rig.wire.now(), route), net::RouteState::resolved);
    EXPECT_TRUE(std::equal(new_mac.begin(), new_mac.end(), route.ethernet.begin()));
  }
  std::size_t answers = 0;
  rig.wire.watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
    answers += from == 0 && frame[12] == std::byte{8} && frame[13] == std::byte{6} ? 1u : 0u;
  });
  rig.nic->deliver(0, ethernet(bytes({255, 255, 255, 255, 255, 255}), new_mac, 0x0806,
                               arp(1, new_mac, kPeerIp, bytes({0, 0, 0, 0, 0, 0}), kOurIp)));
  rig.run_for(1ms);
  EXPECT_EQ(answers, 1u);
  EXPECT_EQ(rig.sum(&HandoverCounters::notices_given), before + 4) << "and heard by all";
}

/// Three workers without a queue of their own but the first, whose addresses are checked first.
RigOptions checked_options() {
  RigOptions options{.workers = 3, .queues = 1, .nic = Nic::cannot_hash};
  options.addressing.detect_conflicts = true;
  options.addressing.address6 = net::test::ip6(0xfd99, {2});
  return options;
}
const sim::Frame kEverybody = bytes({255, 255, 255, 255, 255, 255});
const sim::Frame kNobodyMac = bytes({0, 0, 0, 0, 0, 0});
const sim::Frame kThirdMac = bytes({2, 0, 0, 0, 7, 7});

TEST(SharedPort, AConflictInARequestReachesEveryWorker) {
  const sim::Frame requests[] = {
      arp(1, kThirdMac, kOurIp, kNobodyMac, kPeerIp),  // uses our address
      arp(1, kThirdMac, 0, kNobodyMac, kOurIp),        // wants it as well (RFC 5227 2.1.1)
  };
  for (const sim::Frame& request : requests) {
    Rig rig(checked_options());
    rig.run_for(10ms);
    rig.nic->deliver(0, ethernet(kEverybody, kThirdMac, 0x0806, request));
    rig.run_for(1ms);
    for (const auto& host : rig.hosts)
      EXPECT_EQ(host->interface.address_state(), net::AddressState::conflict);
  }
}

TEST(SharedPort, ADuplicateInASolicitationReachesEveryWorker) {
  Rig rig(checked_options());
  rig.run_for(10ms);
  rig.nic->deliver(0,
                   net::test::solicitation({.source = {},
                                            .destination = net::test::ip6(0xff02, {1, 0xff00, 2}),
                                            .target = net::test::ip6(0xfd99, {2}),
                                            .mac = kThirdMac}));
  rig.run_for(1ms);
  for (const auto& host : rig.hosts)
    EXPECT_EQ(host->interface.ipv6_state(), net::Ipv6State::duplicate);
}

TEST(SharedPort, AnAddressInUseIsDefendedOnceAndASolicitationAnsweredOnce) {
  RigOptions options = checked_options();
  options.addressing.detect_conflicts = false;
  options.addressing.announce = false;
  options.addressing.dad_transmits = 0;
  Rig rig(options);
  std::size_t sent = 0;
  rig.wire.watch(
      [&](std::size_t from, Instant, std::span<const std::byte>) { sent += from == 0 ? 1u : 0u; });
  rig.nic->deliver(
      0, ethernet(kEverybody, kThirdMac, 0x0806, arp(1, kThirdMac, kOurIp, kNobodyMac, kPeerIp)));
  rig.run_for(1ms);
  EXPECT_EQ(sent, 1u);
  for (const auto& host : rig.hosts) EXPECT_EQ(host->interface.counters().arp_conflicts.get(), 1u);
  rig.nic->deliver(0,
                   net::test::solicitation({.source = net::test::ip6(0xfd99, {1}),
                                            .destination = net::test::ip6(0xff02, {1, 0xff00, 2}),
                                            .target = net::test::ip6(0xfd99, {2}),
                                            .options = net::test::link_option(1, kPeerMac),
                                            .mac = kPeerMac}));
  rig.run_for(1ms);
  EXPECT_EQ(sent, 2u);
  for (const auto& host : rig.hosts)
    EXPECT_EQ(host->interface.counters().nd_solicitations_in.get(), 1u);
}

TEST(SharedPort, AFloodOfQuestionsLeavesHalfOfEachLaneToConnections) {
  Rig rig({.workers = 2, .queues = 1, .nic = Nic::cannot_hash, .ring_segments = 64});
  exchange(rig, 1);
  const std::uint64_t before = rig.sum(&HandoverCounters::notices_given);
  rig.stopped = 1;
  for (int i = 0; i < 200; ++i) {
    rig.nic->deliver(0, ethernet(kEverybody, kThirdMac, 0x0806,
                                 arp(1, kThirdMac, kPeerIp + 90, kNobodyMac, kPeerIp + 91)));
    rig.run_for(10us);
  }
  EXPECT_EQ(rig.sum(&HandoverCounters::notices_given), before + 32);
  EXPECT_EQ(rig.sum(&HandoverCounters::dropped_full), 168u);
  rig.stopped = SIZE_MAX;
  exchange(rig, 1);
}

TEST(SharedPort, IcmpErrorsReachTheOwnerOfTheConnection) {
  Rig rig({});
  for (std::size_t worker = 0; worker < 2; ++worker) {
    Caller caller(rig, worker, 1);
    // Port unreachable, with the start of the segment that we would have sent.
    const sim::Frame inside = ipv4({.source = kOurIp, .destination = kPeerIp},
                                   be16(caller.port()) + be16(kPeerPort) + be32(1));
    sim::Frame icmp = bytes({3, 3}) + be16(0) + be32(0) + inside;
    net::test::put16(icmp, 2, 0xffffu ^ sim::naive_sum(icmp));
    const auto count = [&](std::size_t i) {
      return rig.hosts[i]->interface.counters().icmp_unreachable_in.get();
    };
    const std::uint64_t owner_before = count(worker);
    const std::uint64_t other_before = count(1 - worker);
    for (std::size_t queue = 0; queue < 2; ++queue)
      rig.nic->deliver(
          queue, ethernet(kOurMac, kPeerMac, 0x0800,
                          ipv4({.source = kPeerIp, .destination = kOurIp, .protocol = 1}, icmp)));
    rig.run_until([&] { return caller.step(); });
    EXPECT_EQ(count(worker), owner_before + 2);
    EXPECT_EQ(count(1 - worker), other_before);
  }
  EXPECT_EQ(rig.sum(&HandoverCounters::errors_given), 2u);
  rig.expect_at_rest();
}

TEST(SharedPort, AWorkerThatStandsStillCostsItsFramesAndNothingElse) {
  Rig rig({.queues = 1, .nic = Nic::cannot_hash, .ring_segments = 16});
  exchange(rig, 2);
  rig.stopped = 1;
  // Frames for one of its ports, many more than the ring holds.
  for (int i = 0; i < 500; ++i)
    rig.nic->deliver(0,
                     net::test::ethernet(kOurMac, kPeerMac, 0x0800,
                                         ipv4({.source = kPeerIp, .destination = kOurIp},
                                              be16(kPeerPort) + be16(40'001) + be32(1) + be32(1) +
                                                  bytes({0x50, 0x10}) + be16(100) + be32(0))));
  rig.run_for(10ms);
  EXPECT_EQ(rig.sum(&HandoverCounters::dropped_full), 500u - 16u);
  EXPECT_LE(rig.memories[0]->buffers_in_use(), 32u + 16u);
  // The other worker is not disturbed, and the ring works again when its reader is back.
  {
    Caller caller(rig, 0, 3);
    EXPECT_TRUE(rig.run_until([&] { return caller.step(); }));
    EXPECT_TRUE(caller.is_right());
  }
  rig.stopped = SIZE_MAX;
  exchange(rig, 2);
  rig.expect_at_rest();
}

/// A segment of nobody's connection: of two workers on a port that cannot hash, the one of the
/// port number's last bit gets it.
sim::Frame segment_to(std::uint32_t local_port) {
  return ethernet(kOurMac, kPeerMac, 0x0800,
                  ipv4({.source = kPeerIp, .destination = kOurIp},
                       be16(kPeerPort) + be16(local_port) + be32(1) + be32(1) +
                           bytes({0x50, 0x10}) + be16(100) + be32(0)));
}

TEST(SharedPort, OwnFramesBehindBurstsOfOthersAreFoundInOneCall) {
  Rig rig({.queues = 1, .nic = Nic::cannot_hash});
  for (int i = 0; i < 500; ++i) rig.nic->deliver(0, segment_to(40'001));
  rig.nic->deliver(0, segment_to(40'000));
  platform::Port& port = rig.port->share(0);
  std::array<platform::RxSegment, 64> segments;
  ASSERT_EQ(port.receive(segments), 1u);
  rig.memories[0]->release(segments[0].handle);
  EXPECT_EQ(port.take_passed_on(), 500u);
  EXPECT_EQ(port.take_passed_on(), 0u) << "each is told of once";
  EXPECT_EQ(rig.sum(&HandoverCounters::given), 500u);
}

TEST(SharedPort, OneCallIsBoundedHoweverManyFramesAreOthers) {
  Rig rig({.queues = 1, .nic = Nic::cannot_hash, .ring_segments = 4096});
  for (int i = 0; i < 2500; ++i) rig.nic->deliver(0, segment_to(40'001));
  platform::Port& port = rig.port->share(0);
  std::array<platform::RxSegment, 64> segments;
  ASSERT_EQ(port.receive(segments), 0u);
  const std::size_t first = port.take_passed_on();
  EXPECT_GT(first, 500u);
  EXPECT_LT(first, 1100u);
}

TEST(SharedPort, AWorkerWithoutAQueueHearsOfEveryTimeThePortWasDown) {
  Rig rig({.workers = 3, .queues = 1, .nic = Nic::cannot_hash});
  const auto check = [&](std::size_t worker) { return rig.port->share(worker).check(); };
  using platform::PortState;
  EXPECT_EQ(check(0), PortState::up);
  EXPECT_EQ(check(1), PortState::up);
  // A reset: over before the others look again.
  rig.wire.set_link(false);
  EXPECT_EQ(check(0), PortState::down);
  EXPECT_EQ(check(1), PortState::down);
  rig.wire.set_link(true);
  EXPECT_EQ(check(0), PortState::up);
  EXPECT_EQ(check(1), PortState::up) << "it has seen that one";
  EXPECT_EQ(check(2), PortState::down) << "it has not";
  EXPECT_EQ(check(2), PortState::up);
}

/// A whole worker on the first share of a port whose only queue is its own.
class WorkerOnAShare : public ::testing::Test {
 protected:
  WorkerOnAShare() {
    WorkerSetup setup;
    setup.ports = {{.port = &rig.port->share(0),
                    .addressing = {.address = kOurs, .prefix_length = 24, .gateway = {}}}};
    setup.tcp_limits.connections = 8;
    setup.iscsi = {.limits = kLimits, .timeouts = {}, .snapshot_area = snapshot_area};
    worker = std::make_unique<Worker>(setup, *rig.memories[0], link, rig.wire.now());
    // What a start brings: addresses are announced, ports looked at.
    while (worker->poll_once(rig.wire.now()) != 0) {
    }
  }
  static constexpr iscsi::Limits kLimits{
      .connections = 4, .tasks = 8, .slabs = 8, .snapshot_small = 16, .snapshot_large = 4};
  Rig rig{{.queues = 1, .nic = Nic::cannot_hash}};
  Link link{kLimits.connections};
  std::vector<std::byte> snapshot_area =
      std::vector<std::byte>(iscsi::SnapshotPool::bytes_needed(kLimits));
  std::unique_ptr<Worker> worker;
};

TEST_F(WorkerOnAShare, FramesHandedOverAreWork) {
  for (int i = 0; i < 32; ++i) rig.nic->deliver(0, segment_to(40'001));
  const std::uint64_t idle = worker->counters().idle_cycles.get();
  EXPECT_EQ(worker->poll_counted(rig.wire.now(), 0, []() noexcept -> std::uint64_t { return 100; }),
            32u);
  EXPECT_EQ(worker->counters().busy_cycles.get(), 100u);
  EXPECT_EQ(worker->counters().idle_cycles.get(), idle);
  EXPECT_EQ(worker->counters().frames_received.get(), 0u) << "they are the other worker's";
  EXPECT_EQ(worker->poll_once(rig.wire.now()), 0u);
}

TEST_F(WorkerOnAShare, AfterAPauseAllIsReadBeforeTimersAreBelieved) {
  // More of others than one call of the port passes on, and an acknowledgment at the end.
  for (int i = 0; i < 3000; ++i) rig.nic->deliver(0, segment_to(40'001));
  rig.nic->deliver(0, segment_to(40'000));
  rig.wire.advance(rig.wire.now() + 2ms);
  worker->poll_once(rig.wire.now());
  EXPECT_EQ(worker->counters().frames_received.get(), 1u);
}

TEST_F(WorkerOnAShare, APortDownForOneLookIsNewsForControl) {
  // All that is seen of a reset: down once, and up when looked at again soon after.
  rig.wire.set_link(false);
  rig.wire.advance(rig.wire.now() + 101ms);
  worker->poll_once(rig.wire.now());
  EXPECT_EQ(port_state(link.ports[0]), platform::PortState::down);
  rig.wire.set_link(true);
  rig.wire.advance(rig.wire.now() + 11ms);
  worker->poll_once(rig.wire.now());
  EXPECT_EQ(port_state(link.ports[0]), platform::PortState::up);
  EXPECT_EQ(port_changes(link.ports[0]), 2u) << "each is a sentence, however late control looks";
}

TEST(SharedPort, WithoutABufferToCopyIntoTheFrameIsDroppedAndCounted) {
  Rig rig({.queues = 1, .nic = Nic::cannot_hash});
  exchange(rig, 1);
  rig.memories[1]->set_limit(0);
  rig.nic->deliver(0, ethernet(kOurMac, kPeerMac, 0x0800,
                               ipv4({.source = kPeerIp, .destination = kOurIp},
                                    be16(kPeerPort) + be16(40'001) + be32(1) + be32(1) +
                                        bytes({0x50, 0x10}) + be16(100) + be32(0))));
  rig.run_for(1ms);
  EXPECT_EQ(rig.port->counters(1).dropped_no_buffer.get(), 1u);
  rig.memories[1]->set_limit(4096);
  exchange(rig, 2);
  rig.expect_at_rest();
}

TEST(SharedPort, WhatAHandOverCosts) {
  // Cycles of both workers for a frame of 1,514 bytes that arrives on the other's queue.
  Rig rig({.queues = 1, .nic = Nic::cannot_hash});
  platform::Port& from = rig.port->share(0);
  platform::Port& to = rig.port->share(1);
  const sim::Frame frame = ethernet(kOurMac, kPeerMac, 0x0800,
                                    ipv4({.source = kPeerIp, .destination = kOurIp},
                                         be16(kPeerPort) + be16(40'001) + sim::Frame(1476)));
  std::array<platform::RxSegment, 64> segments;
  std::uint64_t least = UINT64_MAX;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 30; ++i) rig.nic->deliver(0, frame);
    ASSERT_EQ(from.receive(segments), 0u);
    const std::uint64_t given = platform::TscClock::cycles();
    const std::size_t got = to.receive(segments);
    const std::uint64_t taken = platform::TscClock::cycles();
    ASSERT_EQ(got, 30u);
    least = std::min(least, (taken - given) / 30);
    for (std::size_t i = 0; i < got; ++i) rig.memories[1]->release(segments[i].handle);
  }
  RecordProperty("cycles_to_take_over_a_frame", static_cast<int>(least));
  // And to find out whose a frame is, which every frame of a shared port costs.
  for (const auto rule : {platform::SteeringRule::toeplitz, platform::SteeringRule::port_bits}) {
    std::string error;
    const auto steering = platform::Steering::create({.rule = rule, .workers = 2}, error);
    ASSERT_NE(steering, nullptr) << error;
    constexpr unsigned kFrames = 1000;
    std::uint64_t best = UINT64_MAX;
    unsigned owners = 0;
    for (int round = 0; round < 50; ++round) {
      const std::uint64_t start = platform::TscClock::cycles();
      for (unsigned i = 0; i < kFrames; ++i) {
        FrameFlow flow;
        classify(frame, flow);
        owners += steering->owner(flow.tuple);
      }
      best = std::min(best, (platform::TscClock::cycles() - start) / kFrames);
    }
    EXPECT_LE(owners, 50 * kFrames);
    RecordProperty(rule == platform::SteeringRule::toeplitz ? "cycles_to_find_the_owner_by_hash"
                                                            : "cycles_to_find_the_owner_by_port",
                   static_cast<int>(best));
  }
}

}  // namespace
}  // namespace pollux::worker::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new pollux::platform::test::EalEnvironment);
  return RUN_ALL_TESTS();
}
