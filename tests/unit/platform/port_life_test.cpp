// A port whose link goes down or whose device goes away, over the in-process ring with DPDK's own
// calls in the part of the cable and of the bus. Includes DPDK, which the other tests here do not.

#include <gtest/gtest.h>
#include <rte_dev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/platform/dpdk_queues.hpp"
#include "dataplane/platform/ring_wire.hpp"
#include "tests/unit/platform/eal.hpp"

// What a driver calls from its interrupt handler; DPDK keeps the header to itself.
extern "C" {
struct rte_eth_dev;
rte_eth_dev* rte_eth_dev_allocated(const char* name);
int rte_eth_dev_callback_process(rte_eth_dev* device, rte_eth_event_type event, void* result);
}

namespace pollux::platform {
namespace {

[[maybe_unused]] const auto* const kEal =
    ::testing::AddGlobalTestEnvironment(new test::EalEnvironment);

class PortLifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    wire = RingWire::create({.mtu = 1500, .frames = 8}, *left, *right, error);
    ASSERT_NE(wire, nullptr) << error;
  }

  /// One frame of 60 bytes and a piece of external memory behind it.
  std::vector<TxSegment> frame() {
    FrameBuffer buffer;
    EXPECT_EQ(left->allocate({&buffer, 1}), 1U);
    std::memset(buffer.data, 0xa5, 60);
    return {{.data = buffer.data, .length = 60, .flags = kTxMore, .handle = buffer.handle},
            {.data = store.data(), .length = 100, .tracker = left->tracker(0)}};
  }
  void remove_device() {
    rte_dev_event_callback_process(rte_dev_name(device()), RTE_DEV_EVENT_REMOVE);
  }
  void raise(rte_eth_event_type event) {
    rte_eth_dev_callback_process(rte_eth_dev_allocated(rte_dev_name(device())), event, nullptr);
  }
  rte_device* device() {
    rte_eth_dev_info info{};
    EXPECT_EQ(rte_eth_dev_info_get(wire->left().device_id(), &info), 0);
    return info.device;
  }

  std::vector<std::byte> store = std::vector<std::byte>(256);
  std::unique_ptr<DpdkPacketMemory> left = test::make_memory();
  std::unique_ptr<DpdkPacketMemory> right = test::make_memory();
  std::unique_ptr<RingWire> wire;
};

TEST_F(PortLifeTest, TableOfTheRing) {
  const Capabilities* table = wire->left().capabilities();
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->driver, "net_ring");
  EXPECT_TRUE(table->uses(Feature::tx_chain));
  EXPECT_FALSE(table->uses(Feature::tx_tso));
  EXPECT_EQ(wire->left().info().tso_bytes_max, 0U);
}

TEST_F(PortLifeTest, LinkDownAndUpIsSeen) {
  EXPECT_EQ(wire->left().check(), PortState::up);
  ASSERT_EQ(rte_eth_dev_set_link_down(wire->left().device_id()), 0);
  EXPECT_EQ(wire->left().check(), PortState::down);
  EXPECT_EQ(wire->right().check(), PortState::up);
  ASSERT_EQ(rte_eth_dev_set_link_up(wire->left().device_id()), 0);
  EXPECT_EQ(wire->left().check(), PortState::up);
}

TEST_F(PortLifeTest, RemovedDeviceTakesAndGivesNothing) {
  std::vector<TxSegment> all;
  for (int i = 0; i < 20; ++i) {
    const auto next = frame();
    all.insert(all.end(), next.begin(), next.end());
  }
  // Seven fit the ring, the others wait in the port.
  ASSERT_EQ(wire->left().transmit(all), all.size());
  EXPECT_EQ(left->in_flight(*left->tracker(0)), 20U);
  remove_device();
  EXPECT_EQ(wire->left().check(), PortState::removed);
  EXPECT_EQ(wire->left().check(), PortState::removed);
  EXPECT_EQ(wire->right().check(), PortState::up) << "the other end is another device";
  wire->left().shut();
  EXPECT_EQ(left->in_flight(*left->tracker(0)), 7U) << "what waited came back";
  EXPECT_EQ(wire->left().counters().tx_dropped_removed.get(), 13U);
  const auto late = frame();
  EXPECT_EQ(wire->left().transmit(late), 0U);
  std::array<RxSegment, 8> segments;
  EXPECT_EQ(wire->left().receive(segments), 0U);
  wire->left().reclaim();
  left->release({&late[0].handle, 1});
  wire.reset();
  EXPECT_EQ(left->in_flight(*left->tracker(0)), 0U);
  EXPECT_EQ(left->buffers_in_use(), 0U);
}

