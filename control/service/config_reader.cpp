// TOML to Config. The first fault is reported and ends the reading: a list of follow-up errors
// hides the one that matters.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "control/service/config.hpp"
#include "control/service/config_section.hpp"
#include "control/service/config_text.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::service {
namespace {

constexpr std::string_view kDigestsAllowed =
    "\"none\", \"crc32c\", \"none,crc32c\" or \"crc32c,none\"";
constexpr std::string_view kTimersAllowed = "\"default\", \"strict\" or \"san\"";
// RFC 7143 13.12 to 13.14.
constexpr std::uint64_t kSegmentMin = 512;
constexpr std::uint64_t kSegmentMax = (1u << 24) - 1;
constexpr double kTimeoutMaxSeconds = 3600;

void read_port(const toml::table& table, std::size_t index, std::string_view source, Config& config,
               std::string& error) {
  Section section(table, "port", source, error);
  PortConfig port;
  port.name = fmt::format("port{}", index);
  section.text("name", port.name);
  section.text("device", port.device);
  section.parsed("address", port.interface, parse_interface_address, kAddressAllowed);
  section.parsed("gateway", port.interface.gateway, parse_ipv4, kGatewayAllowed);
  section.boolean("detect_conflicts", port.interface.detect_conflicts);
  Ipv6Prefix ipv6{port.interface.address6, port.interface.prefix_length6};
  section.parsed("ipv6_address", ipv6, parse_interface_ipv6, kIpv6AddressAllowed);
  port.interface.address6 = ipv6.address;
  port.interface.prefix_length6 = ipv6.length;
  section.parsed("ipv6_gateway", port.interface.gateway6, parse_ipv6, kIpv6GatewayAllowed);
  section.boolean("ipv6_accept_ra", port.interface.accept_ra);
  section.boolean("ipv6_link_local", port.interface.link_local);
  section.integer("vlan", port.interface.vlan_id, 0, wire::kVlanIdMax);
  section.integer("priority", port.interface.priority, 0, 7);
  section.integer("dscp", port.interface.dscp, 0, 63);
  // RFC 791: every link carries 68 bytes; we ask for what holds a login PDU in few segments.
  section.integer("mtu", port.mtu, 576, 9600);
  section.integer("queues", port.queues, 0, 64);
  section.boolean("checksum_offload", port.checksum_offload);
  section.boolean("chains", port.chains);
  section.boolean("tso", port.tso);
  section.boolean("allow_blocking_driver", port.allow_blocking_driver);
  section.require("device");
  if (!port.interface.has_ipv6()) section.require("address");
  section.end();
  config.ports.push_back(port);
}

void read_worker(const toml::table& table, std::string_view source, Config& config,
                 std::string& error) {
  Section section(table, "worker", source, error);
  section.integer("workers", config.worker.workers, 0, 64);
  section.integers("cpus", config.worker.cpus, 1023);
  section.integer("sessions_max", config.worker.sessions_max, 1, 16384);
  section.integer("queue_depth", config.worker.queue_depth, 1, 4096);
  section.integer("idle_spin_us", config.worker.idle_spin_us, 0, 1'000'000);
  // Longer ones save nothing more, and what arrives unasked meanwhile must fit the receive ring.
  section.integer("idle_sleep_max_us", config.worker.idle_sleep_max_us, 0, 10'000);
  section.end();
}

void read_tcp(const toml::table& table, std::string_view source, Config& config,
              std::string& error) {
  Section section(table, "tcp", source, error);
  tcp::CongestionOptions& congestion = config.tcp.congestion;
  section.parsed("timers", config.tcp.timers, parse_timer_profile, kTimersAllowed);
  section.parsed("congestion", congestion.algorithm, parse_congestion_algorithm,
                 "\"cubic\", \"newreno\" or \"dctcp\"");
  section.boolean("ecn", congestion.ecn);
  section.boolean("idle_restart", congestion.idle_restart);
  section.end();
}

void read_login(const toml::table& table, std::string_view source, Config& config,
                std::string& error) {
  Section section(table, "login", source, error);
  LoginConfig& login = config.login;
  section.seconds("timeout_seconds", login.timeout, kTimeoutMaxSeconds);
  section.parsed("header_digest", login.header_digest, parse_digest_preference, kDigestsAllowed);
  section.parsed("data_digest", login.data_digest, parse_digest_preference, kDigestsAllowed);
  section.integer("max_recv_data_segment_length", login.max_recv_data_segment_length, kSegmentMin,
                  kSegmentMax);
  section.integer("max_burst_length", login.max_burst_length, kSegmentMin, kSegmentMax);
  section.integer("first_burst_length", login.first_burst_length, kSegmentMin, kSegmentMax);
  section.integer("max_outstanding_r2t", login.max_outstanding_r2t, 1, 16);
  section.boolean("initial_r2t", login.initial_r2t);
  section.boolean("immediate_data", login.immediate_data);
  section.end();
}

void read_sections(Section& root, std::string_view source, Config& config, std::string& error) {
  if (const toml::array* ports = root.tables("port")) {
    for (std::size_t i = 0; i < ports->size() && error.empty(); ++i) {
      read_port(*ports->get(i)->as_table(), i, source, config, error);
    }
  }
  if (const toml::table* worker = root.table("worker")) read_worker(*worker, source, config, error);
  if (const toml::table* tcp = root.table("tcp")) read_tcp(*tcp, source, config, error);
  if (const toml::table* login = root.table("login")) read_login(*login, source, config, error);
  if (const toml::table* logout = root.table("logout")) {
    Section section(*logout, "logout", source, error);
    section.seconds("drain_seconds", config.logout.drain, kTimeoutMaxSeconds);
    section.seconds("timeout_seconds", config.logout.timeout, kTimeoutMaxSeconds);
    section.end();
  }
  if (const toml::table* ring = root.table("ring")) {
    Section section(*ring, "ring", source, error);
    section.text("socket", config.ring.socket);
    section.text("manage_group", config.ring.manage_group);
    section.text("monitor_group", config.ring.monitor_group);
    section.end();
  }
  if (const toml::table* memory = root.table("memory")) {
    Section section(*memory, "memory", source, error);
    section.boolean("hugepages", config.memory.hugepages);
    section.integer("memory_mib", config.memory.memory_mib, 0, 1u << 20);
    section.end();
  }
  if (const toml::table* telemetry = root.table("telemetry")) {
    Section section(*telemetry, "telemetry", source, error);
    section.boolean("enabled", config.telemetry.enabled);
    section.end();
  }
}

}  // namespace

std::optional<Config> parse_config(std::string_view text, std::string_view source,
                                   std::string& error) {
  error.clear();
  const toml::parse_result parsed = toml::parse(text, source);
  if (!parsed) {
    error = fmt::format("{}:{}: {}", source, parsed.error().source().begin.line,
                        parsed.error().description());
    return std::nullopt;
  }
  Config config;
  Section root(parsed.table(), "", source, error);
  root.text("instance", config.instance);
  root.text("initiator_name", config.initiator_name);
  root.integer("isid_qualifier", config.isid_qualifier, 0, 0xffff);
  root.text("state_directory", config.state_directory);
  read_sections(root, source, config, error);
  root.end();
  if (!error.empty() || !validate_config(config, source, error)) return std::nullopt;
  return config;
}

std::optional<Config> load_config(const std::string& path, std::string& error) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) {
    error = fmt::format("{}: the configuration file cannot be read", path);
    return std::nullopt;
  }
  return parse_config(text.str(), path, error);
}

}  // namespace pollux::service
