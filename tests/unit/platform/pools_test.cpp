// TCP on DPDK's own pools when the pool of frames is empty: what makes memory come back leaves from
// the reserve, receiving goes on, and new data waits without being lost.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/interface.hpp"
#include "dataplane/platform/ring_wire.hpp"
#include "dataplane/tcp/counters.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/tcp/listener.hpp"
#include "tests/unit/platform/eal.hpp"

namespace pollux::platform {
namespace {

const auto* const environment = ::testing::AddGlobalTestEnvironment(new test::EalEnvironment);

constexpr std::uint16_t kPort = 3260;
const net::IpAddress kLeft = net::IpAddress::v4(10, 99, 0, 1);
const net::IpAddress kRight = net::IpAddress::v4(10, 99, 0, 2);

struct TakesAll final : tcp::Listener {
  bool on_syn(const net::Endpoint&, const net::Endpoint&, tcp::OpenRequest&) noexcept override {
    return true;
  }
};

/// What a worker has below iSCSI, on one end of the wire.
struct End {
  End(DpdkPacketMemory& pools, DpdkPort& port, const net::IpAddress& address, Instant start)
      : memory(pools),
        interface({.address = address, .prefix_length = 24, .gateway = {}}, port, memory, start),
        engine({.connections = 4}, {}, interface, memory, Random(7), start) {}
  void turn(Instant now) {
    std::array<net::TcpDatagram, 64> datagrams;
    for (std::size_t frames = 1, bursts = 0; frames != 0 && bursts < 64; ++bursts) {
      const std::size_t count = interface.receive(now, datagrams, frames);
      for (std::size_t i = 0; i < count; ++i) engine.input(datagrams[i], now);
    }
    interface.run_timers(now);
    engine.run_timers(now, 64);
    std::array<tcp::Event, 16> events;
    const std::size_t count = engine.take_events(events);
    for (std::size_t i = 0; i < count; ++i) id = events[i].id;
    engine.output(now);
    interface.flush();
  }
  std::string read() {
    std::string out(engine.readable(id), '\0');
    engine.peek(id, std::as_writable_bytes(std::span(out)));
    engine.consume(id, static_cast<std::uint32_t>(out.size()));
    return out;
  }
  void send(const std::string& bytes) { engine.send_inline(id, std::as_bytes(std::span(bytes))); }
  DpdkPacketMemory& memory;
  net::Interface interface;
  tcp::Engine engine;
  tcp::ConnectionId id;
};

struct PoolsTest : ::testing::Test {
  void SetUp() override {
    std::string error;
    wire = RingWire::create({.mtu = 1500, .emulate_checksum_offload = false}, *left_memory,
                            *right_memory, error);
    ASSERT_NE(wire, nullptr) << error;
    left.emplace(*left_memory, wire->left(), kLeft, now);
    right.emplace(*right_memory, wire->right(), kRight, now);
    right->engine.set_listener(&takes_all);
    ASSERT_EQ(left->engine.open({.remote = {kRight, kPort}}, now, left->id), tcp::OpenError::none);
    run(20ms);
    ASSERT_EQ(left->engine.state(left->id), tcp::State::established);
    ASSERT_EQ(right->engine.state(right->id), tcp::State::established);
  }
  void TearDown() override {
    give_back();
    left.reset();
    right.reset();
    wire.reset();
    EXPECT_EQ(left_memory->buffers_in_use(), 0u);
    EXPECT_EQ(right_memory->buffers_in_use(), 0u);
  }
  void run(Duration by, bool right_too = true) {
    for (const Instant until = now + by; now < until; now += 1ms) {
      left->turn(now);
      if (right_too) right->turn(now);
    }
  }
  /// No frame buffer is left on the left, in the pool or in the interface's hands.
  void empty_the_pool() {
    for (FrameBuffer buffer = left->interface.take_buffer(); buffer.data != nullptr;
         buffer = left->interface.take_buffer())
      taken.push_back(buffer.handle);
    FrameBuffer none;
    ASSERT_EQ(left_memory->allocate({&none, 1}), 0u);
  }
  void give_back() {
    left_memory->release(taken);
    taken.clear();
  }

  std::unique_ptr<DpdkPacketMemory> left_memory =
      test::make_memory({.frame_buffers = 512, .reserve_buffers = 32});
  std::unique_ptr<DpdkPacketMemory> right_memory = test::make_memory();
  std::unique_ptr<RingWire> wire;
  std::optional<End> left, right;
  TakesAll takes_all;
  Instant now{1000s};
  std::vector<void*> taken;
};

TEST_F(PoolsTest, C104_ReceivingAndAcknowledgingGoOn) {
  empty_the_pool();
  const std::string data(60'000, 'd');
  std::string got;
  for (int round = 0; round < 20; ++round) {
    right->send(data);
    run(50ms);
    got += left->read();
  }
  EXPECT_EQ(got.size(), 20 * data.size());
  EXPECT_EQ(right->engine.send_space(right->id).inline_bytes, 64u * 1024);  // all acknowledged
  EXPECT_EQ(right->engine.counters().timeouts.get(), 0u);
  EXPECT_GT(left_memory->reserve_taken(), 32u);  // more than it has: they come back
}

TEST_F(PoolsTest, C104_ARetransmissionLeavesAndNewDataWaits) {
  left->send("first");
  left->turn(now);  // is on the wire, and nobody reads there
  empty_the_pool();
  left->send("second");
  run(900ms, false);
  EXPECT_NE(left->engine.counters().segments_retransmitted.get(), 0u);
  EXPECT_NE(left_memory->reserve_taken(), 0u);
  run(20ms);
  EXPECT_EQ(right->read(), "first");
  EXPECT_NE(left->engine.counters().pool_empty.get(), 0u);
  give_back();
  run(20ms);
  EXPECT_EQ(right->read(), "second");
}

TEST_F(PoolsTest, C104_AResetLeaves) {
  empty_the_pool();
  left->engine.abort(left->id, now);
  run(20ms);
  EXPECT_EQ(right->engine.end_reason(right->id), tcp::EndReason::reset_by_peer);
}

}  // namespace
}  // namespace pollux::platform
