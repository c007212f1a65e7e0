// What is tried on both stacks, and where they may differ and why.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/interop/differential/conversation.hpp"

namespace pollux::differential {

/// One line of a conversation that may read differently.
struct Allowed {
  std::string linux_line;
  std::string pollux_line;
  std::string reason;  ///< the clause, or what makes both right
};

struct Stimulus {
  std::string name;  ///< letters and digits
  std::function<void(Conversation&)> hold;
  std::vector<Allowed> allowed{};
  SubjectOptions options{};
};

[[nodiscard]] const std::vector<Stimulus>& stimuli();

/// The parts of the table, by subject.
[[nodiscard]] std::vector<Stimulus> handshake_stimuli();
[[nodiscard]] std::vector<Stimulus> validity_stimuli();
[[nodiscard]] std::vector<Stimulus> data_stimuli();
[[nodiscard]] std::vector<Stimulus> closing_stimuli();

}  // namespace pollux::differential
