// The value below which a part of many lie.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pollux::bench {

/// `part`: 0 to 1. 0 when there are no values.
[[nodiscard]] inline double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

}  // namespace pollux::bench
