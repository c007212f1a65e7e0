// Configuration: what is read, what is refused and in which words, and what is kept across
// restarts.
#include "control/service/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "control/service/config_text.hpp"
#include "control/service/isid_store.hpp"
#include "control/service/latency_histogram.hpp"
#include "control/service/state_directory.hpp"
#include "control/service/worker_sizes.hpp"

namespace pollux::service {
namespace {

constexpr std::string_view kPort = "[[port]]\ndevice=\"net_tap0\"\naddress=\"10.99.0.2/24\"\n";

TEST(Config, EveryKeyIsRead) {
  std::string error;
  const auto config = parse_config(R"(
instance = "lab"
initiator_name = "iqn.2026-11.io.pollux:me"
isid_qualifier = 7
state_directory = "/var/lib/x"
[[port]]
name = "p"
device = "net_tap0,iface=t0"
address = "10.99.0.2/24"
gateway = "10.99.0.1"
detect_conflicts = true
ipv6_address = "fd99::2/64"
ipv6_gateway = "fd99::1"
ipv6_accept_ra = true
ipv6_link_local = true
vlan = 100
priority = 4
dscp = 26
mtu = 1400
queues = 2
[worker]
workers = 2
cpus = [1, 3]
sessions_max = 5
queue_depth = 32
idle_spin_us = 20
idle_sleep_max_us = 1000
[tcp]
congestion = "dctcp"
ecn = true
idle_restart = false
[login]
timeout_seconds = 2.5
header_digest = "crc32c"
data_digest = "crc32c,none"
max_recv_data_segment_length = 65536
max_burst_length = 131072
first_burst_length = 65536
max_outstanding_r2t = 4
initial_r2t = true
immediate_data = false
[logout]
drain_seconds = 1
timeout_seconds = 3
[ring]
socket = "/run/x.sock"
manage_group = "a"
monitor_group = "b"
[memory]
hugepages = false
memory_mib = 256
[telemetry]
enabled = true
)",
                                   "f.toml", error);
  ASSERT_TRUE(config) << error;
  EXPECT_EQ(config->ports.at(0).mtu, 1400);
  EXPECT_EQ(to_text(config->ports[0].interface.address), "10.99.0.2");
  EXPECT_EQ(config->ports[0].queues, 2);
  EXPECT_EQ(config->worker.workers, 2u);
  EXPECT_EQ(config->worker.idle_spin_us, 20u);
  EXPECT_EQ(config->worker.idle_sleep_max_us, 1000u);
  const net::InterfaceConfig& interface = config->ports[0].interface;
  EXPECT_EQ(to_text(interface.address6), "fd99::2");
  EXPECT_EQ(interface.prefix_length6, 64);
  EXPECT_EQ(to_text(interface.gateway6), "fd99::1");
  EXPECT_TRUE(interface.accept_ra && interface.link_local);
  EXPECT_TRUE(interface.detect_conflicts);
  EXPECT_EQ(interface.vlan_id, 100);
  EXPECT_EQ(interface.priority, 4);
  EXPECT_EQ(interface.dscp, 26);
  EXPECT_EQ(config->worker.cpus, (std::vector<std::uint32_t>{1, 3}));
  EXPECT_EQ(config->tcp.congestion.algorithm, tcp::CongestionAlgorithm::dctcp);
  EXPECT_TRUE(config->tcp.congestion.ecn);
  EXPECT_FALSE(config->tcp.congestion.idle_restart);
  EXPECT_EQ(tcp_limits(*config).congestion.algorithm, tcp::CongestionAlgorithm::dctcp);
  EXPECT_EQ(config->login.header_digest, DigestPreference::crc32c);
  EXPECT_DOUBLE_EQ(config->login.timeout.count(), 2.5);
  EXPECT_TRUE(config->login.initial_r2t);
  EXPECT_FALSE(config->memory.hugepages);
  EXPECT_TRUE(config->telemetry.enabled);
  // What is written back reads the same.
  const std::string written = to_toml(*config);
  const auto again = parse_config(written, "again", error);
  ASSERT_TRUE(again) << error << "\n" << written;
  EXPECT_EQ(to_toml(*again), written);
}

TEST(Config, TheExampleFileIsValid) {
  std::string error;
  const auto config = load_config(POLLUX_EXAMPLE_CONFIG, error);
  ASSERT_TRUE(config) << error;
  EXPECT_EQ(config->login.max_burst_length, LoginConfig{}.max_burst_length);
  EXPECT_EQ(config->worker.idle_sleep_max_us, 0u) << "nobody sleeps unasked";
}

struct Refusal {
  std::string text;
  std::vector<std::string> words;
};
class ConfigRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusal, NamesPlaceKeyAndWhatIsAllowed) {
  std::string error;
  EXPECT_FALSE(parse_config(GetParam().text, "f.toml", error));
  for (const std::string& word : GetParam().words) {
    EXPECT_NE(error.find(word), std::string::npos) << error << "\nlacks: " << word;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigRefusal,
    ::testing::Values(
        Refusal{"instance = ", {"f.toml:1"}},
        Refusal{"instnce = \"a\"", {"f.toml:1", "instnce", "did you mean \"instance\"?"}},
        Refusal{"\n[worker]\nsesions_max = 1", {"f.toml:3", "[worker]", "sessions_max"}},
        Refusal{"[login]\nzzzzzzzzzzzz = 1", {"f.toml:2", "known are"}},
        Refusal{"[worker]\nsessions_max = 0", {"f.toml:2", "worker.sessions_max", "1 to 16384"}},
        Refusal{"[worker]\nsessions_max = -1", {"1 to 16384"}},
        Refusal{"[worker]\nsessions_max = \"many\"", {"worker.sessions_max"}},
        Refusal{"[worker]\nidle_sleep_max_us = 10001", {"idle_sleep_max_us", "0 to 10000"}},
        Refusal{"[worker]\ncpus = [1, 1]", {"cpus", "twice"}},
        Refusal{"[worker]\ncpus = [1, 2]\nworkers = 3", {"workers", "3", "cpus", "2"}},
        Refusal{"[worker]\ncpus = [1.5]", {"f.toml:2", "cpus"}},
        Refusal{"worker = 1", {"[worker]"}},
        Refusal{"[tcp]\ncongestion = \"bbr\"", {"f.toml:2", "tcp.congestion", "\"newreno\""}},
        Refusal{"[tcp]\ntimers = \"fast\"", {"f.toml:2", "tcp.timers", "\"strict\"", "\"san\""}},
        Refusal{"[tcp]\ntimer = \"san\"", {"f.toml:2", "did you mean \"timers\"?"}},
        Refusal{"[login]\ntimeout_seconds = 0", {"login.timeout_seconds"}},
        Refusal{"[login]\ntimeout_seconds = nan", {"login.timeout_seconds"}},
        Refusal{"[login]\nheader_digest = \"md5\"", {"login.header_digest", "crc32c"}},
        Refusal{"[login]\nfirst_burst_length = 2097152",
                {"first_burst_length", "max_burst_length"}},
        Refusal{"[login]\nmax_recv_data_segment_length = 511", {"512"}},
        Refusal{"[[port]]\naddress = \"10.99.0.2/24\"", {"f.toml:1", "\"device\""}},
        Refusal{"[[port]]\ndevice = \"a\"", {"\"address\""}},
        Refusal{"[[port]]\ndevice = \"a\"\naddress = \"10.99.0.2\"",
                {"f.toml:3", "port.address", "/24"}},
        Refusal{"[[port]]\ndevice = \"a\"\naddress = \"224.0.0.1/4\"", {"port.address"}},
        Refusal{"[[port]]\ndevice = \"a\"\naddress = \"10.99.0.2/24\"\ngateway = \"10.98.0.1\"",
                {"10.98.0.1", "network"}},
        Refusal{"[[port]]\ndevice = \"a\"\nipv6_address = \"fd99::2\"",
                {"port.ipv6_address", "/64"}},
        Refusal{"[[port]]\ndevice = \"a\"\nipv6_address = \"fe80::2/64\"", {"port.ipv6_address"}},
        Refusal{"[[port]]\ndevice = \"a\"\nipv6_address = \"ff02::2/64\"", {"port.ipv6_address"}},
        Refusal{"[[port]]\ndevice = \"a\"\nipv6_address = \"fd99::2/129\"", {"port.ipv6_address"}},
        Refusal{
            "[[port]]\ndevice = \"a\"\nipv6_address = \"fd99::2/64\"\nipv6_gateway = \"fd98::1\"",
            {"fd98::1", "fd99::2/64"}},
        Refusal{"[[port]]\ndevice = \"a\"\nipv6_address = \"fd99::2/64\"\ngateway = \"10.99.0.1\"",
                {"gateway needs an address"}},
        Refusal{std::string(kPort) + "ipv6_gateway = \"fe80::1\"",
                {"ipv6_gateway", "ipv6_address"}},
        Refusal{std::string(kPort) + "ipv6_link_local = true\nmtu = 1200", {"1200", "1280"}},
        Refusal{std::string(kPort) + "vlan = 4095", {"port.vlan", "0 to 4094"}},
        Refusal{std::string(kPort) + "priority = 8", {"port.priority", "0 to 7"}},
        Refusal{std::string(kPort) + "dscp = 64", {"port.dscp", "0 to 63"}},
        Refusal{std::string(kPort) + std::string(kPort), {"device"}},
        Refusal{"instance = \"a/b\"", {"instance"}},
        Refusal{"initiator_name = \"bob\"", {"initiator_name", "bob"}},
        Refusal{"[[ring]]\nsocket = \"x\"", {"[ring]"}}));

TEST(Config, PortFlag) {
  std::string error;
  const auto port =
      parse_port_flag("name=p0 device=net_tap0,iface=t address=10.99.0.2/24 mtu=1400", error);
  ASSERT_TRUE(port) << error;
  EXPECT_EQ(port->device, "net_tap0,iface=t");
  EXPECT_EQ(port->interface.prefix_length, 24);
  EXPECT_FALSE(port->interface.detect_conflicts);
  const auto checked =
      parse_port_flag("device=x address=10.99.0.2/24 detect_conflicts=true", error);
  ASSERT_TRUE(checked) << error;
  EXPECT_TRUE(checked->interface.detect_conflicts);
  EXPECT_FALSE(parse_port_flag("device=x", error));
  EXPECT_FALSE(parse_port_flag("device=x adress=10.99.0.2/24", error));
  EXPECT_NE(error.find("address"), std::string::npos);
  EXPECT_FALSE(parse_port_flag("device=x address=10.99.0.2/24 mtu=1", error));
  const auto v6 = parse_port_flag(
      "device=x ipv6_address=fd99::2/64 ipv6_gateway=fe80::1 ipv6_accept_ra=true vlan=7 "
      "priority=5 dscp=46",
      error);
  ASSERT_TRUE(v6) << error;
  EXPECT_FALSE(v6->interface.has_ipv4());
  EXPECT_EQ(to_text(v6->interface.address6), "fd99::2");
  EXPECT_EQ(v6->interface.vlan_id, 7);
  EXPECT_FALSE(parse_port_flag("device=x ipv6_address=fd99::2/64 vlan=4095", error));
  EXPECT_NE(error.find("0 to 4094"), std::string::npos) << error;
}

class StateDirectory : public ::testing::Test {
 protected:
  StateDirectory() {
    char name[] = "pollux-state-XXXXXX";
    path = std::string(::testing::TempDir()) + name;
    EXPECT_NE(mkdtemp(path.data()), nullptr);
  }
  ~StateDirectory() override {
    for (const char* file : {"/boot-epoch", "/isids"}) unlink((path + file).c_str());
    rmdir(path.c_str());
  }
  std::string path;
};

TEST_F(StateDirectory, BootEpochRisesAndIsidsStay) {
  Random random{3};
  std::string error;
  wire::Isid first{};
  for (std::uint32_t boot = 1; boot <= 3; ++boot) {
    SavedState state;
    ASSERT_TRUE(open_state_directory(path, state, error)) << error;
    EXPECT_EQ(state.boot_epoch, boot);
    IsidStore store(state.isids, 5, random,
                    [this](const auto& isids) { EXPECT_EQ(write_isids(path, isids), ""); });
    const auto lease =
        store.lease("iqn.2026-11.io.pollux:i", "iqn.2026-11.io.pollux:t", std::nullopt);
    ASSERT_TRUE(lease);
    if (boot == 1) first = lease->isid;
    EXPECT_EQ(lease->isid, first);
    const auto second =
        store.lease("iqn.2026-11.io.pollux:i", "iqn.2026-11.io.pollux:t", std::nullopt);
    EXPECT_NE(second->isid, first);
    // A discovery session has no target.
    EXPECT_TRUE(store.lease("iqn.2026-11.io.pollux:i", "", std::nullopt));
    EXPECT_FALSE(store.lease("a", "b", 9) && store.lease("a", "b", 9));
  }
}

TEST_F(StateDirectory, DamagedFilesAreRefusedInWords) {
  std::string error;
  SavedState state;
  std::ofstream(path + "/boot-epoch") << "x\n";
  EXPECT_FALSE(open_state_directory(path, state, error));
  EXPECT_NE(error.find("boot-epoch"), std::string::npos);
  std::ofstream(path + "/boot-epoch") << "4\n";
  std::ofstream(path + "/isids") << "a b 0 80000000\n";
  EXPECT_FALSE(open_state_directory(path, state, error));
  EXPECT_NE(error.find("isids:1"), std::string::npos) << error;
}

TEST(LatencyHistogram, PercentilesAreWithinTheirStep) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.percentile(500), 0u);
  for (std::uint64_t value = 1; value <= 100'000; ++value) histogram.add(value);
  EXPECT_EQ(histogram.count(), 100'000u);
  EXPECT_EQ(histogram.max(), 100'000u);
  EXPECT_EQ(histogram.average(), 50'000u);
  for (const std::uint32_t parts : {10u, 500u, 990u, 999u}) {
    const double exact = 100.0 * parts;
    EXPECT_GE(static_cast<double>(histogram.percentile(parts)), exact);
    EXPECT_LE(static_cast<double>(histogram.percentile(parts)), exact * 1.016 + 1);
  }
  histogram.add(~std::uint64_t{0});
  EXPECT_EQ(histogram.max(), ~std::uint64_t{0});
}

}  // namespace
}  // namespace pollux::service
