// The tag of IEEE 802.1Q clause 9.6, which stands between the source address and the ether type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;  ///< TPID of a C-VLAN tag
inline constexpr std::size_t kVlanTagBytes = 4;
inline constexpr std::size_t kVlanTagOffset = 12;  ///< in the frame: where the ether type was
inline constexpr std::uint16_t kVlanIdMask = 0x0fff;
inline constexpr std::uint16_t kVlanIdMax = 4094;  ///< 4095 is reserved, 0 means priority only

struct VlanTag {
  Be16 protocol{kEtherTypeVlan};
  Be16 control;  ///< PCP (3 bits), DEI, VID (12 bits)

  [[nodiscard]] constexpr std::uint16_t id() const noexcept { return control.get() & kVlanIdMask; }
};
static_assert(WireLayout<VlanTag> && sizeof(VlanTag) == kVlanTagBytes);

constexpr std::uint16_t vlan_control(unsigned priority, unsigned id) noexcept {
  return static_cast<std::uint16_t>((priority & 7u) << 13 | (id & kVlanIdMask));
}

}  // namespace pollux::wire
