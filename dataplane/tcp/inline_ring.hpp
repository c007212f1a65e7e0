// The bytes that a connection sends out of its own memory (commands, small data): copied in when they
// are queued, given up when they are acknowledged.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/tcp/slab_ring.hpp"

namespace pollux::tcp {

/// Positions are free-running.
class InlineRing {
 public:
  /// A login or a burst of twenty commands.
  using Slab = RingSlab<std::byte, 1024, std::uint32_t>;

  InlineRing() = default;
  explicit InlineRing(const Slab::Ring& ring) noexcept : ring_(ring) {}

  [[nodiscard]] std::uint32_t space() const noexcept { return ring_.space(); }
  [[nodiscard]] std::uint32_t tail() const noexcept { return ring_.tail; }

  /// `bytes`: space() at most.
  void append(std::span<const std::byte> bytes) noexcept {
    const auto length = static_cast<std::uint32_t>(bytes.size());
    ring_.make_room(length);
    const std::uint32_t before_wrap = std::min(length, until_wrap(ring_.tail));
    std::memcpy(&ring_.at(ring_.tail), bytes.data(), before_wrap);
    if (before_wrap != length) [[unlikely]]
      std::memcpy(ring_.items, bytes.data() + before_wrap, length - before_wrap);
    ring_.tail += length;
  }
  /// The bytes [position, position + length), in order; the second part is mostly empty.
  [[nodiscard]] std::array<std::span<const std::byte>, 2> at(std::uint32_t position,
                                                             std::uint32_t length) const noexcept {
    const std::uint32_t before_wrap = std::min(length, until_wrap(position));
    return {std::span{&ring_.at(position), before_wrap},
            std::span{static_cast<const std::byte*>(ring_.items), length - before_wrap}};
  }
  void drop_before(std::uint32_t position) noexcept { ring_.head = position; }
  void drop_all() noexcept { ring_.head = ring_.tail; }
  /// When nothing in it is queued any more.
  void rewind() noexcept { ring_.rewind(); }

 private:
  [[nodiscard]] std::uint32_t until_wrap(std::uint32_t position) const noexcept {
    return ring_.mask + 1u - (position & ring_.mask);
  }

  Slab::Ring ring_;
};

}  // namespace pollux::tcp
