// A worker whose address another station has: what connections hear of it, and what control does.
// Read first: RFC 5227 2.1 and 2.4, RFC 4862 5.4.
#include <gtest/gtest.h>

#include "dataplane/worker/address_report.hpp"
#include "tests/support/sim_world.hpp"
#include "tests/unit/net/net6_fixture.hpp"

namespace pollux {
namespace {

using net::AddressState;
using net::Ipv6State;
using net::test::arp;
using net::test::bytes;
using net::test::ethernet;
using net::test::ip6;
using sim::Frame;
using sim::SimWorld;
using sim::WorldOptions;

constexpr std::uint32_t kOurIp = 0x0a63'0002;
const Frame kOther = bytes({2, 0, 0, 0, 0, 9});
const Frame kAll = bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
const Frame kNobody = bytes({0, 0, 0, 0, 0, 0});

WorldOptions checked() {
  WorldOptions options;
  options.addressing.detect_conflicts = true;
  return options;
}

/// Another station announces that it has our address.
void claim(SimWorld& world) {
  world.wire.send(1, ethernet(kAll, kOther, 0x0806, arp(1, kOther, kOurIp, kNobody, kOurIp)));
}

worker::AddressReport report(const SimWorld& world) {
  return worker::address_report(world.link.addresses[0]);
}

iscsi::LossReason reason_of_end(SimWorld& world) {
  while (const auto message = world.take_message())
    if (message->kind == iscsi::ToControlKind::ended) return message->reason;
  return iscsi::LossReason::none;
}

TEST(Addresses, AConnectWaitsForTheCheckAndGoesThrough) {
  SimWorld world(checked());
  EXPECT_EQ(report(world).ipv4, AddressState::probing);
  const Instant began = world.now();
  ASSERT_TRUE(world.log_in(0));
  EXPECT_GE(world.now() - began, 4s);
  EXPECT_LE(world.now() - began, 8s);
  world.run_for(200ms);
  EXPECT_EQ(report(world), worker::AddressReport{});
  EXPECT_EQ(worker::port_changes(world.link.addresses[0]), 2u);
  EXPECT_TRUE(world.log_out(0));
}

TEST(Addresses, ConnectsToAndBehindARefusedAddressEndAtOnce) {
  SimWorld world(checked());
  world.send({.kind = iscsi::ToWorkerKind::open,
              .connection = {.slot = 3, .reserved = 0, .epoch = 1},
              .session_id = 77,
              .remote = {net::IpAddress::v4(10, 99, 0, 1), 3260},
              .connect_timeout = 15s});
  world.run_for(1s);
  claim(world);
  const Instant claimed = world.now();
  ASSERT_TRUE(world.run_until([&] { return report(world).ipv4 == AddressState::conflict; }));
  EXPECT_LE(world.now() - claimed, 200ms);
  world.run_for(10ms);
  EXPECT_EQ(reason_of_end(world), iscsi::LossReason::address_conflict) << "the one that waited";
  const Instant asked = world.now();
  EXPECT_FALSE(world.log_in(0));
  EXPECT_LE(world.now() - asked, 10ms);
  EXPECT_EQ(reason_of_end(world), iscsi::LossReason::address_conflict);
  // The other station has gone; a minute later the address is asked about again.
  world.run_for(70s);
  EXPECT_EQ(report(world).ipv4, AddressState::usable);
  ASSERT_TRUE(world.log_in(1));
  EXPECT_TRUE(world.log_out(1));
}

TEST(Addresses, AnAddressInUseIsKeptAndTheOtherStationReported) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  for (int i = 0; i < 1000; ++i) {
    claim(world);
    world.run_for(1ms);
  }
  world.run_for(200ms);
  EXPECT_TRUE(report(world).ipv4_contested);
  EXPECT_EQ(report(world).ipv4, AddressState::usable);
  EXPECT_EQ(worker::port_changes(world.link.addresses[0]), 1u) << "however often it says so";
  world.run_for(61s);
  EXPECT_FALSE(report(world).ipv4_contested);
  EXPECT_TRUE(world.log_out(0));
}

TEST(Addresses, AConnectOverIpv6HearsOfADuplicate) {
  WorldOptions options;
  options.addressing.address6 = ip6(0xfd99, {2});
  SimWorld world(options);
  EXPECT_EQ(report(world).ipv6, Ipv6State::checking);
  const net::IpAddress link_local = ip6(0xfe80, {0, 0xff, 0xfe00, 2});
  world.wire.send(1, net::test::solicitation({.source = {},
                                              .destination = ip6(0xff02, {1, 0xff00, 2}),
                                              .target = link_local,
                                              .mac = kOther}));
  ASSERT_TRUE(world.run_until([&] { return report(world).ipv6 == Ipv6State::duplicate; }, 1s));
  world.send({.kind = iscsi::ToWorkerKind::open,
              .connection = {.slot = 3, .reserved = 0, .epoch = 1},
              .session_id = 77,
              .remote = {ip6(0xfd99, {1}), 3260},
              .connect_timeout = 15s});
  world.run_for(100ms);
  EXPECT_EQ(reason_of_end(world), iscsi::LossReason::address_conflict);
  ASSERT_TRUE(world.log_in(0)) << "IPv4 is not concerned";
  EXPECT_TRUE(world.log_out(0));
}

}  // namespace
}  // namespace pollux
