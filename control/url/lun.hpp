// Logical unit numbers as people write them and as the wire carries them (SAM-5 4.7).
// A LUN is held as the integer whose big-endian bytes are the eight bytes of the LUN field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/result.hpp"

namespace pollux::url {

/// SAM-5 4.7.7.3: flat space addressing has 14 bits.
inline constexpr std::uint32_t kLunNumberMax = 16383;

/// Peripheral device addressing below 256, flat space addressing up to kLunNumberMax.
[[nodiscard]] std::uint64_t encode_lun(std::uint32_t number) noexcept;

/// "3" or "0x0003000000000000" (all eight bytes, for anything else a target may have).
[[nodiscard]] Result<std::uint64_t> parse_lun(std::string_view text);

/// The shortest form that parse_lun reads back.
[[nodiscard]] std::string format_lun(std::uint64_t lun);

}  // namespace pollux::url
