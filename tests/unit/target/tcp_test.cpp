// The whole target over a simulated wire: the hand-made initiator writes into a TCP connection of
// its own engine, time is manual, and everything lent is given back.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/support/tcp_host.hpp"
#include "tests/target/target.hpp"
#include "tests/unit/target/buffer_channel.hpp"

namespace pollux::target {
namespace {

constexpr std::uint16_t kMtu = 9000;
constexpr std::size_t kBuffersInHand = 32;  // what an interface keeps ready for its next frames

sim::TcpHostOptions host_options(std::uint16_t mtu) {
  sim::TcpHostOptions options;
  options.config.address = net::IpAddress::v4(10, 99, 0, 1);
  options.memory.buffer_bytes = 16384;
  options.memory.buffers = 2048;
  options.port.mtu = mtu;
  options.limits.connections = 8;
  options.timers.time_wait = 10ms;
  return options;
}

TargetOptions target_options(const TargetConfig& config) {
  TargetOptions options;
  options.target = config;
  options.interface.address = net::IpAddress::v4(10, 99, 0, 2);
  options.timers.time_wait = 10ms;
  return options;
}

/// Two ends of one wire and the time between them.
struct Net {
  explicit Net(const TargetConfig& config, std::uint16_t mtu = kMtu)
      : client(wire, 0, host_options(mtu)),
        memory(memory_options()),
        port(wire, 1, memory, port_options(mtu)),
        target(target_options(config), port, memory, wire.now()) {}

  static sim::HeapPacketMemoryOptions memory_options() {
    return {.buffers = 2048, .buffer_bytes = 16384, .trackers = 4};
  }
  static sim::SimPortOptions port_options(std::uint16_t mtu) {
    sim::SimPortOptions options;
    options.mac[5] = 2;
    options.mtu = mtu;
    return options;
  }

  /// Runs both ends until nothing is to happen within `patience`.
  void settle() {
    for (int turns = 0; turns < 200'000; ++turns) {
      const Instant now = wire.now();
      bool busy = client.turn(now) != 0;
      take_events();
      busy |= client.send(now) != 0;
      busy |= target.poll_once(now);
      if (busy) continue;
      const Instant next =
          std::min({wire.next_event(), client.next_deadline(), target.next_deadline()});
      if (next - now > patience) return;
      wire.advance(std::max(next, now + 1us));
    }
    FAIL() << "never settles";
  }
  void take_events() {
    std::array<tcp::Event, 16> events;
    const std::size_t count = client.engine.take_events(events);
    for (std::size_t i = 0; i < count; ++i) {
      const tcp::Event& event = events[i];
      bits[event.owner] |= event.bits;
      if ((event.bits & tcp::kPeerClosed) != 0) client.engine.close(event.id, wire.now());
    }
  }
  tcp::ConnectionId connect(std::uint32_t owner) {
    tcp::OpenRequest request;
    request.remote = {net::IpAddress::v4(10, 99, 0, 2), 3260};
    request.owner = owner;
    tcp::ConnectionId id;
    EXPECT_EQ(client.engine.open(request, wire.now(), id), tcp::OpenError::none);
    opened.push_back(id);
    settle();
    EXPECT_NE(bits[owner] & tcp::kEstablished, 0u);
    return id;
  }
  void expect_baseline() {
    settle();
    for (const tcp::ConnectionId id : opened) client.engine.release(id);
    opened.clear();
    for (int i = 0; i < 3; ++i) {
      settle();
      wire.advance(wire.now() + 1s);
    }
    settle();
    EXPECT_TRUE(target.quiet());
    client.interface.reclaim();
    EXPECT_EQ(target.open_connections(), 0u);
    EXPECT_EQ(client.engine.open_connections(), 0u);
    EXPECT_LE(memory.buffers_in_use(), kBuffersInHand);
    EXPECT_LE(client.memory.buffers_in_use(), kBuffersInHand);
    EXPECT_EQ(target.open_tasks(), 0u);
    EXPECT_EQ(target.checks().total(), 0u) << target.checks().first_text();
  }

  sim::SimWire wire{42, Instant{1000s}};
  sim::TcpHost client;
  sim::HeapPacketMemory memory;
  sim::SimPort port;
  Target target;
  std::array<std::uint32_t, 8> bits{};
  std::vector<tcp::ConnectionId> opened;  ///< what was received may be read until released
  Duration patience = 50ms;
};

class TcpChannel final : public Channel {
 public:
  TcpChannel(Net& net, std::uint32_t owner) : net_(net), id_(net.connect(owner)) {}
  void send(const Bytes& bytes) override {
    for (std::size_t at = 0; at < bytes.size();) {
      const tcp::SendSpace space = net_.client.engine.send_space(id_);
      const std::size_t n = std::min<std::size_t>(bytes.size() - at, space.inline_bytes);
      if (n > 0 && space.descriptors > 0)
        net_.client.engine.send_inline(id_, std::span{bytes}.subspan(at, n));
      at += n;
      net_.settle();
      ASSERT_TRUE(n > 0) << "the send queue does not drain";
    }
  }
  void run(Bytes& received) override {
    net_.settle();
    while (const std::uint32_t readable = net_.client.engine.readable(id_)) {
      const std::size_t at = received.size();
      received.resize(at + readable);
      net_.client.engine.peek(id_, std::span{received}.subspan(at));
      net_.client.engine.consume(id_, readable);
      net_.settle();
    }
  }

