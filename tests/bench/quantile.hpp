// Quantiles of measured values that are kept one by one; service::LatencyHistogram has those of
// values too many to keep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pollux::bench {

/// The value below which `part` of them lie, 0 of none; they are reordered.
inline double quantile(std::vector<double>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

}  // namespace pollux::bench
