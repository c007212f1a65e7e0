// CUBIC's part of a congestion window: where the last one met its limit, and the curve back to it.
// Read first: RFC 9438 4. Windows are in bytes, not segments; nothing here is a floating number.
//
//   W_cubic(t) = C (t - K)^3 + W_max      C = 0.4 segments/s^3, K = cbrt((W_max - cwnd_epoch) / C)
#pragma once

#include <cstdint>

#include "dataplane/base/time.hpp"

namespace pollux::tcp {

/// Trivially copyable: a copy is what undo restores. Segments have at least 36 bytes.
struct Cubic {
  std::uint32_t w_max = 0;       ///< bytes; 0: unknown, the next epoch starts at its own plateau
  std::uint32_t w_est = 0;       ///< bytes; what Reno would have had since the epoch began
  std::uint32_t cwnd_prior = 0;  ///< bytes; window before the last reduction
  std::uint32_t k = 0;           ///< ticks of 2^-16 s
  std::uint64_t growth = 0;      ///< part of a segment cwnd has earned, times cwnd
  std::uint64_t est_growth = 0;  ///< the same for w_est, in 17ths
  Instant epoch = kNever;        ///< start of this congestion avoidance; kNever: not begun
  Instant last_growth{};

  /// RFC 9438 4.6 for what becomes of a window (or what is in flight) when a loss is found.
  [[nodiscard]] static constexpr std::uint32_t reduced(std::uint32_t bytes) noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{bytes} * 7 / 10);
  }

  /// The window `cwnd` was too much.
  void on_congestion(std::uint32_t cwnd) noexcept;
  /// RFC 9438 4.8: the curve of the next congestion avoidance starts at its plateau.
  void on_timeout(std::uint32_t cwnd) noexcept;
  /// The clock of the curve starts again when the window next grows; W_max stays.
  void restart() noexcept;
  /// `acked` bytes arrived in congestion avoidance; returns the new window.
  [[nodiscard]] std::uint32_t on_ack(std::uint32_t cwnd, std::uint32_t acked, std::uint32_t mss,
                                     Instant now, Duration srtt) noexcept;
  /// Bytes, 0 to 2^30, at `since_epoch` (not negative).
  [[nodiscard]] std::uint32_t window_at(Duration since_epoch, std::uint32_t mss) const noexcept;

 private:
  void begin_epoch(std::uint32_t cwnd, std::uint32_t mss, Instant now) noexcept;
};

/// Largest integer whose cube is at most `x`.
[[nodiscard]] std::uint32_t cube_root(std::uint64_t x) noexcept;

}  // namespace pollux::tcp
