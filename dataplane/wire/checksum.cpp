#include "dataplane/wire/checksum.hpp"

#include <bit>
#include <cstring>

namespace pollux::wire {

namespace {

// Two lanes of 64 bits: every x86-64 has them, and they need no run-time dispatch.
using Lanes = std::uint64_t __attribute__((vector_size(16)));

template <class T>
T load_word(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Sums 32-bit words into 64-bit lanes, so that no carry is ever lost, 64 bytes per turn.
std::uint64_t sum_blocks(const std::byte* at, std::size_t blocks) noexcept {
  const Lanes low_half = {0xffff'ffff, 0xffff'ffff};
  Lanes a{}, b{}, c{}, d{};
  for (; blocks > 0; --blocks, at += 64) {
    const Lanes w0 = load_word<Lanes>(at);
    const Lanes w1 = load_word<Lanes>(at + 16);
    const Lanes w2 = load_word<Lanes>(at + 32);
    const Lanes w3 = load_word<Lanes>(at + 48);
    a += (w0 & low_half) + (w1 & low_half);
    b += (w0 >> 32) + (w1 >> 32);
    c += (w2 & low_half) + (w3 & low_half);
    d += (w2 >> 32) + (w3 >> 32);
  }
  const Lanes sum = (a + b) + (c + d);
  return std::uint64_t{fold16(sum[0])} + fold16(sum[1]);
}

// Sum of little-endian 16-bit words; an odd last byte counts as one followed by zero.
std::uint64_t sum_bytes(std::span<const std::byte> piece) noexcept {
  const std::byte* at = piece.data();
  std::size_t left = piece.size();
  std::uint64_t sum = 0;
  if (left >= 64) {
    sum = sum_blocks(at, left / 64);
    at += left / 64 * 64;
    left %= 64;
  }
  for (; left >= 4; left -= 4, at += 4) sum += load_word<std::uint32_t>(at);
  if (left >= 2) {
    sum += load_word<std::uint16_t>(at);
    at += 2;
    left -= 2;
  }
  if (left != 0) sum += std::to_integer<std::uint64_t>(*at);
  return sum;
}

}  // namespace

void InternetSum::add(std::span<const std::byte> piece) noexcept {
  std::uint32_t sum = fold16(sum_bytes(piece));
  // A piece that starts in the middle of a word has all its bytes in the other half (RFC 1071
  // 2(B)).
  if (odd_) sum = byteswap(static_cast<std::uint16_t>(sum));
  sum_ = fold16(sum_ + sum);
  odd_ ^= (piece.size() & 1) != 0;
}

Be16 update_checksum(Be16 checksum, Be16 old_word, Be16 new_word) noexcept {
  const std::uint32_t sum =
      (0xffffu ^ checksum.get()) + (0xffffu ^ old_word.get()) + new_word.get();
  return Be16(static_cast<std::uint16_t>(~fold16(sum)));
}

}  // namespace pollux::wire
