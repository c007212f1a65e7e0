// TOML to Config. The first fault is reported and ends the reading: a list of follow-up errors
// hides the one that matters.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "control/service/config.hpp"
#include "control/service/config_text.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::service {
namespace {

/// Reads values of one table, remembers the first fault and which keys exist.
class Section {
 public:
  Section(const toml::table& table, std::string name, std::string_view source, std::string& error)
      : table_(table), name_(std::move(name)), source_(source), error_(error) {}

  template <class T>
  void integer(std::string_view key, T& value, std::uint64_t min, std::uint64_t max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->value_exact<std::int64_t>();
    if (!number || *number < 0 || static_cast<std::uint64_t>(*number) < min ||
        static_cast<std::uint64_t>(*number) > max) {
      return refuse(key, *node, fmt::format("must be a whole number from {} to {}", min, max));
    }
    value = static_cast<T>(*number);
  }
  void seconds(std::string_view key, Seconds& value, double max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->is_number() ? node->value<double>() : std::nullopt;
    if (!number || !(*number > 0) || *number > max) {
      return refuse(key, *node, fmt::format("must be seconds above 0 and at most {}", max));
    }
    value = Seconds{*number};
  }
  void boolean(std::string_view key, bool& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto flag = node->value_exact<bool>();
    if (!flag) return refuse(key, *node, "must be true or false");
    value = *flag;
  }
  void text(std::string_view key, std::string& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto string = node->value_exact<std::string>();
    if (!string || string->empty() || string->find('\0') != std::string::npos) {
      return refuse(key, *node, "must be a text that is not empty");
    }
    value = *string;
  }
  /// `parse` turns the text into an optional value.
  template <class T, class Parse>
  void parsed(std::string_view key, T& value, Parse parse, std::string_view allowed) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto string = node->value_exact<std::string>();
    const auto result = string ? parse(*string) : std::nullopt;
    if (!result) return refuse(key, *node, fmt::format("must be {}", allowed));
    value = *result;
  }
  void integers(std::string_view key, std::vector<std::uint32_t>& values, std::uint32_t max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string allowed = fmt::format("must be a list of whole numbers from 0 to {}", max);
    const toml::array* array = node->as_array();
    if (array == nullptr) return refuse(key, *node, allowed);
    values.clear();
    for (const toml::node& item : *array) {
      const auto number = item.value_exact<std::int64_t>();
      if (!number || *number < 0 || *number > max) return refuse(key, item, allowed);
      values.push_back(static_cast<std::uint32_t>(*number));
    }
  }
  /// A subtable, or null. Its keys are read by a Section of its own.
  const toml::table* table(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) refuse(key, *node, fmt::format("must be a section: [{}]", key));
    return node->as_table();
  }
  const toml::array* tables(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_array_of_tables()) {
      refuse(key, *node, fmt::format("must be sections: [[{}]]", key));
      return nullptr;
    }
    return node->as_array();
  }
  void require(std::string_view key) {
    if (error_.empty() && !table_.contains(key)) {
      error_ = fmt::format("{}:{}: [{}] needs the key \"{}\"", source_, table_.source().begin.line,
                           name_, key);
    }
  }
  /// Call last: a key that was not asked for is a mistake of the author, not an extension.
  void end() {
    for (const auto& [key, node] : table_) {
      if (!error_.empty()) return;
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      const auto suggestion = nearest_word(key.str(), known_);
      error_ = fmt::format("{}:{}: unknown key \"{}\" in {}{}", source_, node.source().begin.line,
                           key.str(), name_.empty() ? "the file" : "[" + name_ + "]",
                           suggestion ? fmt::format("; did you mean \"{}\"?", *suggestion)
                                      : fmt::format("; known are {}", fmt::join(known_, ", ")));
    }
  }

 private:
  const toml::node* find(std::string_view key) {
    known_.push_back(key);
    return error_.empty() ? table_.get(key) : nullptr;
  }
  void refuse(std::string_view key, const toml::node& node, std::string_view why) {
    error_ = fmt::format("{}:{}: {}{}{} {}", source_, node.source().begin.line, name_,
                         name_.empty() ? "" : ".", key, why);
  }

  const toml::table& table_;
  std::string name_;
  std::string_view source_;
  std::string& error_;
  std::vector<std::string_view> known_;
};

constexpr std::string_view kDigestsAllowed =
    "\"none\", \"crc32c\", \"none,crc32c\" or \"crc32c,none\"";
constexpr std::string_view kTimersAllowed = "\"default\", \"strict\" or \"san\"";
constexpr std::string_view kAddressAllowed =
    "an IPv4 address with its prefix length, like \"10.99.0.2/24\"";
constexpr std::string_view kGatewayAllowed = "an IPv4 address, like \"10.99.0.1\"";
constexpr std::string_view kIpv6AddressAllowed =
    "an IPv6 address with its prefix length, like \"fd99::2/64\"";
