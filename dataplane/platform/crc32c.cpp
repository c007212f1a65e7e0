// CRC32C over ISA-L, whose function takes a mutable pointer and an int length: both are hidden
// here.

#include "dataplane/platform/crc32c.hpp"

#include <isa-l/crc.h>

#include <algorithm>

#include "dataplane/base/units.hpp"

namespace pollux::platform {
namespace {

// Below this the call and the run-time dispatch of ISA-L cost more than its wider loop gains.
constexpr std::size_t kShortBytes = 64;
// ISA-L's length is an int.
constexpr std::size_t kLongestCall = GiB;
// Small enough that a chunk is still in the first-level cache when the sum follows the copy.
constexpr std::size_t kCopyChunk = 4 * KiB;

const bool kHasAvx = __builtin_cpu_supports("avx") != 0;

/// ISA-L returns from its AVX-512 loops without a vzeroupper. Ours is code of x86-64-v2, whose
/// every SSE instruction then drags the upper halves of the registers along.
void clear_upper_halves() noexcept {
  if (kHasAvx) asm volatile("vzeroupper");
}

std::uint32_t extend_short(std::uint32_t state, const std::byte* bytes,
                           std::size_t length) noexcept {
  std::uint64_t wide = state;
  for (; length >= sizeof(std::uint64_t); length -= sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, bytes, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
    bytes += sizeof(word);
  }
  state = static_cast<std::uint32_t>(wide);
  for (; length > 0; --length) state = _mm_crc32_u8(state, std::to_integer<std::uint8_t>(*bytes++));
  return state;
}

}  // namespace

std::uint32_t crc32c_extend(std::uint32_t state, std::span<const std::byte> bytes) noexcept {
  if (bytes.size() <= kShortBytes) return extend_short(state, bytes.data(), bytes.size());
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kLongestCall));
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    state = crc32_iscsi(data, static_cast<int>(piece.size()), state);
    bytes = bytes.subspan(piece.size());
  }
  clear_upper_halves();
  return state;
}

std::uint32_t crc32c_copy_extend(std::uint32_t state, std::byte* destination,
                                 const std::byte* source, std::size_t length) noexcept {
  while (length > 0) {
    const std::size_t chunk = std::min(length, kCopyChunk);
    std::memcpy(destination, source, chunk);
    state = crc32c_extend(state, {destination, chunk});
    destination += chunk;
    source += chunk;
    length -= chunk;
  }
  return state;
}

}  // namespace pollux::platform
