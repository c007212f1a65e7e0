#include "tests/unit/steady_state/instruction_forms.hpp"

#include <algorithm>
#include <array>

namespace pollux::steady {
namespace {

constexpr std::uint8_t kRepeat = 0xf3;
constexpr std::array<std::uint8_t, 10> kPrefixes = {0x66, 0x67, 0xf2, 0xf3, 0x2e,
                                                    0x36, 0x3e, 0x26, 0x64, 0x65};
/// movups, movaps, movdqa and their like, and the two that go past the cache: register to memory.
constexpr std::array<std::uint8_t, 5> kVectorStores = {0x11, 0x29, 0x7f, 0x2b, 0xe7};

template <std::size_t N>
bool is_one_of(const std::array<std::uint8_t, N>& set, std::uint8_t byte) noexcept {
  return std::find(set.begin(), set.end(), byte) != set.end();
}

bool is_rex(std::uint8_t byte) noexcept { return (byte & 0xf0) == 0x40; }

/// The byte behind the opcode says whether the operand is in memory.
bool is_memory(std::uint8_t form) noexcept { return (form & 0xc0) != 0xc0; }

bool is_vector_store(const std::uint8_t* opcode) noexcept {
  return is_one_of(kVectorStores, opcode[0]) && is_memory(opcode[1]);
}

bool is_fence(const std::uint8_t* at) noexcept {
  constexpr std::uint8_t kByteConstant = 0x83;
  constexpr std::uint8_t kSibFollows = 0x04;
  constexpr std::uint8_t kStackPointer = 0x24;
  constexpr std::array<std::size_t, 4> kDisplacementBytes = {0, 1, 4, 0};
  if (is_rex(*at)) ++at;
  const std::size_t constant = 3 + kDisplacementBytes[at[1] >> 6];
  return at[0] == kByteConstant && is_memory(at[1]) && (at[1] & 0x07) == kSibFollows &&
         at[2] == kStackPointer && at[constant] == 0;
}

}  // namespace

bool is_locked(const std::uint8_t* at) noexcept {
  constexpr std::uint8_t kLock = 0xf0;
  constexpr std::uint8_t kExchangeByte = 0x86;
  constexpr std::uint8_t kExchange = 0x87;
  while (is_one_of(kPrefixes, *at)) ++at;
  if (*at == kLock) return !is_fence(at + 1);
  if (is_rex(*at)) ++at;
  return (*at == kExchangeByte || *at == kExchange) && is_memory(at[1]);
}

std::size_t vector_bytes_stored(const std::uint8_t* at) noexcept {
  constexpr std::uint8_t kVex2 = 0xc5;
  constexpr std::uint8_t kVex3 = 0xc4;
  constexpr std::uint8_t kEvex = 0x62;
  constexpr std::uint8_t kLongMode = 0x04;  // VEX.L
  constexpr std::uint8_t kTwoByteOpcode = 0x0f;
  constexpr std::uint8_t kMoveByte = 0xa4;
  constexpr std::uint8_t kMove = 0xa5;
  bool repeats = false;
  for (; is_one_of(kPrefixes, *at); ++at) repeats |= *at == kRepeat;
  if (*at == kVex2) return is_vector_store(at + 2) ? ((at[1] & kLongMode) != 0 ? 32 : 16) : 0;
  if (*at == kVex3) return is_vector_store(at + 3) ? ((at[2] & kLongMode) != 0 ? 32 : 16) : 0;
  if (*at == kEvex) return is_vector_store(at + 4) ? std::size_t{16} << ((at[3] >> 5) & 3) : 0;
  const bool is_wide = is_rex(*at) && (*at & 0x08) != 0;
  if (is_rex(*at)) ++at;
  if (repeats && *at == kMoveByte) return 1;
  if (repeats && *at == kMove) return is_wide ? 8 : 4;
  return *at == kTwoByteOpcode && is_vector_store(at + 1) ? 16 : 0;
}

}  // namespace pollux::steady
