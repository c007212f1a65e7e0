// iSCSI node names (RFC 7143 4.2.7, RFC 3722). A name is folded to its one spelling (ASCII small
// letters) or refused with the reason; after that names compare byte for byte. Names outside ASCII
// would need the tables of stringprep and NFKC and are refused instead (RFC 3722 allows neither
// form unfolded).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pollux::session {

inline constexpr std::size_t kIscsiNameBytesMax = 223;  ///< RFC 7143 4.2.7.1

enum class NameVerdict : std::uint8_t {
  ok,
  empty,
  too_long,
  prohibited_character,  ///< RFC 3722 6.2
  not_ascii,
  unknown_type,  ///< neither iqn., eui. nor naa.
  bad_iqn,       ///< RFC 7143 4.2.7.4: iqn.yyyy-mm.reversed-domain[:text]
  bad_eui,       ///< 4.2.7.5: 16 hex digits
  bad_naa,       ///< 4.2.7.6: 16 or 32 hex digits
};
[[nodiscard]] std::string_view name_verdict_words(NameVerdict verdict) noexcept;

struct FoldedName {
  NameVerdict verdict = NameVerdict::ok;
  std::string name;  ///< empty unless ok
};
[[nodiscard]] FoldedName fold_iscsi_name(std::string_view text);

}  // namespace pollux::session
