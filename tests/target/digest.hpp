// CRC32C for the target's digests, by the SSE4.2 instruction that every x86-64-v2 machine has. On
// purpose not the initiator's code: a mistake in one of them shows as a digest error.
#pragma once

#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pollux::target {

class Digest {
 public:
  void extend(std::span<const std::byte> bytes) noexcept {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t state = state_;
    for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t)) {
      std::uint64_t word;
      std::memcpy(&word, at, sizeof(word));
      state = _mm_crc32_u64(state, word);
      at += sizeof(word);
    }
    state_ = static_cast<std::uint32_t>(state);
    for (; left > 0; --left) state_ = _mm_crc32_u8(state_, std::to_integer<std::uint8_t>(*at++));
  }
  /// As an integer whose little-endian bytes go on the wire (RFC 7143 A.4).
  [[nodiscard]] std::uint32_t value() const noexcept { return ~state_; }

 private:
  std::uint32_t state_ = 0xffff'ffff;
};

}  // namespace pollux::target
