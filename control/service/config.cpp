#include "control/service/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <set>

#include "control/ring/socket_path.hpp"
#include "control/service/config_text.hpp"
#include "control/session/iscsi_name.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::service {
namespace {

constexpr std::array<std::string_view, 4> kDigestTexts{"none", "crc32c", "none,crc32c",
                                                       "crc32c,none"};

constexpr std::array<std::string_view, 3> kCongestionTexts{"cubic", "newreno", "dctcp"};
constexpr std::array<std::string_view, 3> kTimerTexts{"default", "strict", "san"};

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
         });
}

/// What is wrong with a port's IPv6 side; empty: nothing.
std::string ipv6_fault(const PortConfig& port) {
  const net::InterfaceConfig& interface = port.interface;
  const bool has_gateway = interface.gateway6 != net::IpAddress{};
  if (has_gateway && !interface.has_ipv6()) return "ipv6_gateway needs an ipv6_address";
  if (interface.has_ipv6() && port.mtu < wire::kIpv6MtuMin) {
    return fmt::format("mtu {} is too small for IPv6, which needs {}", port.mtu, wire::kIpv6MtuMin);
  }
  if (!has_gateway || interface.gateway6.is_link_local()) return {};
  const bool in_prefix = interface.address6 != net::IpAddress{} &&
                         wire::same_ipv6_prefix(interface.address6.bytes, interface.gateway6.bytes,
                                                interface.prefix_length6);
  if (!in_prefix || interface.gateway6 == interface.address6) {
    return fmt::format("the gateway {} is neither link-local nor another address in {}/{}",
                       to_text(interface.gateway6), to_text(interface.address6),
                       interface.prefix_length6);
  }
  return {};
}

bool is_same_network(const net::InterfaceConfig& interface) {
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - interface.prefix_length);
  return ((interface.address.v4_host() ^ interface.gateway.v4_host()) & mask) == 0;
}

bool validate_ports(const Config& config, std::string_view source, std::string& error) {
  std::set<std::string_view> names;
  std::set<std::string_view> devices;
  for (const PortConfig& port : config.ports) {
    if (!names.insert(port.name).second) {
      error = fmt::format("{}: two ports are called \"{}\"", source, port.name);
    } else if (!devices.insert(port.device).second) {
      error = fmt::format("{}: two ports use the device \"{}\"", source, port.device);
    } else if (port.interface.gateway != net::IpAddress{} && !port.interface.has_ipv4()) {
      error = fmt::format("{}: port \"{}\": gateway needs an address", source, port.name);
    } else if (port.interface.gateway != net::IpAddress{} && !is_same_network(port.interface)) {
      error = fmt::format("{}: the gateway {} of port \"{}\" is not in the network {}/{}", source,
                          to_text(port.interface.gateway), port.name,
                          to_text(port.interface.address), port.interface.prefix_length);
    } else if (const std::string fault = ipv6_fault(port); !fault.empty()) {
      error = fmt::format("{}: port \"{}\": {}", source, port.name, fault);
    }
    if (!error.empty()) return false;
  }
  return true;
}

/// TOML basic string.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

void write_text(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty()) out += fmt::format("{} = {}\n", key, quoted(value));
}

void write_addresses(std::string& out, const net::InterfaceConfig& interface) {
  if (interface.has_ipv4()) {
    out +=
        fmt::format("address = \"{}/{}\"\n", to_text(interface.address), interface.prefix_length);
  }
  if (interface.gateway != net::IpAddress{}) write_text(out, "gateway", to_text(interface.gateway));
  out += fmt::format("detect_conflicts = {}\n", interface.detect_conflicts);
  if (interface.address6 != net::IpAddress{}) {
    out += fmt::format("ipv6_address = \"{}/{}\"\n", to_text(interface.address6),
                       interface.prefix_length6);
  }
  if (interface.gateway6 != net::IpAddress{})
    write_text(out, "ipv6_gateway", to_text(interface.gateway6));
  out += fmt::format("ipv6_accept_ra = {}\nipv6_link_local = {}\n", interface.accept_ra,
                     interface.link_local);
  out += fmt::format("vlan = {}\npriority = {}\ndscp = {}\n", interface.vlan_id, interface.priority,
                     interface.dscp);
}

