// What the self-test sends and looks at, on a wire whose other end is another station: with and
// without a VLAN, whether the port or software puts the tag in.
#include "control/selftest/prober.hpp"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <ostream>

#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::selftest {
namespace {

constexpr std::uint16_t kMtu = 1500;
const net::IpAddress kOurs = net::IpAddress::from_v4_host(0x0a63'0001);
const net::IpAddress kPeer = net::IpAddress::from_v4_host(0x0a63'0002);

struct Wiring {
  const char* name;
  std::uint16_t vlan;
  bool vlan_offload;
  bool scatter;
};
void PrintTo(const Wiring& wiring, std::ostream* out) { *out << wiring.name; }

net::InterfaceConfig station(const net::IpAddress& address, std::uint16_t vlan) {
  net::InterfaceConfig config;
  config.address = address;
  config.vlan_id = vlan;
  config.announce = false;
  return config;
}

class SelfTestProber : public ::testing::TestWithParam<Wiring> {
 protected:
  SelfTestProber() {
    wire.watch([this](std::size_t from, Instant, std::span<const std::byte> frame) {
      const bool is_tagged = frame[12] == std::byte{0x81} && frame[13] == std::byte{0x00};
      if (from == 0) (is_tagged ? tagged : untagged) += 1;
    });
  }
  void TearDown() override {
    prober.reset();
    peer.reset();
    spy.reset();
    peer_port.reset();
    port.reset();
    EXPECT_EQ(memory.buffers_in_use(), 0u);
  }
  void begin(std::uint16_t our_vlan, std::uint16_t peer_vlan) {
    port.emplace(wire, 0, memory,
                 sim::SimPortOptions{.vlan_offload = GetParam().vlan_offload,
                                     .scatter = GetParam().scatter});
    peer_port.emplace(wire, 1, memory, sim::SimPortOptions{.mac = {2, 0, 0, 0, 0, 2}});
    spy.emplace(*port);
    peer.emplace(station(kPeer, peer_vlan), *peer_port, memory, wire.now());
    prober.emplace(*spy, memory, station(kOurs, our_vlan), store, [this] { return tick(); });
  }
  /// Time passes each time somebody looks at it, and the other station works meanwhile.
  Instant tick() {
    wire.advance(wire.now() + 100us);
    std::array<net::TcpDatagram, 8> datagrams;
    std::size_t frames = 0;
    if (peer) {
      peer->receive(wire.now(), datagrams, frames);
      peer->run_timers(wire.now());
      peer->flush();
    }
    return wire.now();
  }

  sim::HeapPacketMemory memory;
  sim::SimWire wire{7, Instant{1000s}};
  std::array<std::byte, 4096> store{};
  std::optional<sim::SimPort> port;
  std::optional<sim::SimPort> peer_port;
  std::optional<SpyPort> spy;
  std::optional<net::Interface> peer;
  std::optional<Prober> prober;
  unsigned tagged = 0;
  unsigned untagged = 0;
};
INSTANTIATE_TEST_SUITE_P(Wirings, SelfTestProber,
                         ::testing::Values(Wiring{"Untagged", 0, false, false},
                                           Wiring{"VlanInSoftware", 7, false, false},
                                           Wiring{"VlanInPieces", 7, false, true},
                                           Wiring{"VlanInThePort", 7, true, false}),
                         [](const auto& parameter) { return parameter.param.name; });

TEST_P(SelfTestProber, PingsWithFramesOfAnySizeAndSeesTheAnswers) {
  begin(GetParam().vlan, GetParam().vlan);
  ASSERT_TRUE(prober->resolve(kPeer, 1s));
  for (const std::size_t bytes : {std::size_t{28}, std::size_t{84}, std::size_t{kMtu}}) {
    EXPECT_TRUE(prober->ping(kPeer, bytes, 100ms)) << bytes;
    ASSERT_FALSE(spy->replies().empty()) << bytes;
    EXPECT_EQ(spy->replies().back().ip_bytes, bytes);
  }
  EXPECT_EQ(spy->replies().size(), 3u);
  EXPECT_EQ(tagged, GetParam().vlan != 0 ? 4u : 0u);
  EXPECT_EQ(untagged, GetParam().vlan != 0 ? 0u : 4u);
}

TEST_P(SelfTestProber, AStationThatIsSilentGivesNoAnswer) {
  begin(GetParam().vlan, GetParam().vlan);
  EXPECT_FALSE(prober->ping(kPeer, 84, 10ms)) << "nobody has asked for it yet";
  ASSERT_TRUE(prober->resolve(kPeer, 1s));
  wire.drop_if(1, [](std::span<const std::byte>) { return true; });
  EXPECT_FALSE(prober->ping(kPeer, 84, 10ms));
  EXPECT_TRUE(spy->replies().empty());
}

}  // namespace
}  // namespace pollux::selftest
