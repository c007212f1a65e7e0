// The in-process wire: chains, external memory, back-pressure, and every buffer back at the end.

#include "dataplane/platform/ring_wire.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/platform/eal.hpp"

namespace pollux::platform {
namespace {

class RingWireTest : public ::testing::Test {
 protected:
  void make_wire(const RingWireOptions& options) {
    std::string error;
    wire = RingWire::create(options, *left, *right, error);
    ASSERT_NE(wire, nullptr) << error;
    left_baseline = left->buffers_in_use();
    right_baseline = right->buffers_in_use();
    for (std::size_t i = 0; i < store.size(); ++i)
      store[i] = static_cast<std::byte>(i * 7 + i / 256);
  }

  void TearDown() override {
    if (!wire) return;
    EXPECT_EQ(left->buffers_in_use(), left_baseline);
    EXPECT_EQ(right->buffers_in_use(), right_baseline);
  }

  /// A head of `head` bytes in a buffer of ours, then pieces of `store`.
  std::vector<TxSegment> frame(std::uint32_t head, std::initializer_list<std::uint32_t> pieces) {
    FrameBuffer buffer;
    EXPECT_EQ(left->allocate({&buffer, 1}), 1U);
    std::memset(buffer.data, 0xa5, head);
    std::vector<TxSegment> segments = {
        {.data = buffer.data, .length = head, .handle = buffer.handle}};
    std::size_t offset = 0;
    for (const std::uint32_t length : pieces) {
      segments.back().flags |= kTxMore;
      segments.push_back(
          {.data = store.data() + offset, .length = length, .tracker = left->tracker(0)});
      offset += length;
    }
    return segments;
  }

  std::vector<std::byte> received_bytes(std::span<const RxSegment> segments) {
    std::vector<std::byte> bytes;
    for (const RxSegment& segment : segments) {
      bytes.insert(bytes.end(), segment.data, segment.data + segment.length);
    }
    return bytes;
  }

  void release(std::span<const RxSegment> segments) {
    std::vector<void*> handles;
    for (const RxSegment& segment : segments) handles.push_back(segment.handle);
    right->release(handles);
  }

  std::uint32_t in_flight() { return left->in_flight(*left->tracker(0)); }

  std::vector<std::byte> store = std::vector<std::byte>(16'384);
  std::unique_ptr<DpdkPacketMemory> left = test::make_memory();
  std::unique_ptr<DpdkPacketMemory> right = test::make_memory();
  std::unique_ptr<RingWire> wire;
  std::size_t left_baseline = 0;
  std::size_t right_baseline = 0;
};

TEST_F(RingWireTest, CarriesOddPiecesOfExternalMemory) {
  make_wire({});
  const auto sent = frame(67, {1, 4095, 333});
  ASSERT_EQ(wire->left().transmit(sent), 4U);
  EXPECT_EQ(in_flight(), 3U);

  std::array<RxSegment, 16> segments;
  const std::size_t count = wire->right().receive(segments);
  ASSERT_EQ(count, 4U);
  EXPECT_EQ(segments[0].flags, kRxMore | kRxIpChecksumGood | kRxL4ChecksumGood);
  EXPECT_EQ(segments[2].flags, kRxMore);
  EXPECT_EQ(segments[3].flags, 0);
  std::vector<std::byte> expected(67 + 1 + 4095 + 333, std::byte{0xa5});
  std::copy_n(store.begin(), 1 + 4095 + 333, expected.begin() + 67);
  EXPECT_EQ(received_bytes({segments.data(), count}), expected);

  // Each piece drops its reference on its own.
  for (std::uint32_t i = 0; i < count; ++i) {
    release({&segments[i], 1});
    EXPECT_EQ(in_flight(), i == 0 ? 3U : 3U - i);
  }
  EXPECT_EQ(wire->left().counters().tx_bytes.get(), expected.size());
  EXPECT_EQ(wire->right().counters().rx_bytes.get(), expected.size());
}

TEST_F(RingWireTest, WhatIsInFlightIsExactHoweverManyFramesThereHaveBeen) {
  make_wire({});
  std::array<RxSegment, 4> held;
  std::array<RxSegment, 4> segments;
  ASSERT_EQ(wire->left().transmit(frame(60, {100})), 2U);
  ASSERT_EQ(wire->right().receive(held), 2U);
  // References are taken many at a time.
  for (std::uint32_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(in_flight(), 1U) << i;
    ASSERT_EQ(wire->left().transmit(frame(60, {100})), 2U);
    ASSERT_EQ(in_flight(), 2U) << i;
    ASSERT_EQ(wire->right().receive(segments), 2U);
    release({segments.data(), 2});
  }
  release({held.data(), 2});
  EXPECT_EQ(in_flight(), 0U);
}

TEST_F(RingWireTest, RetainedSegmentNeedsTwoReleases) {
  make_wire({});
  ASSERT_EQ(wire->left().transmit(frame(60, {100})), 2U);
  std::array<RxSegment, 4> segments;
  ASSERT_EQ(wire->right().receive(segments), 2U);
  right->retain(segments[1].handle);
  release({segments.data(), 2});
  EXPECT_EQ(in_flight(), 1U);
  release({&segments[1], 1});
  EXPECT_EQ(in_flight(), 0U);
}

TEST_F(RingWireTest, SoftwareSumsClaimNothing) {
  make_wire({.emulate_checksum_offload = false});
  EXPECT_FALSE(wire->left().info().tx_ip_checksum);
  EXPECT_FALSE(wire->left().info().tx_l4_checksum);
  ASSERT_EQ(wire->left().transmit(frame(60, {})), 1U);
  std::array<RxSegment, 4> segments;
  ASSERT_EQ(wire->right().receive(segments), 1U);
  EXPECT_EQ(segments[0].flags, 0);
  release({segments.data(), 1});
}

TEST_F(RingWireTest, FullRingTakesWholeFramesInOrder) {
  make_wire({.frames = 16});
  std::vector<TxSegment> all;
  constexpr std::uint32_t kFrames = 120;
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    const auto next = frame(20 + i, {i + 1});
    all.insert(all.end(), next.begin(), next.end());
  }
  std::span<const TxSegment> rest{all};
  std::uint32_t seen = 0;
  // 15 frames fit the ring and a burst of 64 is built ahead: the rest stays with the caller.
  const std::size_t first = wire->left().transmit(rest);
  EXPECT_EQ(first, 2U * 64);
  EXPECT_EQ(wire->left().transmit(rest.subspan(first)), 0U);
  rest = rest.subspan(first);
  EXPECT_EQ(in_flight(), 64U);

