// The Toeplitz hash of receive-side scaling written down from its definition, bit by bit, and
// shared with nothing else: what the product's hash and a NIC's are compared with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pollux::sim {

/// The key of the published test values.
inline constexpr std::array<std::uint8_t, 40> kPublishedKey{
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

/// For each bit of the input that is set, the 32 bits of key that begin at its place are added.
inline std::uint32_t toeplitz(std::span<const std::uint8_t> key,
                              std::span<const std::uint8_t> input) {
  const auto key_bit = [&](std::size_t i) -> std::uint32_t {
    return i / 8 < key.size() ? key[i / 8] >> (7 - i % 8) & 1u : 0u;
  };
  std::uint32_t hash = 0;
  for (std::size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    std::uint32_t window = 0;
    for (std::size_t i = 0; i < 32; ++i) window = window << 1 | key_bit(bit + i);
    hash ^= window;
  }
  return hash;
}

/// Of a TCP segment from `source` to `destination`; addresses as 16 bytes, IPv4 mapped.
inline std::uint32_t toeplitz(std::span<const std::uint8_t> key,
                              const std::array<std::uint8_t, 16>& source,
                              const std::array<std::uint8_t, 16>& destination,
                              std::uint16_t source_port, std::uint16_t destination_port) {
  bool is_v4 = source[10] == 0xff && source[11] == 0xff;
  for (std::size_t i = 0; i < 10; ++i) is_v4 = is_v4 && source[i] == 0;
  std::vector<std::uint8_t> input;
  for (const auto* address : {&source, &destination})
    input.insert(input.end(), address->begin() + (is_v4 ? 12 : 0), address->end());
  for (const std::uint16_t port : {source_port, destination_port}) {
    input.push_back(static_cast<std::uint8_t>(port >> 8));
    input.push_back(static_cast<std::uint8_t>(port));
  }
  return toeplitz(key, input);
}

}  // namespace pollux::sim
