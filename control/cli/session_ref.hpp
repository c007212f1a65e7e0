// How a user names a session or a LUN of one: an id, an iscsi:// URL, the end of a target name, or
// a portal. Ids are taken at their word; the other forms are looked up and must fit exactly one
// session.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/cli/session_list.hpp"

namespace pollux::cli {

/// 0x and up to 16 hexadecimal digits, decimal, or Windows' <16 hex>-<16 hex> (adapter, session).
[[nodiscard]] std::optional<std::uint64_t> parse_session_id(std::string_view text) noexcept;

struct SessionRef {
  std::string session;               ///< what came before "/LUN"
  std::optional<std::uint64_t> lun;  ///< see url/lun.hpp
  std::optional<url::IscsiUrl> url;  ///< when it is one
};

/// Splits SESSION[/LUN] or parses a URL. Failure invalid_argument.
[[nodiscard]] SessionRef parse_session_ref(const std::string& text);

/// The one session that fits. Failure session_not_found, or invalid_argument with the candidates
/// when several do. An id that is not in the list is session_not_found too.
[[nodiscard]] const SessionRow& find_session(const std::vector<SessionRow>& sessions,
                                             const SessionRef& ref);

}  // namespace pollux::cli
