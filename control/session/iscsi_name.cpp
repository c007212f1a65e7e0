// Checks and folding of iSCSI names. See iscsi_name.hpp.
#include "control/session/iscsi_name.hpp"

#include <algorithm>

namespace pollux::session {
namespace {

constexpr std::size_t kTypePrefixBytes = 4;  // "iqn."

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_hex(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool is_small_letter(char c) noexcept { return c >= 'a' && c <= 'z'; }

// RFC 3722 6.2 prohibits U+0000-002C, 002F, 003B-0040, 005B-0060 and 007B-007F: what is left of
// ASCII after folding is this.
bool is_name_character(char c) noexcept {
  return is_small_letter(c) || is_digit(c) || c == '-' || c == '.' || c == ':';
}

// "yyyy-mm." and then at least one label before the optional ':'.
bool is_iqn(std::string_view rest) noexcept {
  constexpr std::size_t kDateBytes = 8;
  if (rest.size() <= kDateBytes) return false;
  const std::string_view date = rest.substr(0, kDateBytes);
  if (!std::all_of(date.begin(), date.begin() + 4, is_digit)) return false;
  if (date[4] != '-' || !is_digit(date[5]) || !is_digit(date[6]) || date[7] != '.') return false;
  const int month = (date[5] - '0') * 10 + (date[6] - '0');
  if (month < 1 || month > 12) return false;
  const std::string_view domain = rest.substr(kDateBytes, rest.find(':') - kDateBytes);
  if (domain.empty() || domain.front() == '.' || domain.back() == '.') return false;
  return domain.find("..") == std::string_view::npos;
}

bool is_hex_text(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), is_hex);
}

NameVerdict check_folded(std::string_view name) noexcept {
  if (!std::all_of(name.begin(), name.end(), is_name_character)) {
    return NameVerdict::prohibited_character;
  }
  const std::string_view rest = name.substr(std::min(name.size(), kTypePrefixBytes));
  if (name.starts_with("iqn.")) return is_iqn(rest) ? NameVerdict::ok : NameVerdict::bad_iqn;
  if (name.starts_with("eui.")) {
    return rest.size() == 16 && is_hex_text(rest) ? NameVerdict::ok : NameVerdict::bad_eui;
  }
  if (name.starts_with("naa.")) {
    const bool has_length = rest.size() == 16 || rest.size() == 32;
    return has_length && is_hex_text(rest) ? NameVerdict::ok : NameVerdict::bad_naa;
  }
  return NameVerdict::unknown_type;
}

}  // namespace

std::string_view name_verdict_words(NameVerdict verdict) noexcept {
  switch (verdict) {
    case NameVerdict::ok:
      return "a legal iSCSI name";
    case NameVerdict::empty:
      return "empty";
    case NameVerdict::too_long:
      return "longer than 223 bytes";
    case NameVerdict::prohibited_character:
      return "holding a character that iSCSI names must not have";
    case NameVerdict::not_ascii:
      return "not plain ASCII";
    case NameVerdict::unknown_type:
      return "not beginning with iqn., eui. or naa.";
    case NameVerdict::bad_iqn:
      return "not of the form iqn.yyyy-mm.reversed.domain[:text]";
    case NameVerdict::bad_eui:
      return "not eui. followed by 16 hexadecimal digits";
    case NameVerdict::bad_naa:
      return "not naa. followed by 16 or 32 hexadecimal digits";
  }
  return "";
}

FoldedName fold_iscsi_name(std::string_view text) {
  if (text.empty()) return {NameVerdict::empty, {}};
  if (text.size() > kIscsiNameBytesMax) return {NameVerdict::too_long, {}};
  const auto is_outside_ascii = [](char c) { return static_cast<unsigned char>(c) > 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_outside_ascii)) return {NameVerdict::not_ascii, {}};
  std::string folded{text};
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const NameVerdict verdict = check_folded(folded);
  if (verdict != NameVerdict::ok) return {verdict, {}};
  return {NameVerdict::ok, std::move(folded)};
}

}  // namespace pollux::session
