// Counted UTF-16 text, as the MSiSCSI structures hold it, to and from UTF-8: element 0 is the
// length in bytes, the text follows, the rest of the field is zero. Used by the service and the
// client library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pollux::ring {

/// Writes `utf8` into `field` and zeroes what is left. Returns the UTF-16 units written; nothing,
/// with an empty field, when the text is not UTF-8, holds a NUL, or has more units than the field.
[[nodiscard]] std::optional<std::size_t> encode_text(std::span<std::uint16_t> field,
                                                     std::string_view utf8) noexcept;

/// Reads `field`. Nothing when the length is odd or leaves the field, a NUL stands before other
/// text (NULs at the end are padding), or a surrogate stands alone.
[[nodiscard]] std::optional<std::string> decode_text(std::span<const std::uint16_t> field);

/// The same into a caller's buffer, without NUL at the end. `bytes` is what the text needs, also
/// when that is more than the buffer has; then nothing after the buffer's end was written.
struct DecodedText {
  bool is_valid = false;
  std::size_t bytes = 0;
};
[[nodiscard]] DecodedText decode_text_into(std::span<const std::uint16_t> field,
                                           std::span<char> utf8) noexcept;

}  // namespace pollux::ring
