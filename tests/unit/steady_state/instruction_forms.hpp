// Two questions to the bytes of an x86-64 instruction: does it lock a cache line, does it store a
// vector. Not a disassembler: forms that neither compilers nor DPDK's copy loops use are not known.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pollux::steady {

/// A lock prefix, or an exchange with memory, which locks without one. Not a fence: "or" or "add"
/// of zero beside the top of the stack, a line that no other thread wants.
[[nodiscard]] bool is_locked(const std::uint8_t* at) noexcept;

/// Bytes that it moves to memory out of a vector register, or in one step of a "rep movs"; 0 for
/// all others.
[[nodiscard]] std::size_t vector_bytes_stored(const std::uint8_t* at) noexcept;

}  // namespace pollux::steady
