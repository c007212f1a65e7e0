// Congestion window: slow start, congestion avoidance, and what a loss or a mark does to both.
// When losses are seen, and what may be sent while they are repaired, is recovery's business.
// Read first: RFC 5681 3.1 and 4.1, RFC 6928 2, RFC 3465 2, RFC 9438 4, RFC 4015 3.2.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/time.hpp"
#include "dataplane/tcp/congestion_options.hpp"
#include "dataplane/tcp/cubic.hpp"
#include "dataplane/tcp/dctcp.hpp"

namespace pollux::tcp {

enum class CongestionSignal : std::uint8_t { loss, ecn_echo };

/// Trivially copyable state of one connection; all sizes in bytes, mss at least 36.
struct Congestion {
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = kSsthreshUnknown;
  CongestionAlgorithm algorithm = CongestionAlgorithm::cubic;
  bool after_timeout = false;       ///< slow start out of a timeout (RFC 3465 2.3)
  bool has_undo = false;            ///< undo() has something to restore
  std::uint32_t avoided_bytes = 0;  ///< acknowledged since Reno's window last grew
  Cubic cubic;
  Dctcp dctcp;

  static constexpr std::uint32_t kCwndMax = 1u << 30;
  static constexpr std::uint32_t kSsthreshUnknown = 0x7fff'ffff;

  /// RFC 6928 2.
  [[nodiscard]] static constexpr std::uint32_t initial_window(std::uint32_t mss) noexcept {
    return std::min(10 * mss, std::max(2 * mss, 14600u));
  }
  [[nodiscard]] bool in_slow_start() const noexcept { return cwnd < ssthresh; }

  void on_established(std::uint32_t mss, bool syn_was_lost) noexcept;
  /// `acked` new bytes were acknowledged while the window was what held the sender back, and no
  /// fast recovery is under way (after a timeout, slow start through the repair counts as well).
  void on_ack(std::uint32_t acked, std::uint32_t mss, Instant now, Duration srtt) noexcept;
  /// A loss was found or the peer echoed a mark, the first of one window of data. Lowers ssthresh;
  /// cwnd is left to the caller: PRR leads it there, an echo sets it at once.
  void on_congestion(std::uint32_t flight, std::uint32_t mss,
                     CongestionSignal signal = CongestionSignal::loss) noexcept;
  /// The retransmission timer expired; first_of_event: the earliest segment had not been sent again
  /// by the timer before. cwnd becomes one segment.
  void on_timeout(std::uint32_t flight, std::uint32_t mss, bool first_of_event) noexcept;
  /// The reduction was for nothing: everything as before the first on_congestion or on_timeout
  /// since the last forget_undo(); nothing happens without one. A larger cwnd stays.
  void undo() noexcept;
  /// The episode is over, its losses were real: the next reduction saves anew.
  void forget_undo() noexcept { has_undo = false; }
  /// Nothing was in flight for longer than a timeout, and data is about to be sent.
  void on_idle(std::uint32_t mss) noexcept;

 private:
  struct Undo {
    std::uint32_t cwnd = 0;
    std::uint32_t ssthresh = 0;
    std::uint32_t avoided_bytes = 0;
    bool after_timeout = false;
    Cubic cubic;
  };

  void save_undo() noexcept;
  [[nodiscard]] std::uint32_t reduced(std::uint32_t flight, CongestionSignal signal) const noexcept;

  Undo undo_;
};

}  // namespace pollux::tcp
