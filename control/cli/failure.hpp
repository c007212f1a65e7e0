// What ends a verb early: an exit code and the one or two sentences the user gets on stderr.
// Exceptions stay inside control/cli.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "control/cli/exit_code.hpp"

namespace pollux::cli {

class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  Failure(ExitCode code, const std::string& sentence, std::uint32_t isdsc)
      : std::runtime_error(sentence), code_(code), isdsc_(isdsc) {}

  [[nodiscard]] ExitCode code() const noexcept { return code_; }
  /// The operation status behind the failure, zero when it never reached an operation.
  [[nodiscard]] std::uint32_t isdsc() const noexcept { return isdsc_; }

 private:
  ExitCode code_;
  std::uint32_t isdsc_ = 0;
};

}  // namespace pollux::cli