 private:
  Net& net_;
  tcp::ConnectionId id_;
};

void inquiry_read_write(InitiatorScript& script, const Keys& keys) {
  script.login(keys);
  const auto inquiry =
      script.command({0x12, 0, 0, 0, 36}, wire::kFinal | wire::ScsiCommand::kRead, 36);
  script.send(inquiry);
  EXPECT_EQ(script.read_data(inquiry).size(), 36u);

  const Bytes data = pattern(65536, 7);
  const auto write = script.write_10(16, 128);
  script.send(write);
  while (true) {
    const auto pdu = script.receive();
    ASSERT_TRUE(pdu.has_value());
    if (pdu->op() != wire::Opcode::ready_to_transfer) {
      EXPECT_EQ(pdu->op(), wire::Opcode::scsi_response);
      EXPECT_EQ(pdu->as<wire::ScsiResponse>().status, 0);
      ++script.exp_stat_sn;
      break;
    }
    const auto r2t = pdu->as<wire::R2t>();
    const std::uint32_t offset = r2t.buffer_offset.get();
    const std::uint32_t length = r2t.desired_data_transfer_length.get();
    script.send(script.data_out(write, r2t.target_transfer_tag.get(), 0, offset, true),
                slice(data, offset, length));
  }
  const auto small = script.read_10(20, 8);
  script.send(small);
  EXPECT_EQ(script.read_data(small), slice(data, 2048, 4096));
  const auto large = script.read_10(16, 128);
  script.send(large);
  EXPECT_EQ(script.read_data(large), data);
  script.logout();
}

class TargetTcp : public testing::TestWithParam<std::uint16_t> {};
INSTANTIATE_TEST_SUITE_P(Mtu, TargetTcp, testing::Values(1500, 9000));

TEST_P(TargetTcp, LoginInquiryReadWriteLogout) {
  Net net{Rig::standard(), GetParam()};
  {
    TcpChannel channel{net, 1};
    InitiatorScript script{channel};
    inquiry_read_write(script, {{"HeaderDigest", "CRC32C"},
                                {"DataDigest", "CRC32C"},
                                {"MaxBurstLength", "16384"},
                                {"FirstBurstLength", "8192"}});
  }
  net.settle();
  EXPECT_NE(net.bits[1] & tcp::kPeerClosed, 0u);
  EXPECT_EQ(net.target.counters().r2ts, 4u);
  EXPECT_EQ(net.target.sessions(), 0u);
  net.expect_baseline();
}

TEST(TargetTcpSessions, ManySessionsOneAfterTheOtherLeaveNothing) {
  Net net{Rig::standard()};
  for (int i = 0; i < 20; ++i) {
    TcpChannel channel{net, 1};
    InitiatorScript script{channel};
    inquiry_read_write(script, {{"MaxBurstLength", "16384"}});
    net.expect_baseline();
  }
  EXPECT_EQ(net.target.counters().logouts, 20u);
}

TEST(TargetTcpSessions, LossyWireCarriesTheSameBytes) {
  Net net{Rig::standard(), 1500};
  TcpChannel channel{net, 1};
  InitiatorScript script{channel};
  for (std::size_t from = 0; from < 2; ++from) {
    net.wire.faults(from).drop_ppm = 20'000;
    net.wire.faults(from).duplicate_ppm = 10'000;
    net.wire.faults(from).reorder_ppm = 20'000;
  }
  net.patience = 10s;  // beyond the backed-off retransmission timeout
  inquiry_read_write(script, {{"DataDigest", "CRC32C"}, {"MaxBurstLength", "16384"}});
  EXPECT_GT(net.wire.hits(0).dropped + net.wire.hits(1).dropped, 0u);
  net.wire.heal();
  net.target.shut_down(net.wire.now());
  net.expect_baseline();
}

TEST(TargetTcpSessions, DiscoveryNamesTheInterface) {
  Net net{[] {
    TargetConfig config = Rig::standard();
    config.portal.clear();
    return config;
  }()};
  TcpChannel channel{net, 1};
  InitiatorScript script{channel};
  script.login_step(0x87,
                    {{"InitiatorName", InitiatorScript::kInitiator}, {"SessionType", "Discovery"}});
  wire::TextRequest request;
  request.flags = wire::kFinal;
  script.send(script.stamped(request), text_of({{"SendTargets", "All"}}));
  const Pdu answer = script.expect(wire::Opcode::text_response);
  EXPECT_EQ(answer.key("TargetAddress"), "10.99.0.2:3260,1");
  net.target.shut_down(net.wire.now());
  net.expect_baseline();
}

TEST(TargetTcpSessions, PingsAndReinstatementReachOtherConnections) {
  TargetConfig config = Rig::standard();
  config.nop_in_interval = 5s;
  Net net{config};
  TcpChannel channel{net, 1};
  InitiatorScript script{channel};
  script.login();
  net.wire.advance(net.wire.now() + 5s);
  const auto ping = script.expect(wire::Opcode::nop_in).as<wire::NopIn>();
  EXPECT_NE(ping.target_transfer_tag.get(), wire::kReservedTag);

  TcpChannel again{net, 2};
  InitiatorScript second{again};
  second.login();
  net.settle();
  EXPECT_NE(net.bits[1] & tcp::kEnded, 0u);
  EXPECT_EQ(net.target.sessions(), 1u);
  net.target.shut_down(net.wire.now());
  net.expect_baseline();
}

TEST(TargetTcpSessions, DroppedConnectionGivesEverythingBack) {
  Net net{Rig::standard()};
  net.target.faults().drop_connection_at_command = 2;
  TcpChannel channel{net, 1};
  InitiatorScript script{channel};
  script.login();
  script.send(script.write_10(0, 128));
  script.expect(wire::Opcode::ready_to_transfer);
  script.send(script.read_10(0, 1));
  script.expect_silence();
  EXPECT_NE(net.bits[1] & tcp::kEnded, 0u);
  net.expect_baseline();
}

}  // namespace
}  // namespace pollux::target
