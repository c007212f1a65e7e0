// Addresses are 16 bytes everywhere; an IPv4 address is held as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>

namespace pollux::net {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                std::uint8_t d) noexcept {
    return IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
  }
  [[nodiscard]] constexpr bool is_v4() const noexcept {
    const Words w = words();
    return w[0] == 0 && (w[1] & 0xffff'ffff) == kV4Prefix;
  }
  /// The four bytes of a mapped address as an integer in host order.
  [[nodiscard]] constexpr std::uint32_t v4_host() const noexcept {
    return std::uint32_t{bytes[12]} << 24 | std::uint32_t{bytes[13]} << 16 |
           std::uint32_t{bytes[14]} << 8 | bytes[15];
  }
  static constexpr IpAddress from_v4_host(std::uint32_t host) noexcept {
    const std::uint64_t on_wire = __builtin_bswap32(host);
    return {std::bit_cast<std::array<std::uint8_t, 16>>(Words{0, kV4Prefix | on_wire << 32})};
  }
  /// fe80::/10. Inside pollux such an address may carry the zone of its link (RFC 4007 6) in bytes
  /// 2 and 3, which are zero on every wire (RFC 4291 2.5.6). Engines and frames see it without.
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  }
  /// 0: no zone was named.
  [[nodiscard]] constexpr unsigned zone() const noexcept {
    return is_link_local() ? unsigned{bytes[2]} << 8 | bytes[3] : 0u;
  }
  [[nodiscard]] constexpr IpAddress with_zone(unsigned zone) const noexcept {
    IpAddress out = *this;
    if (is_link_local()) {
      out.bytes[2] = static_cast<std::uint8_t>(zone >> 8);
      out.bytes[3] = static_cast<std::uint8_t>(zone);
    }
    return out;
  }
  /// As they lie in memory. Whoever compares or hashes an address does so for every segment.
  using Words = std::array<std::uint64_t, 2>;
  [[nodiscard]] constexpr Words words() const noexcept { return std::bit_cast<Words>(bytes); }
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) noexcept {
    const Words x = a.words();
    const Words y = b.words();
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
  }

  static_assert(std::endian::native == std::endian::little);
  static constexpr std::uint64_t kV4Prefix = 0xffff'0000;  // 00 00 ff ff
};

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend constexpr bool operator==(const Endpoint&, const Endpoint&) noexcept = default;
};

}  // namespace pollux::net
