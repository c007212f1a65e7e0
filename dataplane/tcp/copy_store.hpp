// Small received pieces that must wait: a copy in a cell of 256 bytes, so that one byte does not
// keep a packet buffer from the port. All cells are taken at construction; when none is free, a
// piece stays in its buffer, for which the budgets of EngineLimits count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace pollux::tcp {

/// Thread: the worker's.
class CopyStore {
 public:
  static constexpr std::uint32_t kCellBytes = 256;

  explicit CopyStore(std::uint32_t cells)
      : bytes_(new std::byte[std::size_t{cells} * kCellBytes]),
        free_(new std::uint32_t[cells]),
        cells_(cells) {}

  /// Whether the handle of a piece is a cell of this store.
  [[nodiscard]] bool owns(const void* handle) const noexcept {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(handle) - reinterpret_cast<std::uintptr_t>(bytes_.get());
    return offset < std::size_t{cells_} * kCellBytes;
  }
  [[nodiscard]] std::size_t available() const noexcept { return cells_ - in_use_; }
  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }

  /// A copy of `length` bytes; the pointer is data and handle in one. nullptr: too long, or no cell
  /// is free.
  [[nodiscard]] std::byte* copy(const std::byte* data, std::uint32_t length) noexcept {
    if (length > kCellBytes || in_use_ == cells_) return nullptr;
    ++in_use_;
    const std::uint32_t cell = returned_ != 0 ? free_[--returned_] : untouched_++;
    std::byte* at = bytes_.get() + std::size_t{cell} * kCellBytes;
    std::memcpy(at, data, length);
    return at;
  }
  void give_back(const void* handle) noexcept {
    const auto offset =
        static_cast<std::size_t>(static_cast<const std::byte*>(handle) - bytes_.get());
    free_[returned_++] = static_cast<std::uint32_t>(offset / kCellBytes);
    --in_use_;
  }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::unique_ptr<std::uint32_t[]> free_;
  std::uint32_t cells_;
  std::uint32_t returned_ = 0;   // entries of free_
  std::uint32_t untouched_ = 0;  // cells from here on have never been used
  std::uint32_t in_use_ = 0;
};

}  // namespace pollux::tcp