TEST_F(PortLifeTest, DeviceThatAsksForItIsReset) {
  std::vector<TxSegment> all;
  for (int i = 0; i < 20; ++i) {
    const auto next = frame();
    all.insert(all.end(), next.begin(), next.end());
  }
  ASSERT_EQ(wire->left().transmit(all), all.size());
  raise(RTE_ETH_EVENT_INTR_RESET);
  EXPECT_EQ(wire->left().check(), PortState::down)
      << "what was under way is lost: whoever looks hears of it, though the link is up at once";
  EXPECT_EQ(wire->left().counters().resets.get(), 1U);
  EXPECT_EQ(wire->left().check(), PortState::up);
  EXPECT_EQ(left->in_flight(*left->tracker(0)), 7U) << "frames for the old queues are dropped";
  std::array<RxSegment, 64> segments;
  const auto drain = [&] {
    const std::size_t count = wire->right().receive(segments);
    for (std::size_t i = 0; i < count; ++i) right->release({&segments[i].handle, 1});
    return count / 2;
  };
  EXPECT_EQ(drain(), 7U);
  const auto next = frame();
  ASSERT_EQ(wire->left().transmit(next), next.size());
  EXPECT_EQ(drain(), 1U);
  EXPECT_EQ(wire->left().check(), PortState::up);
  EXPECT_EQ(wire->left().counters().resets.get(), 1U);
}

TEST_F(PortLifeTest, AResetRestoresWhichFramesTheDeviceTakes) {
  const std::uint16_t id = wire->left().device_id();
  ASSERT_EQ(rte_eth_promiscuous_get(id), 0);
  ASSERT_EQ(rte_eth_allmulticast_get(id), 1);
  // What a driver may come back from its reset with.
  ASSERT_EQ(rte_eth_promiscuous_enable(id), 0);
  ASSERT_EQ(rte_eth_allmulticast_disable(id), 0);
  raise(RTE_ETH_EVENT_INTR_RESET);
  EXPECT_EQ(wire->left().check(), PortState::down);
  EXPECT_EQ(wire->left().check(), PortState::up);
  EXPECT_EQ(rte_eth_promiscuous_get(id), 0) << "frames of others are no business of ours";
  EXPECT_EQ(rte_eth_allmulticast_get(id), 1) << "IPv6 finds its neighbours through groups";
}

TEST(PortReset, AResetRestoresTheAddressThatWeSendFrom) {
  auto memory = test::make_memory();
  std::string error;
  auto port = open_port({.name = "net_null1,no-rx=1"}, *memory, error);
  ASSERT_NE(port, nullptr) << error;
  const std::uint16_t id = port->device_id();
  // Some virtual functions get another random one with each reset.
  rte_ether_addr other{{2, 0, 0, 0, 0x77, 0x77}};
  ASSERT_EQ(rte_eth_dev_default_mac_addr_set(id, &other), 0);
  rte_eth_dev_callback_process(rte_eth_dev_allocated("net_null1"), RTE_ETH_EVENT_INTR_RESET,
                               nullptr);
  EXPECT_EQ(port->check(), PortState::down);
  EXPECT_EQ(port->counters().resets.get(), 1U);
  rte_ether_addr now{};
  ASSERT_EQ(rte_eth_macaddr_get(id, &now), 0);
  EXPECT_TRUE(std::equal(now.addr_bytes, now.addr_bytes + sizeof(now.addr_bytes),
                         port->info().mac.begin()));
}

TEST_F(PortLifeTest, RemovalEventOfTheDriverIsRemoval) {
  raise(RTE_ETH_EVENT_INTR_RMV);
  EXPECT_EQ(wire->left().check(), PortState::removed);
  wire->left().shut();
}

TEST_F(PortLifeTest, PortsThatAreGoneHearNoMoreOfTheBus) {
  // The device's name comes back with another port of the same name: nobody may write into the old
  // one.
  const std::string name = rte_dev_name(device());
  wire.reset();
  rte_dev_event_callback_process(name.c_str(), RTE_DEV_EVENT_REMOVE);
}

TEST_F(PortLifeTest, C109_EmptyPieceNeverReachesADriver) {
  // Some NICs stop for ever at a buffer of length zero: it would be a mistake of our own, and stops
  // us before it stops them.
  auto pieces = frame();
  pieces[1].length = 0;
  EXPECT_DEATH(wire->left().transmit(pieces), "segment.length > 0");
  left->release({&pieces[0].handle, 1});
}

TEST_F(PortLifeTest, C109_LargeSegmentBeyondTheDevicesLimitsNeverReachesIt) {
  auto pieces = frame();
  pieces[0].tso_segment_bytes = 20;
  // The ring has no TSO: not one piece may be part of a large segment.
  EXPECT_DEATH(wire->left().transmit(pieces), "tso_segments_max");
  left->release({&pieces[0].handle, 1});
}

