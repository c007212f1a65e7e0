// A position in the caller's scatter list. Data of a command moves in rising order (we negotiate
// DataPDUInOrder and DataSequenceInOrder), so the cursor only steps forward except on a new R2T
// range.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pollux::iscsi {

class IovCursor {
 public:
  IovCursor() noexcept = default;
  IovCursor(const iovec* iov, std::uint32_t count) noexcept : iov_(iov), count_(count) {}

  [[nodiscard]] std::uint32_t offset() const noexcept { return offset_; }

  /// Moves to an absolute offset. Steps from the start only when it lies behind.
  void seek(std::uint32_t offset) noexcept {
    if (offset < offset_) {
      index_ = 0;
      within_ = 0;
      offset_ = 0;
    }
    while (offset_ < offset && index_ < count_) {
      const auto left = iov_[index_].iov_len - within_;
      const auto step = std::min<std::size_t>(left, offset - offset_);
      advance(step);
    }
  }

  /// The piece at the cursor that lies together, at most `bytes` of it; empty at the end of the
  /// list.
  [[nodiscard]] std::span<std::byte> piece(std::size_t bytes) const noexcept {
    std::uint32_t index = index_;
    std::size_t within = within_;
    while (index < count_ && within == iov_[index].iov_len) {
      ++index;
      within = 0;
    }
    if (index == count_) return {};
    auto* base = static_cast<std::byte*>(iov_[index].iov_base) + within;
    return {base, std::min(bytes, iov_[index].iov_len - within)};
  }

  /// Steps over `bytes`, which lie within the list.
  void advance(std::size_t bytes) noexcept {
    offset_ += static_cast<std::uint32_t>(bytes);
    within_ += bytes;
    while (index_ < count_ && within_ >= iov_[index_].iov_len) {
      within_ -= iov_[index_].iov_len;
      ++index_;
    }
  }

 private:
  const iovec* iov_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t index_ = 0;
  std::size_t within_ = 0;
  std::uint32_t offset_ = 0;
};

}  // namespace pollux::iscsi
