// 802.1Q in software and in the port: what leaves is tagged, what comes in is taken apart, and only
// our VLAN gets through.
#include "tests/unit/net/net6_fixture.hpp"

namespace pollux::net::test {
namespace {

Frame tagged(std::uint32_t control, const Frame& frame) {
  return Frame(frame.begin(), frame.begin() + 12) + be16(0x8100) + be16(control) +
         Frame(frame.begin() + 12, frame.end());
}

struct Vlan : Net6Test, ::testing::WithParamInterface<bool> {
  void begin(std::uint16_t id, std::uint8_t priority = 0, bool scatter = false) {
    InterfaceConfig config = config6();
    config.address = IpAddress::from_v4_host(kOurIp);
    config.vlan_id = id;
    config.priority = priority;
    start6(config, {.tx_checksum = GetParam(), .vlan_offload = GetParam(), .scatter = scatter});
  }
};
INSTANTIATE_TEST_SUITE_P(SoftwareAndPort, Vlan, ::testing::Bool(), [](const auto& parameter) {
  return parameter.param ? "InThePort" : "InSoftware";
});

TEST_P(Vlan, C103_TakesItsOwnTagOffAndHandsTcpOn) {
  for (const bool scatter : {false, true}) {
    begin(100, 0, scatter);
    const Frame data = pattern(500);
    auto got = deliver(tagged(5u << 13 | 100, to_us(ipv4({}, tcp({}, data)))));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].data, data);
    got = deliver(tagged(1u << 12 | 100, to_us6(ipv6({}, tcp6({}, data)))));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].data, data);
    EXPECT_EQ(count(&Counters::rx_vlan_tagged), 2u);
    interface.reset();
    port.reset();
  }
  begin(100);
}

TEST_P(Vlan, C103_DropsOtherVlansAndTakesPriorityTags) {
  begin(100);
  const Frame frame = to_us(ipv4({}, tcp({}, pattern(10))));
  EXPECT_TRUE(deliver(tagged(101, frame)).empty());
  EXPECT_EQ(count(&Counters::drop_vlan_other), 1u);
  EXPECT_TRUE(deliver(frame).empty());
  EXPECT_EQ(count(&Counters::drop_vlan_untagged), 1u);
  EXPECT_EQ(deliver(tagged(7u << 13, frame)).size(), 1u);  // VID 0
  EXPECT_TRUE(deliver(tagged(100, tagged(100, frame))).empty());
  EXPECT_EQ(count(&Counters::drop_ether_type), 1u);  // one tag is ours, two are not
}

TEST_P(Vlan, C103_WithoutAVlanOnlyPriorityTagsGetThrough) {
  begin(0);
  const Frame frame = to_us(ipv4({}, tcp({}, pattern(10))));
  EXPECT_EQ(deliver(frame).size(), 1u);
  EXPECT_EQ(deliver(tagged(3u << 13, frame)).size(), 1u);
  EXPECT_TRUE(deliver(tagged(100, frame)).empty());
  EXPECT_EQ(count(&Counters::drop_vlan_other), 1u);
}

TEST_P(Vlan, C103_TagsEveryFrameWithVlanAndPriority) {
  begin(100, 4);
  Route out;
  interface->route(IpAddress::from_v4_host(kPeerIp), wire.now(), out);
  auto frame = sent();
  ASSERT_TRUE(frame);
  EXPECT_EQ(Frame(frame->begin() + 12, frame->begin() + 18),
            be16(0x8100) + be16(4u << 13 | 100) + be16(0x0806));
  interface->route(kPeer6, wire.now(), out);
  frame = sent();
  ASSERT_TRUE(frame);
  EXPECT_EQ(Frame(frame->begin() + 12, frame->begin() + 18),
            be16(0x8100) + be16(4u << 13 | 100) + be16(0x86dd));
  const Frame ping = to_us(ipv4({.protocol = 1}, echo_request(pattern(40))));
  deliver(tagged(100, ping));
  frame = sent();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->size(), ping.size() + 4);
  EXPECT_EQ(load<Be16>(frame->data() + 14).get(), 4u << 13 | 100);
}

TEST_P(Vlan, C103_APriorityAloneMakesPriorityTags) {
  begin(0, 6);
  Route out;
  interface->route(IpAddress::from_v4_host(kPeerIp), wire.now(), out);
  const auto frame = sent();
  ASSERT_TRUE(frame);
  EXPECT_EQ(load<Be16>(frame->data() + 14).get(), 6u << 13);
}

TEST_P(Vlan, C103_ATagCostsNothingOfTheMtu) {
  begin(100);
  // 1500 bytes of packet and 18 in front of it: the port asserts that no more is sent.
  const Frame whole = to_us(ipv4({.protocol = 1}, echo_request(pattern(1472))));
  ASSERT_EQ(whole.size(), 1514u);
  deliver(tagged(100, whole));
  const auto reply = sent();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->size(), 1518u);
  Route out;
  deliver(tagged(100,
                 ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeerIp, Frame(6), kOurIp))));
  ASSERT_EQ(interface->route(IpAddress::from_v4_host(kPeerIp), wire.now(), out),
            RouteState::resolved);
  EXPECT_EQ(out.mtu, 1500);
  sent();
}

TEST_P(Vlan, ATruncatedTagIsAShortFrame) {
  begin(100);
  if (GetParam()) return;  // such a port sees no tag in it
  Frame frame = tagged(100, to_us(ipv4({}, tcp({}, {}))));
  frame.resize(17);
  EXPECT_TRUE(deliver(frame).empty());
  EXPECT_EQ(count(&Counters::drop_short_frame), 1u);
}

}  // namespace
}  // namespace pollux::net::test