/// One device of two queues, each of another worker; what goes out comes in.
class TwoQueueLifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<rte_ring*, 2> rings{};
    for (std::size_t i = 0; i < rings.size(); ++i) {
      rings_.emplace_back(rte_ring_create(("port_life" + std::to_string(i)).c_str(), 64,
                                          SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ),
                          &rte_ring_free);
      ASSERT_NE(rings_.back(), nullptr);
      rings[i] = rings_.back().get();
    }
    ASSERT_GE(rte_eth_from_rings("life", rings.data(), 2, rings.data(), 2, 0), 0);
    std::array<DpdkPacketMemory*, 2> pools{memories_[0].get(), memories_[1].get()};
    std::string error;
    ASSERT_TRUE(open_queues({.name = "net_ring_life"}, pools, 1, opened, error)) << error;
    ASSERT_EQ(opened.queues.size(), 2U);
  }
  void TearDown() override {
    opened.queues.clear();
    rte_eal_hotplug_remove("vdev", "net_ring_life");
  }
  void ask_for_reset() {
    rte_eth_dev_callback_process(rte_eth_dev_allocated("net_ring_life"), RTE_ETH_EVENT_INTR_RESET,
                                 nullptr);
  }
  PortState check(std::size_t queue) { return opened.queues[queue]->check(); }

  OpenedQueues opened;

 private:
  std::vector<std::unique_ptr<rte_ring, void (*)(rte_ring*)>> rings_;
  std::array<std::unique_ptr<DpdkPacketMemory>, 2> memories_{test::make_memory(),
                                                             test::make_memory()};
};

TEST_F(TwoQueueLifeTest, EveryWorkerSeesAResetWhicheverRestsLast) {
  for (const std::size_t last : {std::size_t{1}, std::size_t{0}}) {
    const std::size_t first = 1 - last;
    ask_for_reset();
    EXPECT_EQ(check(first), PortState::down);
    EXPECT_EQ(check(first), PortState::down) << "the other queue is still in use";
    EXPECT_EQ(check(last), PortState::down);
    EXPECT_EQ(check(last), PortState::up);
    EXPECT_EQ(check(first), PortState::down);
    EXPECT_EQ(check(first), PortState::up);
  }
  for (const auto& queue : opened.queues) EXPECT_EQ(queue->counters().resets.get(), 2U);
}

TEST(QueuePlans, WhetherIpv6IsHashedIsKnown) {
  rte_eth_dev_info device{};
  device.max_rx_queues = device.max_tx_queues = 2;
  device.reta_size = 128;
  device.hash_key_size = 40;
  for (const bool hashes_ipv6 : {false, true}) {
    device.flow_type_rss_offloads = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
    if (hashes_ipv6) device.flow_type_rss_offloads |= RTE_ETH_RSS_NONFRAG_IPV6_TCP;
    QueuePlan plan;
    std::string error;
    ASSERT_TRUE(plan_queues(device, 2, 0, 1, plan, error)) << error;
    EXPECT_EQ(plan.queues, 2);
    EXPECT_NE(plan.hash_types, 0U);
    EXPECT_EQ(plan.hashes_ipv6(), hashes_ipv6);
  }
}

TEST(PortQueues, WhatTheDeviceHashesIsToldToWhoeverSharesIt) {
  const std::unique_ptr<DpdkPacketMemory> memories[] = {test::make_memory(), test::make_memory()};
  DpdkPacketMemory* pools[] = {memories[0].get(), memories[1].get()};
  OpenedQueues opened;
  std::string error;
  ASSERT_TRUE(open_queues({.name = "net_null2,no-rx=1"}, pools, 1, opened, error)) << error;
  EXPECT_EQ(opened.queues.size(), 2U);
  EXPECT_TRUE(opened.device_steers) << opened.words;
  EXPECT_TRUE(opened.device_steers_ipv6) << opened.words;
}

TEST(PortChains, C109_LongChainsAreCopiedTogetherForADriverWithoutThem) {
  auto memory = test::make_memory();
  std::string error;
  auto port = open_port({.name = "net_null0,no-rx=1", .chains = false}, *memory, error);
  ASSERT_NE(port, nullptr) << error;
  std::vector<std::byte> store(2048);
  FrameBuffer buffer;
  ASSERT_EQ(memory->allocate({&buffer, 1}), 1U);
  std::vector<TxSegment> frame = {{.data = buffer.data, .length = 55, .handle = buffer.handle}};
  for (const std::uint32_t length : {1U, 333U, 700U}) {
    frame.back().flags |= kTxMore;
    frame.push_back({.data = store.data(), .length = length, .tracker = memory->tracker(0)});
  }
  EXPECT_FALSE(port->capabilities()->uses(Feature::tx_chain));
  ASSERT_EQ(port->transmit(frame), frame.size());
  EXPECT_EQ(port->counters().tx_linearised.get(), 1U);
  EXPECT_EQ(port->counters().tx_linearised_bytes.get(), 55U + 1 + 333 + 700);
  EXPECT_EQ(port->counters().tx_frames.get(), 1U);
  port->reclaim();
  EXPECT_EQ(memory->in_flight(*memory->tracker(0)), 0U);
  port.reset();
  EXPECT_EQ(memory->buffers_in_use(), 0U);
}

}  // namespace
}  // namespace pollux::platform
