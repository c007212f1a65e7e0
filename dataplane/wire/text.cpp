// Splitter, builder and value parsing of key=value text (RFC 7143 section 6.1). See text.hpp.
#include "dataplane/wire/text.hpp"

#include <cstring>

namespace pollux::wire {
namespace {

constexpr std::size_t kHexDigitsMax = 16;  // 64 bits

bool is_letter(char c) noexcept { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// RFC 7143 6.1: letters, digits and ". - + @ _"; '#' for X#. A standard-label begins with a
// capital, but a peer's small letter is an unknown key to be answered NotUnderstood, not a format
// error.
bool is_key_character(char c) noexcept {
  return is_letter(c) || is_digit(c) ||
         std::string_view{".-+@_#"}.find(c) != std::string_view::npos;
}

TextVerdict check_key(std::string_view key) noexcept {
  if (key.empty() || !is_letter(key.front())) return TextVerdict::bad_key;
  if (key.size() > kTextKeyBytesMax) return TextVerdict::key_too_long;
  for (const char c : key) {
    if (!is_key_character(c)) return TextVerdict::bad_key;
  }
  return TextVerdict::ok;
}

int digit_value(char c, unsigned base) noexcept {
  if (is_digit(c)) return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view text_verdict_words(TextVerdict verdict) noexcept {
  switch (verdict) {
    case TextVerdict::ok:
      return "well formed";
    case TextVerdict::unterminated:
      return "text that does not end with a NUL";
    case TextVerdict::missing_equals:
      return "a string without '='";
    case TextVerdict::bad_key:
      return "a key with a character that no key may have";
    case TextVerdict::key_too_long:
      return "a key of more than 63 characters";
  }
  return "";
}

TextSplitter::TextSplitter(std::span<const std::byte> text) noexcept
    : rest_(reinterpret_cast<const char*>(text.data()), text.size()) {}

std::optional<TextPair> TextSplitter::next() noexcept {
  // Real targets pad with extra NULs between and after pairs (NEG-31): empty strings are skipped.
  const std::size_t begin = rest_.find_first_not_of('\0');
  if (begin == std::string_view::npos || verdict_ != TextVerdict::ok) {
    rest_ = {};
    return std::nullopt;
  }
  rest_.remove_prefix(begin);
  const std::size_t end = rest_.find('\0');
  if (end == std::string_view::npos) {
    verdict_ = TextVerdict::unterminated;
    return std::nullopt;
  }
  const std::string_view text = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  const std::size_t equals = text.find('=');  // RFC 7143 6.1: the first '=' ends the key
  if (equals == std::string_view::npos) {
    verdict_ = TextVerdict::missing_equals;
    return std::nullopt;
  }
  const TextPair pair{text.substr(0, equals), text.substr(equals + 1)};
  verdict_ = check_key(pair.key);
  if (verdict_ != TextVerdict::ok) return std::nullopt;
  return pair;
}

bool TextBuilder::append(std::string_view key, std::string_view value) noexcept {
  if (text_pair_bytes(key, value) > buffer_.size() - used_bytes_) return false;
  std::byte* out = buffer_.data() + used_bytes_;
  std::memcpy(out, key.data(), key.size());
  out[key.size()] = std::byte{'='};
  if (!value.empty()) std::memcpy(out + key.size() + 1, value.data(), value.size());
  out[key.size() + 1 + value.size()] = std::byte{0};
  used_bytes_ += text_pair_bytes(key, value);
  return true;
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t min,
                                          std::uint64_t max) noexcept {
  unsigned base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
    if (text.size() > kHexDigitsMax) return std::nullopt;
  } else if (text.size() > 1 && text.front() == '0') {
    return std::nullopt;  // RFC 7143 6.1: decimal-constant has no leading zero, and octal does not
                          // exist
  }
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    const int digit = digit_value(c, base);
    if (digit < 0) return std::nullopt;
    if (value > (UINT64_MAX - static_cast<unsigned>(digit)) / base) return std::nullopt;
    value = value * base + static_cast<unsigned>(digit);
  }
  if (value < min || value > max) return std::nullopt;
  return value;
}

std::optional<bool> parse_boolean(std::string_view text) noexcept {
  if (text == "Yes") return true;
  if (text == "No") return false;
  return std::nullopt;
}

std::optional<std::string_view> ListSplitter::next() noexcept {
  if (is_done_) return std::nullopt;
  const std::size_t comma = rest_.find(',');
  const std::string_view value = rest_.substr(0, comma);
  is_done_ = comma == std::string_view::npos;
  if (!is_done_) rest_.remove_prefix(comma + 1);
  return value;
}

bool list_contains(std::string_view list, std::string_view value) noexcept {
  ListSplitter splitter{list};
  while (const auto entry = splitter.next()) {
    if (*entry == value) return true;
  }
  return false;
}

}  // namespace pollux::wire
