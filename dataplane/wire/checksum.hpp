// The Internet checksum (RFC 1071) over chains of pieces. A piece may have any length: an odd one
// that is not the last makes the next one start in the middle of a 16-bit word, which common
// helpers get wrong. Incremental update after RFC 1624.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

/// A sum of 16-bit words, its carries added in.
constexpr std::uint32_t fold16(std::uint64_t sum) noexcept {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>(sum);
}

/// One's complement sum of 16-bit words, built up piece by piece. Kept in the byte order of the
/// machine, which RFC 1071 2(B) allows, and swapped once at the end.
class InternetSum {
 public:
  constexpr InternetSum() noexcept = default;

  /// The pseudo-header of RFC 9293 3.1: addresses, protocol, length of the transport segment.
  static InternetSum pseudo_header(Be32 source, Be32 destination, std::uint8_t protocol,
                                   std::uint16_t length) noexcept;

  void add(std::span<const std::byte> piece) noexcept;

  /// The sum folded to 16 bits, as it lies in a header field; 0xffff over data that includes a
  /// right checksum.
  [[nodiscard]] std::uint16_t folded() const noexcept;
  /// What goes into the checksum field.
  [[nodiscard]] Be16 checksum() const noexcept {
    return Be16(static_cast<std::uint16_t>(~folded()));
  }
  /// The data included its checksum: is it right?
  [[nodiscard]] bool verifies() const noexcept { return folded() == 0xffff; }

 private:
  std::uint64_t sum_ = 0;  // of words in machine order, folded to 16 bits after each piece
  bool odd_ = false;       // an odd number of bytes is in
};

static_assert(std::endian::native == std::endian::little);

inline InternetSum InternetSum::pseudo_header(Be32 source, Be32 destination, std::uint8_t protocol,
                                              std::uint16_t length) noexcept {
  InternetSum sum;
  sum.sum_ = std::uint64_t{std::bit_cast<std::uint32_t>(source)} +
             std::bit_cast<std::uint32_t>(destination) + byteswap(std::uint16_t{protocol}) +
             byteswap(length);
  sum.sum_ = fold16(sum.sum_);
  return sum;
}

inline std::uint16_t InternetSum::folded() const noexcept {
  return byteswap(static_cast<std::uint16_t>(fold16(sum_)));
}

/// The new checksum after one 16-bit word of the data has changed (RFC 1624 equation 3).
[[nodiscard]] Be16 update_checksum(Be16 checksum, Be16 old_word, Be16 new_word) noexcept;

}  // namespace pollux::wire
