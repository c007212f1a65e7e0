// The checks of an open port on a wire whose other end is another station: addresses first, for
// what is asked from an address that is still being checked gets no answer.
#include "control/selftest/port_checks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>

#include "dataplane/net/interface.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::selftest {
namespace {

const net::IpAddress kOurs = net::IpAddress::v4(10, 99, 0, 2);
const net::IpAddress kPeer = net::IpAddress::v4(10, 99, 0, 1);

class SelfTestChecks : public ::testing::Test {
 protected:
  SelfTestChecks() {
    config.interface.address = kOurs;
    config.interface.detect_conflicts = true;
    config.mtu = 1500;
    wire.watch([this](std::size_t from, Instant at, std::span<const std::byte> frame) {
      const bool is_arp = frame[12] == std::byte{0x08} && frame[13] == std::byte{0x06};
      if (from != 0 || !is_arp) return;
      // RFC 5227 1.1: a probe names no sender.
      const bool is_probe = std::all_of(frame.begin() + 28, frame.begin() + 32,
                                        [](std::byte b) { return b == std::byte{0}; });
      (is_probe ? probes : others).push_back(at);
    });
  }
  /// The checks against a station with `address`; the link is up from `link_up` to `link_down`.
  void run(const net::IpAddress& address, Duration link_up = Duration::zero(),
           Duration link_down = 1h) {
    const Instant start = wire.now();
    wire.set_link(link_up == Duration::zero());
    sim::SimPort port(wire, 0, memory);
    sim::SimPort peer_port(wire, 1, memory, sim::SimPortOptions{.mac = {2, 0, 0, 0, 0, 9}});
    net::Interface peer({.address = address, .announce = false}, peer_port, memory, start);
    const auto tick = [&] {
      wire.advance(wire.now() + 100us);
      const Duration passed = wire.now() - start;
      wire.set_link(passed >= link_up && passed < link_down);
      std::array<net::TcpDatagram, 8> datagrams;
      std::size_t frames = 0;
      peer.receive(wire.now(), datagrams, frames);
      peer.run_timers(wire.now());
      peer.flush();
      return wire.now();
    };
    check_port(port, memory, config, {.target = kPeer}, store, tick, result);
  }
  [[nodiscard]] const Check* find(std::string_view name) const {
    for (const Check& check : result.checks)
      if (check.name == name) return &check;
    return nullptr;
  }
  [[nodiscard]] bool is_good(std::string_view name) const {
    const Check* check = find(name);
    return check != nullptr && check->verdict == Verdict::passed;
  }

  sim::HeapPacketMemory memory;
  sim::SimWire wire{7, Instant{1000s}};
  std::array<std::byte, 4096> store{};
  service::PortConfig config;
  PortResult result;
  std::vector<Instant> probes;
  std::vector<Instant> others;
};

TEST_F(SelfTestChecks, ThePingsWaitUntilTheAddressIsChecked) {
  run(kPeer);
  for (const char* name : {"link", "address", "neighbour", "echo", "mtu"})
    EXPECT_TRUE(is_good(name)) << name << "\n" << to_words({result});
  ASSERT_EQ(probes.size(), 3u);
  ASSERT_FALSE(others.empty());
  EXPECT_GE(others.front() - probes.back(), 1900ms) << "nothing was asked before";
}

TEST_F(SelfTestChecks, AnAddressThatAnotherStationHasFailsAndNothingIsAskedFromIt) {
  run(kOurs);
  const Check* address = find("address");
  ASSERT_NE(address, nullptr);
  EXPECT_EQ(address->verdict, Verdict::failed);
  EXPECT_EQ(address->sentence,
            "another station on the link has 10.99.0.2: give the port another one");
  EXPECT_EQ(find("neighbour"), nullptr);
  EXPECT_TRUE(others.empty());
  EXPECT_FALSE(passed({result}));
}

TEST_F(SelfTestChecks, SilenceOnALinkThatIsStillDownProvesNothing) {
  run(kOurs, 3s);
  EXPECT_TRUE(is_good("link"));
  const Check* address = find("address");
  ASSERT_NE(address, nullptr);
  EXPECT_EQ(address->verdict, Verdict::failed) << "who has it was asked once the link was up";
}

TEST_F(SelfTestChecks, ACheckThatCannotEndIsGivenUp) {
  const Instant start = wire.now();
  run(kPeer, Duration::zero(), 2s);
  const Check* address = find("address");
  ASSERT_NE(address, nullptr);
  EXPECT_EQ(address->verdict, Verdict::failed);
  EXPECT_EQ(address->sentence, "the check for another user of 10.99.0.2 is not over after 8 s");
  EXPECT_LE(wire.now() - start, 10s);
}

TEST_F(SelfTestChecks, WithoutTheCheckNothingWaits) {
  config.interface.detect_conflicts = false;
  run(kPeer);
  EXPECT_EQ(find("address"), nullptr);
  EXPECT_TRUE(is_good("echo"));
  EXPECT_TRUE(probes.empty());
}

}  // namespace
}  // namespace pollux::selftest
