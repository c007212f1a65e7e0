// CUBIC in whole numbers. Time is counted in ticks of 2^-16 s, so that cubes of the longest time
// that matters fit 64 bits. Read first: RFC 9438 4.2 to 4.8 and 5.8.
#include "dataplane/tcp/cubic.hpp"

#include <algorithm>

namespace pollux::tcp {
namespace {

constexpr unsigned kTickBits = 16;
/// The curve passes 2^30 bytes sooner than this from its plateau, whatever the segment size.
constexpr std::uint64_t kTicksMost = std::uint64_t{512} << kTickBits;
constexpr std::uint32_t kWindowMost = 1u << 30;
// RFC 9438 4.3: alpha = 3 (1 - beta) / (1 + beta) = 9/17 for beta = 0.7.
constexpr std::uint32_t kAlphaNumerator = 9;
constexpr std::uint32_t kAlphaDenominator = 17;

std::uint64_t to_ticks(Duration time) noexcept {
  constexpr Duration kMost = 1024s;
  const auto ns = static_cast<std::uint64_t>(std::clamp(time, Duration::zero(), kMost).count());
  return (ns << kTickBits) / 1'000'000'000;
}

}  // namespace

std::uint32_t cube_root(std::uint64_t x) noexcept {
  // One bit of the root for every three of x: (2r + 1)^3 - (2r)^3 = 3 * 2r * (2r + 1) + 1.
  std::uint64_t root = 0;
  for (int shift = 63; shift >= 0; shift -= 3) {
    root *= 2;
    const std::uint64_t step = 3 * root * (root + 1) + 1;
    if (x >> shift >= step) {
      x -= step << shift;
      ++root;
    }
  }
  return static_cast<std::uint32_t>(root);
}

void Cubic::on_congestion(std::uint32_t cwnd) noexcept {
  // RFC 9438 4.7, fast convergence: who could not get back to where it was leaves room for others.
  w_max = cwnd < w_max ? static_cast<std::uint32_t>(std::uint64_t{cwnd} * 17 / 20) : cwnd;
  cwnd_prior = cwnd;
  restart();
}

void Cubic::on_timeout(std::uint32_t cwnd) noexcept {
  w_max = 0;
  cwnd_prior = cwnd;
  restart();
}

void Cubic::restart() noexcept {
  epoch = kNever;
  growth = est_growth = 0;
}

void Cubic::begin_epoch(std::uint32_t cwnd, std::uint32_t mss, Instant now) noexcept {
  epoch = now;
  w_est = cwnd;
  if (cwnd >= w_max) {
    // RFC 9438 4.8 and 4.10: no higher window is remembered, so this one is the plateau.
    w_max = cwnd;
    k = 0;
    return;
  }
  // (W_max - cwnd) / C in s^3, times 2^36: the root comes in units of 2^-12 s.
  const std::uint64_t cubed = ((std::uint64_t{w_max - cwnd} * 5 << 30) / (2 * mss)) << 6;
  k = cube_root(cubed) << (kTickBits - 12);
}

std::uint32_t Cubic::window_at(Duration since_epoch, std::uint32_t mss) const noexcept {
  const std::uint64_t t = to_ticks(since_epoch);
  const bool is_rising = t >= k;
  const std::uint64_t d = std::min(is_rising ? t - k : k - t, kTicksMost);
  const std::uint64_t squared = (d * d) >> kTickBits;
  const std::uint64_t cubed = (squared * d) >> kTickBits;  // at most 2^43
  const std::uint64_t delta = (cubed * mss * 2 / 5) >> kTickBits;
  if (!is_rising) return delta < w_max ? static_cast<std::uint32_t>(w_max - delta) : 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(w_max + delta, kWindowMost));
}

std::uint32_t Cubic::on_ack(std::uint32_t cwnd, std::uint32_t acked, std::uint32_t mss, Instant now,
                            Duration srtt) noexcept {
  if (epoch == kNever) {
    begin_epoch(cwnd, mss, now);
  } else if (now - last_growth > 2 * srtt) {
    // RFC 9438 5.8: while the application held the window unused (acknowledgments of a full one
    // come closer together than this), the curve's clock stood still.
    epoch += now - last_growth - srtt;
  }
  last_growth = now;
  // RFC 9438 4.3: what Reno would have, at its own pace once it is past the last window.
  const std::uint32_t pace = w_est < cwnd_prior ? kAlphaNumerator : kAlphaDenominator;
  est_growth += std::uint64_t{acked} * pace;
  // In steps of an eighth of a segment: small windows would lose much of what an epoch earned.
  const std::uint64_t earned = est_growth * 8;
  const std::uint64_t per_step = std::uint64_t{cwnd} * kAlphaDenominator;
  if (earned >= per_step) {
    const std::uint64_t steps = earned / per_step;
    est_growth = (earned - steps * per_step) / 8;
    w_est =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(w_est + steps * mss / 8, kWindowMost));
  }
  const Duration t = now - epoch;
  if (window_at(t, mss) < w_est) return std::max(cwnd, w_est);
  // RFC 9438 4.4 and 4.5: towards where the curve is a round trip from now, at most half as much
  // again.
  const std::uint32_t target = std::min(window_at(t + srtt, mss), cwnd + cwnd / 2);
  if (target <= cwnd) return cwnd;
  growth += std::uint64_t{target - cwnd} * acked;
  const std::uint64_t segment = std::uint64_t{cwnd} * mss;
  if (growth < segment) return cwnd;
  const std::uint64_t segments = growth / segment;
  growth -= segments * segment;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(cwnd + segments * mss, kWindowMost));
}

}  // namespace pollux::tcp
