// What is negotiated with a driver, and each guard against what drivers are known to do wrong: a
// test here fails when its guard is taken out of the table or out of the rules.

#include "dataplane/platform/capabilities.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pollux::platform {
namespace {

/// A device that offers everything and has no limits.
DeviceOffer everything(const char* driver) {
  DeviceOffer offer;
  offer.driver = driver;
  offer.features.fill(true);
  offer.rx_queues_most = offer.tx_queues_most = 16;
  return offer;
}

PortPlan agreed(const DeviceOffer& offer, const PortWishes& wishes = {.name = "p"}) {
  PortPlan plan;
  std::string error;
  EXPECT_TRUE(negotiate(offer, quirks_of(offer.driver), wishes, plan, error)) << error;
  return plan;
}

std::string refused(const DeviceOffer& offer, const PortWishes& wishes) {
  PortPlan plan;
  std::string error;
  EXPECT_FALSE(negotiate(offer, quirks_of(offer.driver), wishes, plan, error));
  return error;
}

const Capability& row(const PortPlan& plan, Feature feature) {
  return plan.capabilities.at(feature);
}

TEST(Capabilities, GoodDriverIsUsedForWhatItOffers) {
  const PortPlan plan = agreed(everything("net_ice"));
  for (const Feature feature :
       {Feature::tx_chain, Feature::tx_ipv4_checksum, Feature::tx_tcp_checksum, Feature::tx_tso,
        Feature::rx_ipv4_checksum, Feature::rx_tcp_checksum, Feature::link_interrupt,
        Feature::removal_interrupt}) {
    EXPECT_TRUE(row(plan, feature).used) << to_text(feature);
    EXPECT_STREQ(row(plan, feature).why_not, "") << to_text(feature);
  }
  EXPECT_EQ(plan.chain_most, 8);
  EXPECT_EQ(plan.tx_segments_max, 8);
  EXPECT_EQ(plan.tso_segments_max, 16);
  EXPECT_TRUE(plan.prepare);
  EXPECT_FALSE(plan.emulated_checksum);
}

TEST(Capabilities, EveryRowThatIsNotUsedSaysWhy) {
  DeviceOffer nothing;
  nothing.driver = "net_null";
  const PortPlan plan = agreed(nothing);
  for (std::size_t i = 0; i < kFeatureCount; ++i) {
    const Capability& capability = plan.capabilities.features[i];
    EXPECT_FALSE(capability.used);
    EXPECT_STRNE(capability.why_not, "") << to_text(static_cast<Feature>(i));
  }
  EXPECT_FALSE(plan.prepare);
  EXPECT_EQ(plan.chain_most, 1);
}

TEST(Capabilities, LargeSegmentsFitAnIpPacket) {
  const PortPlan plan = agreed(everything("net_ice"));
  // RFC 791 3.1: 16 bits of total length, headers included.
  EXPECT_LE(plan.tso_bytes_max + 60 + 60, 65'535u);
  EXPECT_GE(plan.tso_bytes_max, 65'000u);
}

TEST(Capabilities, FastFreeAndReceiveMergingAreNeverWanted) {
  const PortPlan plan = agreed(everything("net_ice"));
  EXPECT_TRUE(row(plan, Feature::tx_fast_free).offered);
  EXPECT_FALSE(row(plan, Feature::tx_fast_free).used);
  EXPECT_FALSE(row(plan, Feature::rx_lro).used);
}

TEST(Capabilities, C109_ChainsKeepToTheTighterOfTheDriversLimits) {
  DeviceOffer offer = everything("net_i40e");
  offer.segments_most = 255;
  offer.mtu_segments_most = 6;
  PortPlan plan = agreed(offer);
  EXPECT_EQ(plan.tx_segments_max, 6);  // TCP cuts its frames to that
  EXPECT_EQ(plan.chain_most, 6);
  EXPECT_EQ(plan.tso_segments_max, 6);

  // A limit that would leave no room for data behind the headers is met by copying.
  offer.mtu_segments_most = 3;
  plan = agreed(offer);
  EXPECT_EQ(plan.tx_segments_max, 8);
  EXPECT_EQ(plan.chain_most, 3);
  EXPECT_EQ(plan.tso_segments_max, 3);

  offer.mtu_segments_most = 2;
  plan = agreed(offer);
  EXPECT_EQ(plan.chain_most, 2);
  EXPECT_EQ(plan.tso_bytes_max, 0u);
  EXPECT_STREQ(row(plan, Feature::tx_tso).why_not, "the driver's chains are too short");
}

TEST(Capabilities, TsoTakesChecksumAndChains) {
  DeviceOffer offer = everything("net_ice");
  EXPECT_EQ(agreed(offer, {.name = "p", .tso = false}).tso_bytes_max, 0u);
  EXPECT_EQ(agreed(offer, {.name = "p", .checksum_offload = false}).tso_bytes_max, 0u);
  offer.features[static_cast<std::size_t>(Feature::tx_chain)] = false;
  EXPECT_EQ(agreed(offer).tso_bytes_max, 0u);
  offer = everything("net_ice");
  offer.features[static_cast<std::size_t>(Feature::tx_tcp_checksum)] = false;
  EXPECT_EQ(agreed(offer).tso_bytes_max, 0u);
}

TEST(Capabilities, FrameThatFitsNoBufferNeedsScatter) {
  DeviceOffer offer = everything("net_ice");
  EXPECT_TRUE(row(agreed(offer, {.name = "p", .mtu = 9000}), Feature::rx_scatter).used);
  EXPECT_FALSE(row(agreed(offer), Feature::rx_scatter).used);
  offer.features[static_cast<std::size_t>(Feature::rx_scatter)] = false;
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 9000}).find("receives a frame into one buffer"),
            std::string::npos);
}

