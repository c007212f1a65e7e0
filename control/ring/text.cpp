// UTF-8 and UTF-16, strictly: overlong forms, lone surrogates and code points past U+10FFFF are
// refused in both directions, because a name that two decoders read differently names two things.
#include "control/ring/text.hpp"

#include <algorithm>
#include <array>

namespace pollux::ring {
namespace {

constexpr std::uint32_t kInvalid = 0xffffffff;
constexpr std::uint32_t kCodePointMax = 0x10ffff;

constexpr bool is_surrogate(std::uint32_t code) { return code >= 0xd800 && code <= 0xdfff; }

// Takes one code point off the front of `text`; kInvalid when there is none.
std::uint32_t take_utf8(std::string_view& text) noexcept {
  const auto byte_at = [&](std::size_t index) { return static_cast<std::uint8_t>(text[index]); };
  const std::uint8_t first = byte_at(0);
  if (first < 0x80) {
    text.remove_prefix(1);
    return first;
  }
  std::size_t length = 0;
  std::uint32_t code = 0;
  std::uint32_t smallest = 0;
  if ((first & 0xe0) == 0xc0) {
    length = 2, code = first & 0x1fu, smallest = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code = first & 0x0fu, smallest = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    length = 4, code = first & 0x07u, smallest = 0x10000;
  }
  if (length == 0 || text.size() < length) return kInvalid;
  for (std::size_t index = 1; index < length; ++index) {
    if ((byte_at(index) & 0xc0) != 0x80) return kInvalid;
    code = code << 6 | (byte_at(index) & 0x3fu);
  }
  if (code < smallest || code > kCodePointMax || is_surrogate(code)) return kInvalid;
  text.remove_prefix(length);
  return code;
}

std::uint32_t take_utf16(std::span<const std::uint16_t>& text) noexcept {
  const std::uint32_t first = text[0];
  if (!is_surrogate(first)) {
    text = text.subspan(1);
    return first;
  }
  if (first >= 0xdc00 || text.size() < 2) return kInvalid;
  const std::uint32_t second = text[1];
  if (second < 0xdc00 || second > 0xdfff) return kInvalid;
  text = text.subspan(2);
  return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

struct Utf8 {
  std::array<char, 4> bytes;
  std::size_t count;
};

Utf8 to_utf8(std::uint32_t code) noexcept {
  const auto tail = [&](unsigned shift) {
    return static_cast<char>(0x80 | (code >> shift & 0x3f));
  };
  if (code < 0x80) return {{static_cast<char>(code)}, 1};
  if (code < 0x800) return {{static_cast<char>(0xc0 | code >> 6), tail(0)}, 2};
  if (code < 0x10000) return {{static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)}, 3};
  return {{static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)}, 4};
}

// The text part of a field without padding; nothing when the length cannot be right.
std::optional<std::span<const std::uint16_t>> body_of(
    std::span<const std::uint16_t> field) noexcept {
  if (field.empty()) return std::nullopt;
  const std::size_t bytes = field[0];
  if (bytes % 2 != 0 || bytes / 2 > field.size() - 1) return std::nullopt;
  std::span<const std::uint16_t> body = field.subspan(1, bytes / 2);
  while (!body.empty() && body.back() == 0) body = body.first(body.size() - 1);
  return body;
}

}  // namespace

std::optional<std::size_t> encode_text(std::span<std::uint16_t> field,
                                       std::string_view utf8) noexcept {
  std::fill(field.begin(), field.end(), std::uint16_t{0});
  if (field.empty()) return std::nullopt;
  std::size_t units = 0;
  while (!utf8.empty()) {
    const std::uint32_t code = take_utf8(utf8);
    const std::size_t wanted = code >= 0x10000 ? 2 : 1;
    if (code == kInvalid || code == 0 || units + wanted > field.size() - 1) {
      std::fill(field.begin(), field.end(), std::uint16_t{0});
      return std::nullopt;
    }
    if (wanted == 2) {
      field[1 + units] = static_cast<std::uint16_t>(0xd800 + ((code - 0x10000) >> 10));
      field[2 + units] = static_cast<std::uint16_t>(0xdc00 + ((code - 0x10000) & 0x3ff));
    } else {
      field[1 + units] = static_cast<std::uint16_t>(code);
    }
    units += wanted;
  }
  field[0] = static_cast<std::uint16_t>(units * 2);
  return units;
}

DecodedText decode_text_into(std::span<const std::uint16_t> field, std::span<char> utf8) noexcept {
  const auto body = body_of(field);
  if (!body) return {};
  DecodedText decoded{.is_valid = true, .bytes = 0};
  for (std::span<const std::uint16_t> rest = *body; !rest.empty();) {
    const std::uint32_t code = take_utf16(rest);
    if (code == kInvalid || code == 0) return {};
    const Utf8 encoded = to_utf8(code);
    for (std::size_t index = 0; index < encoded.count; ++index, ++decoded.bytes) {
      if (decoded.bytes < utf8.size()) utf8[decoded.bytes] = encoded.bytes[index];
    }
  }
  return decoded;
}

std::optional<std::string> decode_text(std::span<const std::uint16_t> field) {
  std::string text(field.size() * 3, '\0');
  const DecodedText decoded = decode_text_into(field, text);
  if (!decoded.is_valid) return std::nullopt;
  text.resize(decoded.bytes);
  return text;
}

}  // namespace pollux::ring
