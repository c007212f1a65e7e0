// The words of --port, "key=value key=value", to a PortConfig.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "control/service/config.hpp"
#include "control/service/config_text.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::service {
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