constexpr std::string_view kIpv6GatewayAllowed = "an IPv6 address, like \"fd99::1\" or \"fe80::1\"";
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

namespace {

constexpr std::array<std::string_view, 17> kPortKeys{"name",
                                                     "device",
                                                     "address",
                                                     "gateway",
                                                     "detect_conflicts",
                                                     "mtu",
                                                     "ipv6_address",
                                                     "ipv6_gateway",
                                                     "ipv6_accept_ra",
                                                     "ipv6_link_local",
                                                     "vlan",
                                                     "priority",
                                                     "dscp",
                                                     "checksum_offload",
                                                     "chains",
                                                     "tso",
                                                     "allow_blocking_driver"};

/// The switch of a port that is called `key`, or null.
bool* port_switch(PortConfig& port, std::string_view key) noexcept {
  if (key == "detect_conflicts") return &port.interface.detect_conflicts;
  if (key == "ipv6_accept_ra") return &port.interface.accept_ra;
  if (key == "ipv6_link_local") return &port.interface.link_local;
  if (key == "checksum_offload") return &port.checksum_offload;
  if (key == "chains") return &port.chains;
  if (key == "tso") return &port.tso;
  return key == "allow_blocking_driver" ? &port.allow_blocking_driver : nullptr;
}

bool take_number(std::string_view text, unsigned min, unsigned max, unsigned& out) noexcept {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size() && out >= min && out <= max;
}

/// One "key=value" of --port. Returns what the value must be when it is not, nothing when it is.
std::optional<std::string> apply_port_word(std::string_view key, const std::string& value,
                                           PortConfig& port) {
  net::InterfaceConfig& interface = port.interface;
  unsigned number = 0;
  if (key == "name") {
    port.name = value;
  } else if (key == "device") {
    port.device = value;
  } else if (key == "address") {
    const auto parsed = parse_interface_address(value);
    if (!parsed) return std::string(kAddressAllowed);
    interface.address = parsed->address;
    interface.prefix_length = parsed->prefix_length;
  } else if (key == "gateway") {
    const auto parsed = parse_ipv4(value);
    if (!parsed) return std::string(kGatewayAllowed);
    interface.gateway = *parsed;
  } else if (key == "ipv6_address") {
    const auto parsed = parse_interface_ipv6(value);
    if (!parsed) return std::string(kIpv6AddressAllowed);
    interface.address6 = parsed->address;
    interface.prefix_length6 = parsed->length;
  } else if (key == "ipv6_gateway") {
    const auto parsed = parse_ipv6(value);
    if (!parsed) return std::string(kIpv6GatewayAllowed);
    interface.gateway6 = *parsed;
  } else if (bool* const on = port_switch(port, key); on != nullptr) {
    if (value != "true" && value != "false") return "true or false";
    *on = value == "true";
  } else if (key == "mtu") {
    if (!take_number(value, 576, 9600, number)) return "a whole number from 576 to 9600";
    port.mtu = static_cast<std::uint16_t>(number);
  } else if (key == "vlan") {
    if (!take_number(value, 0, wire::kVlanIdMax, number)) return "a whole number from 0 to 4094";
    interface.vlan_id = static_cast<std::uint16_t>(number);
  } else if (key == "priority") {
    if (!take_number(value, 0, 7, number)) return "a whole number from 0 to 7";
    interface.priority = static_cast<std::uint8_t>(number);
  } else {
    if (!take_number(value, 0, 63, number)) return "a whole number from 0 to 63";
    interface.dscp = static_cast<std::uint8_t>(number);
  }
  return std::nullopt;
}

}  // namespace

std::optional<PortConfig> parse_port_flag(std::string_view text, std::string& error) {
  PortConfig port;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::string value(equals == std::string_view::npos ? "" : word.substr(equals + 1));
    const bool known = std::find(kPortKeys.begin(), kPortKeys.end(), key) != kPortKeys.end();
    if (!known || value.empty()) {
      error =
          fmt::format("--port: \"{}\" is not one of {}=...", word, fmt::join(kPortKeys, "=..., "));
      if (const auto near = nearest_word(key, kPortKeys); near && *near != key) {
        error += fmt::format("; did you mean \"{}\"?", *near);
      }
      return std::nullopt;
    }
    if (const auto wanted = apply_port_word(key, value, port)) {
      error = fmt::format("--port: {} must be {}", key, *wanted);
      return std::nullopt;
    }
  }
  if (port.device.empty() || !(port.interface.has_ipv4() || port.interface.has_ipv6())) {
    error = "--port: needs device=... and address=ADDRESS/PREFIX";
    return std::nullopt;
  }
  return port;
}

}  // namespace pollux::service
