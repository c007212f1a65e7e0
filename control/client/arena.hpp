// The client's book-keeping of the arena: which extents its commands in flight use. First fit over
// a sorted list of free extents; reserves all it will ever need at the start.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pollux::client {

class Arena {
 public:
  static constexpr std::uint64_t kUnitBytes = 64;  // a cache line: extents never share one

  /// At most `extents_max` extents are taken at any time.
  Arena(std::uint64_t bytes, std::size_t extents_max) {
    free_.reserve(extents_max + 1);
    free_.push_back({0, bytes / kUnitBytes * kUnitBytes});
  }

  static constexpr std::uint64_t rounded(std::uint64_t bytes) {
    return (bytes + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
  }

  /// The offset of `bytes` (a multiple of the unit) free bytes. Nothing when no gap is as large.
  [[nodiscard]] std::optional<std::uint64_t> take(std::uint64_t bytes) noexcept {
    if (bytes == 0) return 0;
    for (auto extent = free_.begin(); extent != free_.end(); ++extent) {
      if (extent->bytes < bytes) continue;
      const std::uint64_t offset = extent->offset;
      extent->offset += bytes;
      extent->bytes -= bytes;
      if (extent->bytes == 0) free_.erase(extent);
      return offset;
    }
    return std::nullopt;
  }

  /// Gives back exactly what take() gave.
  void give(std::uint64_t offset, std::uint64_t bytes) noexcept {
    if (bytes == 0) return;
    auto next = std::lower_bound(
        free_.begin(), free_.end(), offset,
        [](const Extent& extent, std::uint64_t position) { return extent.offset < position; });
    const bool joins_next = next != free_.end() && offset + bytes == next->offset;
    const bool joins_previous =
        next != free_.begin() && (next - 1)->offset + (next - 1)->bytes == offset;
    if (joins_previous) {
      (next - 1)->bytes += bytes + (joins_next ? next->bytes : 0);
      if (joins_next) free_.erase(next);
    } else if (joins_next) {
      next->offset = offset;
      next->bytes += bytes;
    } else {
      free_.insert(next, {offset, bytes});
    }
  }

  [[nodiscard]] std::size_t free_extent_count() const noexcept { return free_.size(); }

 private:
  struct Extent {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  std::vector<Extent> free_;  // sorted by offset, never touching each other, never empty extents
};

}  // namespace pollux::client
