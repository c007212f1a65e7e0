// Contents of a block that name where and when it was written: LBA, generation, seed and a CRC over
// them, repeated through the block with a counter. No constant pattern, shift or mix-up of blocks
// passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/platform/crc32c.hpp"

namespace pollux::sim {

inline constexpr std::size_t kStampBlockBytes = 512;

inline void stamp_block(std::span<std::byte> block, std::uint64_t lba, std::uint64_t generation,
                        std::uint64_t seed) {
  std::uint64_t state = seed * 0x9e37'79b9'7f4a'7c15u + lba * 0xd1b5'4a32'd192'ed03u + generation;
  for (std::size_t i = 24; i + 8 <= block.size() - 8; i += 8) {
    state = (state ^ (state >> 29)) * 0xbf58'476d'1ce4'e5b9u + i;
    std::memcpy(block.data() + i, &state, 8);
  }
  std::memcpy(block.data(), &lba, 8);
  std::memcpy(block.data() + 8, &generation, 8);
  std::memcpy(block.data() + 16, &seed, 8);
  const std::uint64_t crc = platform::crc32c(block.first(block.size() - 8));
  std::memcpy(block.data() + block.size() - 8, &crc, 8);
}

inline void stamp(std::span<std::byte> memory, std::uint64_t lba, std::uint64_t generation,
                  std::uint64_t seed) {
  for (std::size_t i = 0; i * kStampBlockBytes < memory.size(); ++i)
    stamp_block(memory.subspan(i * kStampBlockBytes, kStampBlockBytes), lba + i, generation, seed);
}

/// Number of blocks that do not hold exactly what was written there.
inline std::size_t wrong_blocks(std::span<const std::byte> memory, std::uint64_t lba,
                                std::uint64_t generation, std::uint64_t seed) {
  std::size_t wrong = 0;
  std::byte expected[kStampBlockBytes];
  for (std::size_t i = 0; i * kStampBlockBytes < memory.size(); ++i) {
    stamp_block(expected, lba + i, generation, seed);
    if (std::memcmp(expected, memory.data() + i * kStampBlockBytes, kStampBlockBytes) != 0) ++wrong;
  }
  return wrong;
}

}  // namespace pollux::sim
