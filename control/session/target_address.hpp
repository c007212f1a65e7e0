// TargetAddress values (RFC 7143 13.8): domainname[:port][,portal-group-tag], as they come in
// redirections and in SendTargets answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pollux::session {

inline constexpr std::uint16_t kIscsiPort = 3260;  ///< RFC 7143 13.8, the default

struct TargetAddress {
  std::string host;  ///< dotted IPv4, IPv6 without brackets (perhaps with %zone), or a DNS name in
                     ///< small letters
  std::uint16_t port = kIscsiPort;
  std::optional<std::uint16_t> portal_group_tag;

  [[nodiscard]] bool is_ipv6() const noexcept { return host.find(':') != std::string::npos; }
  friend bool operator==(const TargetAddress&, const TargetAddress&) = default;
};

/// Nothing when the text is malformed, or names a place no target can be at (0.0.0.0, ::,
/// multicast, broadcast, port 0).
/// A zone ("fe80::1%lab0", RFC 4007 11) is for people of this machine: what a target sends has
/// none.
enum class Zone : bool { refused, allowed };
[[nodiscard]] std::optional<TargetAddress> parse_target_address(std::string_view text,
                                                                Zone zone = Zone::refused);

/// "host:port", IPv6 in brackets; the tag is left out.
[[nodiscard]] std::string to_string(const TargetAddress& address);

}  // namespace pollux::session