TEST(Capabilities, FrameThatMustBeCopiedTogetherNeedsARoomyBuffer) {
  DeviceOffer offer = everything("net_ice");
  offer.features[static_cast<std::size_t>(Feature::tx_chain)] = false;
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 9000}).find("sends a frame out of one buffer"),
            std::string::npos);
  EXPECT_EQ(agreed(offer, {.name = "p", .mtu = 9000, .frame_bytes = 9216}).chain_most, 1);
}

TEST(Capabilities, MtuIsRefusedWithTheLargestOne) {
  DeviceOffer offer = everything("net_ice");
  offer.frame_most = 1518;
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 1501}).find("at most 1500"), std::string::npos);
  offer.mtu_most = 1400;
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 1401}).find("at most 1400"), std::string::npos);
}

// --- What drivers do wrong

TEST(Quirks, AnAfXdpBufferMustFitAPage) {
  DeviceOffer offer = everything("net_af_xdp");
  offer.mtu_most = 3542;
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 3393, .rx_buffer_bytes = 4096}).find("at most 3392"),
            std::string::npos);
}

TEST(Quirks, TapSumsAreNeverUsed) {
  const PortPlan plan = agreed(everything("net_tap"));
  for (const Feature feature : {Feature::tx_ipv4_checksum, Feature::tx_tcp_checksum,
                                Feature::rx_ipv4_checksum, Feature::rx_tcp_checksum}) {
    EXPECT_TRUE(row(plan, feature).offered && row(plan, feature).wanted);
    EXPECT_FALSE(row(plan, feature).used) << to_text(feature);
    EXPECT_STRNE(row(plan, feature).why_not, "");
  }
  EXPECT_TRUE(row(plan, Feature::tx_chain).used);
}

TEST(Quirks, TapCutsNoLargeSegments) {
  EXPECT_EQ(agreed(everything("net_tap")).tso_bytes_max, 0u);
  EXPECT_NE(std::string(row(agreed(everything("net_tap")), Feature::tx_tso).why_not)
                .find("cuts in software"),
            std::string::npos);
}

TEST(Quirks, TapHasTheKernelsAddressAndALinkElsewhere) {
  EXPECT_TRUE(quirks_of("net_tap").shared_address);
  EXPECT_TRUE(quirks_of("net_tap").link_always_up);
  EXPECT_FALSE(row(agreed(everything("net_tap")), Feature::link_interrupt).used);
}

TEST(Quirks, AfXdpNeverGetsAChain) {
  const PortPlan plan = agreed(everything("net_af_xdp"));
  EXPECT_FALSE(row(plan, Feature::tx_chain).used);
  EXPECT_EQ(plan.chain_most, 1);
  EXPECT_EQ(plan.tx_segments_max, 8);  // TCP builds chains as ever: the port copies
  EXPECT_EQ(plan.tso_bytes_max, 0u);
  EXPECT_FALSE(row(plan, Feature::tx_tcp_checksum).used);
}

TEST(Quirks, AfXdpLosesHeadroomOfItsBuffers) {
  // The kernel keeps 256 bytes in front of each frame.
  const DeviceOffer offer = [] {
    DeviceOffer made = everything("net_af_xdp");
    made.features[static_cast<std::size_t>(Feature::rx_scatter)] = false;
    return made;
  }();
  EXPECT_EQ(agreed(offer, {.name = "p", .mtu = 1774}).chain_most, 1);
  EXPECT_NE(refused(offer, {.name = "p", .mtu = 1775}).find("plan receive buffers of 2049 bytes"),
            std::string::npos);
}