  std::array<RxSegment, 8> segments;
  for (int turn = 0; turn < 1000 && seen < kFrames; ++turn) {
    const std::size_t count = wire->right().receive(segments);
    ASSERT_EQ(count % 2, 0U);
    for (std::size_t i = 0; i < count; i += 2, ++seen) {
      ASSERT_EQ(segments[i].length, 20 + seen);
      ASSERT_EQ(segments[i + 1].length, seen + 1);
      ASSERT_EQ(segments[i + 1].data, store.data());
    }
    release({segments.data(), count});
    const std::size_t taken = wire->left().transmit(rest);
    ASSERT_EQ(taken % 2, 0U);
    rest = rest.subspan(taken);
  }
  EXPECT_EQ(seen, kFrames);
  EXPECT_EQ(in_flight(), 0U);
  EXPECT_EQ(wire->left().counters().tx_frames.get(), kFrames);
}

TEST_F(RingWireTest, DeferredFramesLeaveWithoutFurtherTransmits) {
  make_wire({.frames = 8});
  std::vector<TxSegment> all;
  for (int i = 0; i < 20; ++i) all.push_back(frame(60, {})[0]);
  ASSERT_EQ(wire->left().transmit(all), 20U);
  std::array<RxSegment, 64> segments;
  std::size_t seen = 0;
  for (int turn = 0; turn < 20; ++turn) {
    const std::size_t count = wire->right().receive(segments);
    release({segments.data(), count});
    seen += count;
    std::array<RxSegment, 4> none;
    EXPECT_EQ(wire->left().receive(none), 0U);
  }
  EXPECT_EQ(seen, 20U);
}

TEST_F(RingWireTest, DeadPeerCostsFramesNotMemory) {
  make_wire({.frames = 8});
  std::vector<TxSegment> all;
  for (int i = 0; i < 20; ++i) {
    const auto next = frame(60, {10});
    all.insert(all.end(), next.begin(), next.end());
  }
  ASSERT_EQ(wire->left().transmit(all), all.size());
  EXPECT_EQ(in_flight(), 20U);
  for (int i = 0; i < 65'536; ++i) wire->left().reclaim();
  EXPECT_EQ(wire->left().counters().tx_dropped_stuck.get(), 13U);
  EXPECT_EQ(in_flight(), 7U);
  // The seven in the ring go with the wire.
  wire.reset();
  EXPECT_EQ(in_flight(), 0U);
  EXPECT_EQ(left->buffers_in_use(), 0U);
}

TEST_F(RingWireTest, FrameTooLongIsDroppedAndCounted) {
  make_wire({.mtu = 1500});
  // Four bytes more than the MTU are left for a VLAN tag.
  EXPECT_EQ(wire->left().transmit(frame(54, {1465})), 2U);
  EXPECT_EQ(wire->left().counters().tx_dropped_oversize.get(), 1U);
  ASSERT_EQ(wire->left().transmit(frame(54, {1464})), 2U);
  std::array<RxSegment, 4> segments;
  ASSERT_EQ(wire->right().receive(segments), 2U);
  release({segments.data(), 2});
}

TEST_F(RingWireTest, ReceiveNeverSplitsAFrame) {
  make_wire({});
  for (int i = 0; i < 3; ++i) ASSERT_EQ(wire->left().transmit(frame(60, {10, 20})), 3U);
  std::array<RxSegment, 5> segments;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(wire->right().receive(segments), 3U);
    release({segments.data(), 3});
  }
  ASSERT_EQ(wire->left().transmit(frame(60, {1, 2, 3, 4, 5})), 6U);
  EXPECT_EQ(wire->right().receive(segments), 0U);
  EXPECT_EQ(wire->right().counters().rx_dropped_segments.get(), 1U);
  EXPECT_EQ(in_flight(), 0U);
}

TEST_F(RingWireTest, WithoutAttachBuffersTheCallerKeepsTheFrame) {
  DpdkMemoryOptions few;
  few.external_buffers = 3;
  left = test::make_memory(few);
  make_wire({});
  auto all = frame(60, {10, 10});
  const auto second = frame(60, {10, 10});
  all.insert(all.end(), second.begin(), second.end());
  ASSERT_EQ(wire->left().transmit(all), 3U);
  EXPECT_EQ(wire->left().counters().tx_no_buffer.get(), 1U);
  EXPECT_EQ(in_flight(), 2U);
  std::array<RxSegment, 8> segments;
  ASSERT_EQ(wire->right().receive(segments), 3U);
  release({segments.data(), 3});
  ASSERT_EQ(wire->left().transmit(second), 3U);
  ASSERT_EQ(wire->right().receive(segments), 3U);
  release({segments.data(), 3});
}

TEST_F(RingWireTest, ReserveGivesOneBufferAtATime) {
  make_wire({});
  std::vector<FrameBuffer> buffers(5000);
  const std::size_t main = left->allocate(buffers);
  EXPECT_EQ(main, 1024U);
  std::array<FrameBuffer, 4> few;
  EXPECT_EQ(left->allocate(few), 0U);
  few[0] = left->allocate_reserved();
  ASSERT_NE(few[0].handle, nullptr);
  EXPECT_EQ(left->reserve_taken(), 1U);
  EXPECT_GE(few[0].capacity, 2048U);
  std::vector<void*> handles = {few[0].handle};
  for (std::size_t i = 0; i < main; ++i) handles.push_back(buffers[i].handle);
  left->release(handles);
}

TEST_F(RingWireTest, PeerThreadGivesEverythingBack) {
  make_wire({.frames = 64});
  constexpr std::size_t kFrames = 20'000;
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> seen{0};
  std::thread peer([&] {
    std::string error;
    ASSERT_TRUE(register_worker_thread(error)) << error;
    std::array<RxSegment, 64> segments;
    while (!stop) {
      const std::size_t count = wire->right().receive(segments);
      release({segments.data(), count});
      seen += count / 2;
      if (count == 0) std::this_thread::yield();
    }
    unregister_worker_thread();
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (std::size_t sent = 0; sent < kFrames && std::chrono::steady_clock::now() < until;) {
    const auto next = frame(61, {777});
    while (wire->left().transmit(next) == 0 && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    ++sent;
  }
  while (seen < kFrames && std::chrono::steady_clock::now() < until) {
    wire->left().reclaim();
    std::this_thread::yield();
  }
  stop = true;
  peer.join();
  EXPECT_EQ(seen, kFrames);
  EXPECT_EQ(in_flight(), 0U);
}

TEST_F(RingWireTest, WiresComeAndGo) {
  for (int i = 0; i < 5; ++i) {
    make_wire({});
    ASSERT_NE(wire, nullptr);
    EXPECT_NE(wire->left().info().mac, wire->right().info().mac);
    EXPECT_EQ(wire->left().check(), PortState::up);
    wire.reset();
  }
}

TEST(Port, MissingPortIsASentence) {
  auto memory = test::make_memory();
  std::string error;
  EXPECT_EQ(open_port({.name = "net_nonsense0"}, *memory, error), nullptr);
  EXPECT_NE(error.find("port net_nonsense0 cannot be opened"), std::string::npos) << error;
}

TEST(Memory, TooMuchIsASentence) {
  std::string error;
  EXPECT_EQ(DpdkPacketMemory::create({.rx_buffers = 1'000'000}, error), nullptr);
  EXPECT_NE(error.find("give DPDK more memory"), std::string::npos) << error;
  EXPECT_EQ(DpdkPacketMemory::create({.external_buffers = 65'000}, error), nullptr);
}

}  // namespace
}  // namespace pollux::platform
