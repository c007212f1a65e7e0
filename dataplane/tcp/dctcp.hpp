// DCTCP's estimate of how much of what was sent met a queue above its mark.
// Read first: RFC 8257 3.3 and 3.4.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pollux::tcp {

struct Dctcp {
  static constexpr unsigned kAlphaBits = 20;
  static constexpr unsigned kGainBits = 4;  // RFC 8257 4.2: g = 1/16

  std::uint32_t alpha = 1u << kAlphaBits;  ///< fraction of marked bytes; RFC 8257 3.3 starts at 1
  std::uint64_t bytes_acked = 0;
  std::uint64_t bytes_marked = 0;

  void on_ack(std::uint32_t bytes, bool is_marked) noexcept {
    bytes_acked += bytes;
    if (is_marked) bytes_marked += bytes;
  }

  /// An observation window (about one round trip) is over.
  void end_window() noexcept {
    if (bytes_acked == 0) return;
    const std::uint64_t marked = (bytes_marked << kAlphaBits) / bytes_acked;
    // Rounded up, or alpha would come to rest above zero.
    alpha -= (alpha + (1u << kGainBits) - 1) >> kGainBits;
    alpha += static_cast<std::uint32_t>(marked >> kGainBits);
    alpha = std::min(alpha, 1u << kAlphaBits);
    bytes_acked = bytes_marked = 0;
  }

  /// RFC 8257 3.4: cwnd (1 - alpha / 2).
  [[nodiscard]] std::uint32_t reduced(std::uint32_t cwnd) const noexcept {
    return cwnd - static_cast<std::uint32_t>(std::uint64_t{cwnd} * alpha >> (kAlphaBits + 1));
  }
};

}  // namespace pollux::tcp
