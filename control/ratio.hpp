// Arithmetic of reports: parts of a whole, a whole in proportion to measured parts, rates.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace pollux {

/// Zero where there is nothing to divide by.
[[nodiscard]] inline double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

/// `whole` in proportion to `parts`, one for each; all zero when nothing was measured. With the
/// cycles sampled by stage and busy cycles as the whole, what each stage cost; with 100, percent.
[[nodiscard]] inline std::vector<double> spread(double whole,
                                                std::span<const std::uint64_t> parts) {
  const auto sum =
      static_cast<double>(std::accumulate(parts.begin(), parts.end(), std::uint64_t{0}));
  std::vector<double> shares;
  shares.reserve(parts.size());
  for (const std::uint64_t part : parts)
    shares.push_back(whole * ratio(static_cast<double>(part), sum));
  return shares;
}

[[nodiscard]] inline double mib_per_second(double bytes, double seconds) {
  return ratio(bytes / (1024.0 * 1024.0), seconds);
}

}  // namespace pollux
