// Initiator session identifiers (RFC 7143 11.12.5).
#pragma once

#include <cstdint>

#include "dataplane/wire/bhs.hpp"

namespace pollux::session {

inline constexpr std::uint8_t kIsidTypeMask = 0xc0;
inline constexpr std::uint8_t kIsidTypeRandom = 0x80;

/// Type 10: 24 random bits and a 16-bit qualifier. The caller brings the randomness and keeps the
/// result: persistent reservations hang on it.
[[nodiscard]] constexpr wire::Isid make_random_isid(std::uint32_t random,
                                                    std::uint16_t qualifier) noexcept {
  return {kIsidTypeRandom,
          static_cast<std::uint8_t>(random >> 16),
          static_cast<std::uint8_t>(random >> 8),
          static_cast<std::uint8_t>(random),
          static_cast<std::uint8_t>(qualifier >> 8),
          static_cast<std::uint8_t>(qualifier)};
}

/// Type 11 is reserved; types 01 and 10 keep the low six bits of the first byte zero (LOG-04).
[[nodiscard]] constexpr bool is_legal_isid(const wire::Isid& isid) noexcept {
  const std::uint8_t type = isid[0] & kIsidTypeMask;
  if (type == kIsidTypeMask) return false;
  return type == 0 || (isid[0] & static_cast<std::uint8_t>(~kIsidTypeMask)) == 0;
}

}  // namespace pollux::session
