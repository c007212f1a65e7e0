// The IPv4 header of RFC 791 section 3.1 without options.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;

/// RFC 3168 5: the lower two bits of type of service, and of IPv6's traffic class.
enum EcnCodepoint : std::uint8_t {
  kEcnNotEct = 0,
  kEcnEct1 = 1,
  kEcnEct0 = 2,
  kEcnCe = 3,
};
inline constexpr std::uint8_t kEcnMask = 3;

struct Ipv4Header {
  static constexpr std::uint8_t kVersion4NoOptions = 0x45;
  static constexpr std::uint16_t kDontFragment = 0x4000;
  static constexpr std::uint16_t kMoreFragments = 0x2000;
  static constexpr std::uint16_t kFragmentOffsetMask = 0x1fff;
  static constexpr std::size_t kBytesMax = 60;

  std::uint8_t version_ihl = kVersion4NoOptions;
  std::uint8_t type_of_service = 0;
  Be16 total_length;
  Be16 identification;
  Be16 flags_fragment_offset;
  std::uint8_t time_to_live = 0;
  std::uint8_t protocol = 0;
  Be16 header_checksum;
  Be32 source;
  Be32 destination;

  [[nodiscard]] constexpr std::uint32_t version() const noexcept { return version_ihl >> 4; }
  [[nodiscard]] constexpr std::uint32_t header_bytes() const noexcept {
    return (version_ihl & 15u) * 4;
  }
  [[nodiscard]] constexpr bool is_fragment() const noexcept {
    return (flags_fragment_offset.get() & (kMoreFragments | kFragmentOffsetMask)) != 0;
  }
};
static_assert(WireLayout<Ipv4Header> && sizeof(Ipv4Header) == 20);
static_assert(offsetof(Ipv4Header, total_length) == 2 && offsetof(Ipv4Header, protocol) == 9 &&
              offsetof(Ipv4Header, header_checksum) == 10 && offsetof(Ipv4Header, source) == 12);

}  // namespace pollux::wire