TEST(Quirks, AfXdpPinsItsMemory) { EXPECT_TRUE(quirks_of("net_af_xdp").pins_memory); }

TEST(Quirks, MemifBuffersHoldTheLongestFrame) {
  std::string arguments, error;
  ASSERT_TRUE(complete_device("net_memif0,role=client", 1500, false, arguments, error));
  EXPECT_EQ(arguments, "net_memif0,role=client,bsize=2048");
  ASSERT_TRUE(complete_device("net_memif0", 9000, false, arguments, error));
  EXPECT_EQ(arguments, "net_memif0,bsize=16384");
  ASSERT_TRUE(complete_device("net_memif0,bsize=1518,id=3", 1500, false, arguments, error));
  EXPECT_EQ(arguments, "net_memif0,bsize=1518,id=3");
  EXPECT_FALSE(complete_device("net_memif0,bsize=1517", 1500, false, arguments, error));
  EXPECT_NE(error.find("bsize must be at least 1518"), std::string::npos) << error;
  EXPECT_FALSE(complete_device("net_memif0,id=1,bsize=2k", 1500, false, arguments, error));
}

TEST(Quirks, MemifSumsInSoftware) {
  EXPECT_FALSE(row(agreed(everything("net_memif")), Feature::tx_tcp_checksum).used);
}

TEST(Quirks, AfPacketIsRefusedUnlessSomebodyInsists) {
  std::string arguments, error;
  EXPECT_FALSE(complete_device("net_af_packet0,iface=eth0", 1500, false, arguments, error));
  EXPECT_NE(error.find("can wait for ever"), std::string::npos) << error;
  EXPECT_NE(error.find("allow_blocking_driver"), std::string::npos) << error;
  EXPECT_FALSE(complete_device("eth_af_packet0,iface=eth0", 1500, false, arguments, error));
  EXPECT_TRUE(complete_device("net_af_packet0,iface=eth0", 1500, true, arguments, error));
  EXPECT_EQ(arguments, "net_af_packet0,iface=eth0");
  EXPECT_EQ(agreed(everything("net_af_packet")).chain_most, 1);
}

TEST(Quirks, RingPassesAnyFrameAndMayPlayANic) {
  DeviceOffer offer;
  offer.driver = "net_ring";
  offer.features[static_cast<std::size_t>(Feature::tx_chain)] = true;
  offer.frame_most = 1518;
  const PortPlan plan = agreed(offer, {.name = "p", .mtu = 9000, .emulate_checksum_offload = true});
  EXPECT_TRUE(plan.emulated_checksum);
  EXPECT_FALSE(agreed(everything("net_ice"), {.name = "p", .emulate_checksum_offload = true})
                   .emulated_checksum);
}

TEST(Quirks, VirtioVouchesForWhatItPassesOn) {
  for (const char* driver : {"net_virtio", "net_virtio_user", "virtio_user", "net_vhost"})
    EXPECT_TRUE(quirks_of(driver).rx_none_good) << driver;
  EXPECT_FALSE(quirks_of("net_ice").rx_none_good);
}

TEST(Quirks, VirtioUserReachesOnlyOurOwnMemory) {
  for (const char* driver : {"net_virtio_user", "virtio_user"}) {
    const PortPlan plan = agreed(everything(driver));
    EXPECT_FALSE(row(plan, Feature::tx_external).used) << driver;
    EXPECT_TRUE(row(plan, Feature::tx_tso).used) << driver;
  }
  EXPECT_TRUE(row(agreed(everything("net_virtio")), Feature::tx_external).used);
}

TEST(Quirks, VhostChainsReceivedFramesUnasked) {
  DeviceOffer offer = everything("net_vhost");
  offer.features[static_cast<std::size_t>(Feature::rx_scatter)] = false;
  EXPECT_EQ(agreed(offer, {.name = "p", .mtu = 9000}).capabilities.mtu, 9000u);
}

TEST(Quirks, DeviceNamesTellTheirDriver) {
  EXPECT_EQ(driver_of_device("net_memif7,role=server"), "net_memif");
  EXPECT_EQ(driver_of_device("net_af_xdp0,iface=veth0"), "net_af_xdp");
  EXPECT_EQ(driver_of_device("net_virtio_user0,path=/x"), "net_virtio_user");
  EXPECT_EQ(driver_of_device("virtio_user0,path=/x"), "virtio_user");
  EXPECT_EQ(driver_of_device("0000:03:00.0"), "");
  EXPECT_EQ(driver_of_device("net_nonsense0"), "");
}

}  // namespace
}  // namespace pollux::platform
