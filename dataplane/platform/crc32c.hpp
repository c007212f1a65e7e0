// CRC32C (Castagnoli) as iSCSI digests use it: RFC 7143 13.1, with the byte order of appendix A.4.
// A running register can be fed piece by piece, so that a digest follows a PDU across packets, and
// can be fused with a copy so that each byte is fetched from memory once.
#pragma once

#include <nmmintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pollux::platform {

/// RFC 7143 13.1: the register starts at all ones and the result is its complement.
inline constexpr std::uint32_t kCrc32cStart = 0xffff'ffff;

inline constexpr std::size_t kCrc32cWireBytes = 4;
using Crc32cWire = std::array<std::byte, kCrc32cWireBytes>;

/// Feeds bytes to a running register (which is not complemented). Any alignment, any length.
[[nodiscard]] std::uint32_t crc32c_extend(std::uint32_t state,
                                          std::span<const std::byte> bytes) noexcept;

/// Copies `length` bytes from `source` to `destination` and feeds them to the register. What is
/// summed is what was stored, so a source that changes under the copy cannot pass unnoticed. No
/// overlap.
[[nodiscard]] std::uint32_t crc32c_copy_extend(std::uint32_t state, std::byte* destination,
                                               const std::byte* source,
                                               std::size_t length) noexcept;

[[nodiscard]] constexpr std::uint32_t crc32c_finish(std::uint32_t state) noexcept { return ~state; }

/// The final value of one piece.
[[nodiscard]] inline std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
  return crc32c_finish(crc32c_extend(kCrc32cStart, bytes));
}

/// The final value of the 48 bytes of a basic header segment: six dependent instructions, no call.
[[nodiscard]] inline std::uint32_t crc32c_header48(const std::byte* header) noexcept {
  std::uint64_t state = kCrc32cStart;
  for (std::size_t offset = 0; offset < 48; offset += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, header + offset, sizeof(word));
    state = _mm_crc32_u64(state, word);
  }
  return crc32c_finish(static_cast<std::uint32_t>(state));
}

/// RFC 7143 A.4: the one field of iSCSI whose integer goes out least significant byte first.
[[nodiscard]] constexpr Crc32cWire crc32c_wire(std::uint32_t value) noexcept {
  static_assert(std::endian::native == std::endian::little);
  return std::bit_cast<Crc32cWire>(value);
}

/// A digest under way.
class Crc32c {
 public:
  void extend(std::span<const std::byte> bytes) noexcept { state_ = crc32c_extend(state_, bytes); }
  void copy_extend(std::byte* destination, const std::byte* source, std::size_t length) noexcept {
    state_ = crc32c_copy_extend(state_, destination, source, length);
  }
  [[nodiscard]] std::uint32_t value() const noexcept { return crc32c_finish(state_); }
  [[nodiscard]] Crc32cWire wire() const noexcept { return crc32c_wire(value()); }
  void reset() noexcept { state_ = kCrc32cStart; }

 private:
  std::uint32_t state_ = kCrc32cStart;
};

}  // namespace pollux::platform
