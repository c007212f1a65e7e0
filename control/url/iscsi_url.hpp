// iscsi:// URLs and portal texts, the way users of other initiators write them:
//   iscsi://[user@]host[:port][/target[/lun]][?header_digest=crc32c&data_digest=none]
// IPv6 hosts stand in brackets. Parsing touches no network: a host may be a name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/result.hpp"

namespace pollux::url {

/// RFC 7143 13.8: the port when none is given.
inline constexpr std::uint16_t kDefaultPort = 3260;

struct Portal {
  std::string host;  ///< dotted IPv4, IPv6 without brackets, or a name
  std::uint16_t port = kDefaultPort;

  friend bool operator==(const Portal&, const Portal&) = default;
};

enum class Digest : std::uint8_t { none, crc32c };

struct IscsiUrl {
  std::string user;  ///< CHAP name, empty when there is none
  Portal portal;
  std::string target;                ///< empty for a URL that names only a portal
  std::optional<std::uint64_t> lun;  ///< see lun.hpp for the form
  std::optional<Digest> header_digest;
  std::optional<Digest> data_digest;
};

/// True for any text that looks like a URL, also one of a scheme we do not take.
[[nodiscard]] bool is_url(std::string_view text) noexcept;

/// Errors are POLLUX_EINVAL with a sentence that says which part is wrong. Passwords are refused:
/// a URL shows in process lists and shell histories.
[[nodiscard]] Result<IscsiUrl> parse_url(std::string_view text);

/// host, host:port, [v6], [v6]:port or a bare IPv6 address. A ",tag" as discovery prints it is
/// dropped.
[[nodiscard]] Result<Portal> parse_portal(std::string_view text);

/// "none" or "crc32c" (in any case, as RFC 7143 writes "CRC32C").
[[nodiscard]] Result<Digest> parse_digest(std::string_view text);

/// RFC 7143 4.2.7: iqn., eui. or naa., at most 223 bytes, no white space or control characters.
[[nodiscard]] bool is_iscsi_name(std::string_view text) noexcept;

/// "host:port", IPv6 in brackets.
[[nodiscard]] std::string format_portal(const Portal& portal);

}  // namespace pollux::url
