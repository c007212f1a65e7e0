// Congestion window: slow start and congestion avoidance. When losses are seen is recovery's
// business. Read first: RFC 5681 3.1 and 4.1, RFC 6928 2, RFC 3465 2.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pollux::tcp {

struct Congestion {
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = 0x7fff'ffff;
  std::uint32_t avoided_bytes = 0;  ///< acknowledged since cwnd last grew in congestion avoidance

  static constexpr std::uint32_t kCwndMax = 1u << 30;

  /// RFC 6928 2.
  [[nodiscard]] static constexpr std::uint32_t initial_window(std::uint32_t mss) noexcept {
    return std::min(10 * mss, std::max(2 * mss, 14600u));
  }

  void on_established(std::uint32_t mss, bool syn_was_lost) noexcept {
    // RFC 5681 3.1: after a lost SYN the first window is one segment.
    cwnd = syn_was_lost ? mss : initial_window(mss);
  }

  /// `acked` new bytes were acknowledged while the window was what held the sender back.
  void on_ack(std::uint32_t acked, std::uint32_t mss) noexcept {
    if (cwnd < ssthresh) {
      // RFC 3465 2.2 with L = 2: peers acknowledge every second segment or less often.
      cwnd += std::min(acked, 2 * mss);
    } else {
      avoided_bytes += acked;
      if (avoided_bytes < cwnd) return;
      avoided_bytes -= cwnd;
      cwnd += mss;
    }
    cwnd = std::min(cwnd, kCwndMax);
  }

  /// RFC 5681 3.1, equation 4.
  void reduce_threshold(std::uint32_t flight, std::uint32_t mss) noexcept {
    ssthresh = std::max(flight / 2, 2 * mss);
    avoided_bytes = 0;
  }
  void on_timeout(std::uint32_t mss) noexcept { cwnd = mss; }

  /// RFC 5681 4.1: nothing was sent for longer than a timeout, so the old window proves nothing.
  void on_idle(std::uint32_t mss) noexcept { cwnd = std::min(cwnd, initial_window(mss)); }
};

}  // namespace pollux::tcp
