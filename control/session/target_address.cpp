// Parsing of TargetAddress (RFC 7143 13.8). See target_address.hpp.
#include "control/session/target_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "dataplane/wire/text.hpp"

namespace pollux::session {
namespace {

constexpr std::size_t kDnsNameBytesMax = 253;
constexpr std::uint64_t kU16Max = 0xffff;

bool is_dns_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

bool is_usable_ipv4(const std::string& text) {
  std::array<std::uint8_t, 4> address{};
  if (inet_pton(AF_INET, text.c_str(), address.data()) != 1) return false;
  constexpr std::uint8_t kFirstMulticast = 224;
  // 224.0.0.0/4 is multicast, 240.0.0.0/4 reserved and broadcast, 0.0.0.0/8 "this host".
  return address[0] != 0 && address[0] < kFirstMulticast;
}

bool is_usable_ipv6(const std::string& text) {
  std::array<std::uint8_t, 16> address{};
  if (inet_pton(AF_INET6, text.c_str(), address.data()) != 1) return false;
  const bool is_unspecified =
      std::all_of(address.begin(), address.end(), [](std::uint8_t b) { return b == 0; });
  return !is_unspecified && address[0] != 0xff;
}

/// '%' and the name of a port.
bool is_zone(std::string_view text) {
  return text.size() > 1 && std::all_of(text.begin() + 1, text.end(), [](char c) {
           return is_dns_character(c) || (c >= 'A' && c <= 'Z') || c == '_';
         });
}

bool is_usable_host(const std::string& host) {
  if (host.empty() || host.size() > kDnsNameBytesMax) return false;
  if (!std::all_of(host.begin(), host.end(), is_dns_character)) return false;
  if (host.front() == '.' || host.front() == '-') return false;
  if (host.find("..") != std::string::npos) return false;
  const bool is_numeric = std::all_of(host.begin(), host.end(),
                                      [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  return !is_numeric || is_usable_ipv4(host);
}

std::string folded(std::string_view text) {
  std::string out{text};
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::optional<TargetAddress> parse_target_address(std::string_view text, Zone zone) {
  TargetAddress address;
  if (const std::size_t comma = text.find(','); comma != std::string_view::npos) {
    const auto tag = wire::parse_number(text.substr(comma + 1), 0, kU16Max);
    if (!tag) return std::nullopt;
    address.portal_group_tag = static_cast<std::uint16_t>(*tag);
    text = text.substr(0, comma);
  }
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    const std::string_view host = text.substr(1, bracket - 1);
    const std::size_t percent = host.find('%');
    address.host = folded(host.substr(0, percent));
    if (!is_usable_ipv6(address.host)) return std::nullopt;
    if (percent != std::string_view::npos) {
      if (zone == Zone::refused || !is_zone(host.substr(percent))) return std::nullopt;
      address.host += host.substr(percent);
    }
    const std::string_view rest = text.substr(bracket + 1);
    if (!rest.empty() && rest.front() != ':') return std::nullopt;
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else {
    const std::size_t colon = text.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
    address.host = folded(text.substr(0, colon));
    if (!is_usable_host(address.host)) return std::nullopt;
  }
  if (has_port) {
    const auto number = wire::parse_number(port, 1, kU16Max);
    if (!number) return std::nullopt;
    address.port = static_cast<std::uint16_t>(*number);
  }
  return address;
}

std::string to_string(const TargetAddress& address) {
  if (address.is_ipv6()) return fmt::format("[{}]:{}", address.host, address.port);
  return fmt::format("{}:{}", address.host, address.port);
}

}  // namespace pollux::session
