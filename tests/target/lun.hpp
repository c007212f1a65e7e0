// Logical units: memory that keeps its bytes, or a pattern that takes any write and forgets it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/target/config.hpp"

namespace pollux::target {

/// The memory is taken once and stays at its address: frames under way point into it.
class Lun {
 public:
  explicit Lun(const LunConfig& config);
  ~Lun();
  Lun(Lun&& other) noexcept;
  Lun(const Lun&) = delete;
  Lun& operator=(const Lun&) = delete;
  Lun& operator=(Lun&&) = delete;

  [[nodiscard]] std::uint64_t blocks() const noexcept {
    return config_.bytes / config_.block_bytes;
  }
  [[nodiscard]] std::uint32_t block_bytes() const noexcept { return config_.block_bytes; }
  [[nodiscard]] bool keeps_data() const noexcept { return config_.kind == LunKind::ram; }

  /// Bytes from `offset` on that lie together, at most `length` (of which at least one is there).
  [[nodiscard]] std::span<const std::byte> read(std::uint64_t offset,
                                                std::uint32_t length) const noexcept;
  /// Where a write to `offset` goes; null for a unit that discards.
  [[nodiscard]] std::byte* write(std::uint64_t offset) noexcept;
  /// All memory of the unit, for registration with a device.
  [[nodiscard]] std::span<std::byte> memory() noexcept { return {memory_, memory_bytes_}; }

 private:
  LunConfig config_;
  std::byte* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
};

/// What byte `offset` of a null unit reads as.
[[nodiscard]] constexpr std::byte null_pattern(std::uint64_t offset) noexcept {
  return static_cast<std::byte>((offset ^ offset >> 9) * 0x9d);
}
inline constexpr std::uint64_t kNullPatternBytes =
    64 * KiB;  ///< the pattern repeats after this many

}  // namespace pollux::target