std::string user_directory(const char* variable, std::string_view below_home) {
  if (const char* value = std::getenv(variable); value != nullptr && *value == '/') return value;
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fmt::format("{}/{}", home, below_home) : std::string{};
}

}  // namespace

std::optional<DigestPreference> parse_digest_preference(std::string_view text) noexcept {
  const auto at = std::find(kDigestTexts.begin(), kDigestTexts.end(), text);
  if (at == kDigestTexts.end()) return std::nullopt;
  return static_cast<DigestPreference>(at - kDigestTexts.begin());
}

std::string_view to_text(DigestPreference preference) noexcept {
  return kDigestTexts[static_cast<std::size_t>(preference)];
}

std::optional<tcp::CongestionAlgorithm> parse_congestion_algorithm(std::string_view text) noexcept {
  const auto at = std::find(kCongestionTexts.begin(), kCongestionTexts.end(), text);
  if (at == kCongestionTexts.end()) return std::nullopt;
  return static_cast<tcp::CongestionAlgorithm>(at - kCongestionTexts.begin());
}

std::string_view to_text(tcp::CongestionAlgorithm algorithm) noexcept {
  return kCongestionTexts[static_cast<std::size_t>(algorithm)];
}

std::optional<tcp::TimerProfile> parse_timer_profile(std::string_view text) noexcept {
  const auto at = std::find(kTimerTexts.begin(), kTimerTexts.end(), text);
  if (at == kTimerTexts.end()) return std::nullopt;
  return static_cast<tcp::TimerProfile>(at - kTimerTexts.begin());
}

std::string_view to_text(tcp::TimerProfile profile) noexcept {
  return kTimerTexts[static_cast<std::size_t>(profile)];
}

bool validate_config(const Config& config, std::string_view source, std::string& error) {
  error.clear();
  if (!is_plain_name(config.instance)) {
    error = fmt::format("{}: instance must be 1 to 64 letters, digits, '-', '_' or '.', not \"{}\"",
                        source, config.instance);
    return false;
  }
  if (!config.initiator_name.empty()) {
    const session::FoldedName folded = session::fold_iscsi_name(config.initiator_name);
    if (folded.verdict != session::NameVerdict::ok) {
      error = fmt::format("{}: initiator_name \"{}\" is no iSCSI name: {}", source,
                          config.initiator_name, session::name_verdict_words(folded.verdict));
      return false;
    }
  }
  // RFC 7143 13.14: FirstBurstLength must not exceed MaxBurstLength.
  if (config.login.first_burst_length > config.login.max_burst_length) {
    error =
        fmt::format("{}: login.first_burst_length ({}) must not exceed login.max_burst_length ({})",
                    source, config.login.first_burst_length, config.login.max_burst_length);
    return false;
  }
  std::set<std::uint32_t> cpus(config.worker.cpus.begin(), config.worker.cpus.end());
  if (cpus.size() != config.worker.cpus.size()) {
    error =
        fmt::format("{}: worker.cpus names a CPU twice; every worker needs one of its own", source);
    return false;
  }
  if (config.worker.workers != 0 && !cpus.empty() && cpus.size() != config.worker.workers) {
    error = fmt::format(
        "{}: worker.workers is {} and worker.cpus names {}: name a CPU for each worker, or none",
        source, config.worker.workers, cpus.size());
    return false;
  }
  return validate_ports(config, source, error);
}

