// The command line: verbs, their options, help with examples.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/cli/options.hpp"

namespace pollux::cli {

struct ParsedArgs {
  Options options;
  /// Set for --help and --version, which are complete with their text.
  std::optional<std::string> text_instead;
};

/// `arguments` without the program's name. Failure invalid_argument with a sentence, and "did you
/// mean" for a mistyped verb or option.
[[nodiscard]] ParsedArgs parse_args(std::vector<std::string> arguments);

}  // namespace pollux::cli
