// Unsigned integers stored most significant byte first, as every header on the wire has them.
// Alignment is 1, so structs of these have no padding and can be copied from any address.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace pollux {

constexpr std::uint16_t byteswap(std::uint16_t v) noexcept { return __builtin_bswap16(v); }
constexpr std::uint32_t byteswap(std::uint32_t v) noexcept { return __builtin_bswap32(v); }
constexpr std::uint64_t byteswap(std::uint64_t v) noexcept { return __builtin_bswap64(v); }

/// No implicit conversion either way: a value is read with get() and written with set().
template <std::unsigned_integral T>
class BigEndian {
 public:
  constexpr BigEndian() noexcept = default;
  constexpr explicit BigEndian(T host) noexcept { set(host); }
  [[nodiscard]] constexpr T get() const noexcept { return to_host(std::bit_cast<T>(bytes_)); }
  constexpr void set(T host) noexcept { bytes_ = std::bit_cast<Bytes>(to_host(host)); }
  friend constexpr bool operator==(const BigEndian&, const BigEndian&) noexcept = default;

 private:
  using Bytes = std::array<std::byte, sizeof(T)>;
  static constexpr T to_host(T v) noexcept {
    if constexpr (std::endian::native == std::endian::little) return byteswap(v);
    return v;
  }
  Bytes bytes_{};
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Be64 = BigEndian<std::uint64_t>;

/// 24-bit length field of iSCSI headers (RFC 7143 section 11.2.1.6).
class Be24 {
 public:
  [[nodiscard]] constexpr std::uint32_t get() const noexcept {
    return std::to_integer<std::uint32_t>(bytes_[0]) << 16 |
           std::to_integer<std::uint32_t>(bytes_[1]) << 8 |
           std::to_integer<std::uint32_t>(bytes_[2]);
  }
  constexpr void set(std::uint32_t host) noexcept {
    bytes_[0] = static_cast<std::byte>(host >> 16);
    bytes_[1] = static_cast<std::byte>(host >> 8);
    bytes_[2] = static_cast<std::byte>(host);
  }

 private:
  std::array<std::byte, 3> bytes_{};
};

/// A struct that may be copied from and to the wire byte for byte.
template <class T>
concept WireLayout = std::is_trivially_copyable_v<T> && alignof(T) == 1 &&
                     std::has_unique_object_representations_v<T>;

/// Copies a layout out of bytes. The caller has checked that sizeof(T) bytes are there.
template <WireLayout T>
[[nodiscard]] inline T load(const std::byte* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <WireLayout T>
inline void store(std::byte* bytes, const T& value) noexcept {
  std::memcpy(bytes, &value, sizeof(T));
}

}  // namespace pollux