std::string to_toml(const Config& config) {
  std::string out;
  write_text(out, "instance", config.instance);
  write_text(out, "initiator_name", config.initiator_name);
  out += fmt::format("isid_qualifier = {}\n", config.isid_qualifier);
  write_text(out, "state_directory", config.state_directory);
  for (const PortConfig& port : config.ports) {
    out += "\n[[port]]\n";
    write_text(out, "name", port.name);
    write_text(out, "device", port.device);
    write_addresses(out, port.interface);
    out += fmt::format("mtu = {}\nqueues = {}\n", port.mtu, port.queues);
    out += fmt::format("checksum_offload = {}\nchains = {}\ntso = {}\nallow_blocking_driver = {}\n",
                       port.checksum_offload, port.chains, port.tso, port.allow_blocking_driver);
  }
  out += fmt::format("\n[worker]\nworkers = {}\ncpus = [{}]\nsessions_max = {}\nqueue_depth = {}\n",
                     config.worker.workers, fmt::join(config.worker.cpus, ", "),
                     config.worker.sessions_max, config.worker.queue_depth);
  out += fmt::format("idle_spin_us = {}\nidle_sleep_max_us = {}\n", config.worker.idle_spin_us,
                     config.worker.idle_sleep_max_us);
  const tcp::CongestionOptions& congestion = config.tcp.congestion;
  out += fmt::format("\n[tcp]\ntimers = \"{}\"\ncongestion = \"{}\"\necn = {}\nidle_restart = {}\n",
                     to_text(config.tcp.timers), to_text(congestion.algorithm), congestion.ecn,
                     congestion.idle_restart);
  const LoginConfig& login = config.login;
  out +=
      fmt::format("\n[login]\ntimeout_seconds = {}\nheader_digest = \"{}\"\ndata_digest = \"{}\"\n",
                  login.timeout.count(), to_text(login.header_digest), to_text(login.data_digest));
  out += fmt::format(
      "max_recv_data_segment_length = {}\nmax_burst_length = {}\nfirst_burst_length = {}\n"
      "max_outstanding_r2t = {}\ninitial_r2t = {}\nimmediate_data = {}\n",
      login.max_recv_data_segment_length, login.max_burst_length, login.first_burst_length,
      login.max_outstanding_r2t, login.initial_r2t, login.immediate_data);
  out += fmt::format("\n[logout]\ndrain_seconds = {}\ntimeout_seconds = {}\n",
                     config.logout.drain.count(), config.logout.timeout.count());
  out += "\n[ring]\n";
  write_text(out, "socket", config.ring.socket);
  write_text(out, "manage_group", config.ring.manage_group);
  write_text(out, "monitor_group", config.ring.monitor_group);
  out += fmt::format("\n[memory]\nhugepages = {}\nmemory_mib = {}\n", config.memory.hugepages,
                     config.memory.memory_mib);
  out += fmt::format("\n[telemetry]\nenabled = {}\n", config.telemetry.enabled);
  return out;
}

std::string default_initiator_name() {
  char host[256]{};
  if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
    return "iqn.2026-11.io.pollux:host";
  std::string name = "iqn.2026-11.io.pollux:";
  for (const char* c = host; *c != '\0' && name.size() < session::kIscsiNameBytesMax; ++c) {
    const auto byte = static_cast<unsigned char>(*c);
    name += std::isalnum(byte) || byte == '-' || byte == '.' ? static_cast<char>(std::tolower(byte))
                                                             : '-';
  }
  return name;
}

std::string default_socket_path(std::string_view instance) {
  const std::string path = ring::default_socket_path(instance);
  return path.empty() ? fmt::format("/tmp/pollux-{}/{}.sock", geteuid(), instance) : path;
}

std::string default_state_directory(std::string_view instance) {
  if (geteuid() == 0) return fmt::format("/var/lib/pollux/{}", instance);
  const std::string state = user_directory("XDG_STATE_HOME", ".local/state");
  return state.empty() ? state : fmt::format("{}/pollux/{}", state, instance);
}

}  // namespace pollux::service
