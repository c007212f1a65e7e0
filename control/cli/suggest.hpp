// "Did you mean ...?" for mistyped verbs and options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pollux::cli {

/// The candidate nearest to `word` when it is near enough to be a slip of the finger, else empty.
[[nodiscard]] std::string nearest(std::string_view word,
                                  const std::vector<std::string>& candidates);

}  // namespace pollux::cli
