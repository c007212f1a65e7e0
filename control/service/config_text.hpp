// Small text forms shared by the configuration's reader and writer: addresses, and the nearest
// known word for one that was mistyped.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/net/interface_config.hpp"

namespace pollux::service {

/// Dotted IPv4 only, as a mapped address.
[[nodiscard]] std::optional<net::IpAddress> parse_ipv4(std::string_view text) noexcept;
/// An IPv6 address of RFC 4291 2.2, without a zone; no mapped IPv4 address.
[[nodiscard]] std::optional<net::IpAddress> parse_ipv6(std::string_view text) noexcept;
/// "10.99.0.2/24"; the host part must be an address a machine can have.
[[nodiscard]] std::optional<net::InterfaceConfig> parse_interface_address(
    std::string_view text) noexcept;
struct Ipv6Prefix {
  net::IpAddress address;
  std::uint8_t length = 0;
};
/// "fd99::2/64"; an address a machine can have, other than a link-local one.
[[nodiscard]] std::optional<Ipv6Prefix> parse_interface_ipv6(std::string_view text) noexcept;
/// Dotted for a mapped IPv4 address, else the RFC 5952 form.
[[nodiscard]] std::string to_text(const net::IpAddress& address);
/// "10.99.0.1:3260", an IPv6 address in brackets.
[[nodiscard]] std::string to_text(const net::Endpoint& endpoint);

/// The candidate at most two edits away (a third of the word at most), or nothing.
[[nodiscard]] std::optional<std::string_view> nearest_word(
    std::string_view word, std::span<const std::string_view> candidates);

// What an address may be, in the words of an error.
inline constexpr std::string_view kAddressAllowed =
    "an IPv4 address with its prefix length, like \"10.99.0.2/24\"";
inline constexpr std::string_view kGatewayAllowed = "an IPv4 address, like \"10.99.0.1\"";
inline constexpr std::string_view kIpv6AddressAllowed =
    "an IPv6 address with its prefix length, like \"fd99::2/64\"";
inline constexpr std::string_view kIpv6GatewayAllowed =
    "an IPv6 address, like \"fd99::1\" or \"fe80::1\"";

}  // namespace pollux::service
