// The IPv6 header and the numbers of its extension headers, the kinds of addresses, and the
// pseudo-header of upper layers. Read first: RFC 8200 3, 4 and 8.1, RFC 4291 2.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pollux::wire {

inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr std::uint16_t kIpv6MtuMin = 1280;  // RFC 8200 5

using Ipv6Bytes = std::array<std::uint8_t, 16>;

/// Values of Next Header that this host knows (RFC 8200 4).
enum Ipv6NextHeader : std::uint8_t {
  kNextHopByHop = 0,
  kNextTcp = 6,
  kNextRouting = 43,
  kNextFragment = 44,
  kNextIcmpv6 = 58,
  kNextNone = 59,
  kNextDestinationOptions = 60,
};

struct Ipv6Header {
  static constexpr std::uint32_t kVersion = 6;

  Be32 version_class_flow{kVersion << 28};
  Be16 payload_length;  ///< of everything behind this header
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 0;
  Ipv6Bytes source{};
  Ipv6Bytes destination{};

  [[nodiscard]] constexpr std::uint32_t version() const noexcept {
    return version_class_flow.get() >> 28;
  }
  [[nodiscard]] constexpr std::uint8_t traffic_class() const noexcept {
    return static_cast<std::uint8_t>(version_class_flow.get() >> 20);
  }
  constexpr void set_class_and_flow(std::uint8_t traffic_class, std::uint32_t label) noexcept {
    version_class_flow.set(kVersion << 28 | std::uint32_t{traffic_class} << 20 |
                           (label & 0xf'ffff));
  }
};
static_assert(WireLayout<Ipv6Header> && sizeof(Ipv6Header) == 40);
static_assert(offsetof(Ipv6Header, payload_length) == 4 && offsetof(Ipv6Header, source) == 8 &&
              offsetof(Ipv6Header, destination) == 24);

inline constexpr Ipv6Bytes kIpv6AllNodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
inline constexpr Ipv6Bytes kIpv6AllRouters{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};

constexpr bool is_ipv6_multicast(const Ipv6Bytes& a) noexcept { return a[0] == 0xff; }
constexpr bool is_ipv6_unspecified(const Ipv6Bytes& a) noexcept { return a == Ipv6Bytes{}; }
constexpr bool is_ipv6_loopback(const Ipv6Bytes& a) noexcept {
  return a == Ipv6Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
}
/// fe80::/10.
constexpr bool is_ipv6_link_local(const Ipv6Bytes& a) noexcept {
  return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}
/// ::ffff:0:0/96 never stands on a wire (RFC 4291 2.5.5.2 is a form of programs).
constexpr bool is_ipv4_mapped(const Ipv6Bytes& a) noexcept {
  return std::all_of(a.begin(), a.begin() + 10, [](std::uint8_t b) { return b == 0; }) &&
         a[10] == 0xff && a[11] == 0xff;
}
/// The first `length` bits of both are the same.
constexpr bool same_ipv6_prefix(const Ipv6Bytes& a, const Ipv6Bytes& b, unsigned length) noexcept {
  const unsigned whole = length / 8;
  for (unsigned i = 0; i < whole; ++i)
    if (a[i] != b[i]) return false;
  const unsigned rest = length % 8;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}
/// RFC 4291 2.7.1: ff02::1:ff00:0/104 with the low 24 bits of the address.
constexpr Ipv6Bytes solicited_node(const Ipv6Bytes& a) noexcept {
  return {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a[13], a[14], a[15]};
}
/// RFC 2464 7: 33-33 and the low 32 bits of the group.
constexpr EthernetAddress multicast_mac(const Ipv6Bytes& group) noexcept {
  return {0x33, 0x33, group[12], group[13], group[14], group[15]};
}
/// RFC 4291 appendix A: modified EUI-64 behind the first 64 bits of `prefix`.
constexpr Ipv6Bytes with_interface_id(const Ipv6Bytes& prefix,
                                      const EthernetAddress& mac) noexcept {
  Ipv6Bytes out = prefix;
  const std::array<std::uint8_t, 8> id{
      static_cast<std::uint8_t>(mac[0] ^ 2), mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
  std::copy(id.begin(), id.end(), out.begin() + 8);
  return out;
}

/// RFC 8200 8.1: both addresses, the length of the upper-layer packet, its protocol.
inline InternetSum ipv6_pseudo_header(const Ipv6Bytes& source, const Ipv6Bytes& destination,
                                      std::uint8_t protocol, std::uint32_t length) noexcept {
  struct {
    Ipv6Bytes source, destination;
    Be32 length;
    std::array<std::uint8_t, 3> zero{};
    std::uint8_t next_header;
  } const pseudo{source, destination, Be32{length}, {}, protocol};
  static_assert(sizeof pseudo == 40);
  InternetSum sum;
  sum.add(std::as_bytes(std::span(&pseudo, 1)));
  return sum;
}

}  // namespace pollux::wire
