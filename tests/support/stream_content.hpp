// The bytes of simulated streams: one block of random words, read from a different place for each
// stream, so that a byte costs nothing to make and a shifted, repeated or foreign one is noticed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "dataplane/base/random.hpp"

namespace pollux::sim {

class StreamContent {
 public:
  static constexpr std::uint64_t kPeriod = 1u << 21;
  /// The longest run that at() gives in one piece.
  static constexpr std::uint64_t kRunMax = 1u << 18;

  static const StreamContent& instance() {
    static const StreamContent content;
    return content;
  }
  /// Bytes [position, position + length) of a stream; length <= kRunMax. Lives for ever.
  [[nodiscard]] std::span<const std::byte> at(std::uint64_t stream, std::uint64_t position,
                                              std::uint64_t length) const {
    const std::uint64_t start = (position + stream * 70'001) % kPeriod;
    return {&block_[start], static_cast<std::size_t>(length)};
  }
  [[nodiscard]] bool matches(std::uint64_t stream, std::uint64_t position,
                             std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const std::size_t n = bytes.size() < kRunMax ? bytes.size() : std::size_t{kRunMax};
      if (std::memcmp(at(stream, position, n).data(), bytes.data(), n) != 0) return false;
      bytes = bytes.subspan(n);
      position += n;
    }
    return true;
  }

 private:
  StreamContent() : block_(kPeriod + kRunMax) {
    Random random(0x706f'6c6c'7578);
    for (std::size_t i = 0; i < block_.size(); i += 8) {
      const std::uint64_t word = i < kPeriod ? random.next() : 0;
      if (i < kPeriod)
        std::memcpy(&block_[i], &word, 8);
      else
        std::memcpy(&block_[i], &block_[i - kPeriod], 8);
    }
  }
  std::vector<std::byte> block_;
};

}  // namespace pollux::sim
