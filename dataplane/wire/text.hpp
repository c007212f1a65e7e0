// key=value text of Login and Text PDUs (RFC 7143 section 6.1): splitting, building, and the values
// that have one spelling (numbers, booleans, lists). No meaning: which key may say what, and when,
// is decided in control/session/negotiation. Nothing here allocates or keeps a pointer past its
// object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pollux::wire {

inline constexpr std::size_t kTextKeyBytesMax = 63;  ///< RFC 7143 6.1, standard-label

/// One pair. Both views point into the buffer that was split.
struct TextPair {
  std::string_view key;
  std::string_view value;
};

/// Why a buffer is not key=value text.
enum class TextVerdict : std::uint8_t {
  ok,
  unterminated,    ///< bytes behind the last NUL (NEG-30)
  missing_equals,  ///< a string without '='
  bad_key,         ///< empty, or a character no standard-label has
  key_too_long,
};
[[nodiscard]] std::string_view text_verdict_words(TextVerdict verdict) noexcept;

/// Walks over a complete text (C-bit parts already joined). The first fault ends the walk.
class TextSplitter {
 public:
  explicit TextSplitter(std::span<const std::byte> text) noexcept;

  /// The next pair, or nothing at the end and at the first fault; verdict() tells which.
  [[nodiscard]] std::optional<TextPair> next() noexcept;
  [[nodiscard]] TextVerdict verdict() const noexcept { return verdict_; }

 private:
  std::string_view rest_;
  TextVerdict verdict_ = TextVerdict::ok;
};

/// Bytes a pair takes on the wire, with '=' and NUL.
[[nodiscard]] constexpr std::size_t text_pair_bytes(std::string_view key,
                                                    std::string_view value) noexcept {
  return key.size() + value.size() + 2;
}

/// Appends pairs to the caller's buffer, which must outlive the builder.
class TextBuilder {
 public:
  explicit TextBuilder(std::span<std::byte> buffer) noexcept : buffer_(buffer) {}

  /// False, with nothing written, when the pair does not fit.
  [[nodiscard]] bool append(std::string_view key, std::string_view value) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return used_bytes_; }

 private:
  std::span<std::byte> buffer_;
  std::size_t used_bytes_ = 0;
};

/// A decimal or 0x/0X number within [min, max]. Signs, spaces, fractions, leading zeros (no octal),
/// empty text and anything that does not fit 64 bits are refused (RFC 7143 6.1).
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t min,
                                                        std::uint64_t max) noexcept;

/// Exactly "Yes" or "No".
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text) noexcept;

/// Walks over a comma-separated list of values, in order. Empty entries are returned as such.
class ListSplitter {
 public:
  explicit ListSplitter(std::string_view list) noexcept : rest_(list) {}
  [[nodiscard]] std::optional<std::string_view> next() noexcept;

 private:
  std::string_view rest_;
  bool is_done_ = false;
};

[[nodiscard]] bool list_contains(std::string_view list, std::string_view value) noexcept;

}  // namespace pollux::wire
