// Books of the heap, by who asked for it: what the product's layers, its control thread and the
// embedded target hold. Linking this file replaces operator new and delete of the program. Large
// blocks are kept apart, because pages of them that nobody has written take no memory.
#pragma once

#include <cstddef>
#include <vector>

namespace pollux::bench {

enum class HeapOwner : unsigned char { other, control, target, count_ };

/// Of what this thread asks for from now on. The control thread is known by its name.
void set_heap_owner(HeapOwner owner) noexcept;

struct HeapBlock {
  const std::byte* data;
  std::size_t bytes;
  std::size_t resident_bytes;  ///< of its pages, those that take memory
};

inline constexpr std::size_t kLargeBlock = std::size_t{64} << 10;

/// In blocks below kLargeBlock.
[[nodiscard]] std::size_t small_heap_bytes(HeapOwner owner) noexcept;
/// Those there are, in order of allocation.
[[nodiscard]] std::vector<HeapBlock> large_heap_blocks(HeapOwner owner);

}  // namespace pollux::bench
