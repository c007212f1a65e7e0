// Root only: every conversation of the table with the kernel's TCP over a tap and with pollux's
// over a simulated wire; line by line they read the same, but for the differences that the table
// allows and explains.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ostream>

#include "tests/interop/differential/stimuli.hpp"

namespace pollux::differential {

/// For GoogleTest's messages.
static void PrintTo(const Stimulus& stimulus, std::ostream* out) { *out << stimulus.name; }

namespace {

std::vector<std::string> hold(const Stimulus& stimulus, Subject& subject) {
  Conversation conversation(subject);
  stimulus.hold(conversation);
  conversation.conclude();
  return conversation.lines();
}

class Differential : public testing::TestWithParam<Stimulus> {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) {
      why_not_ = "a tap and a network namespace take root";
    } else if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
      why_not_ = "there is no /dev/net/tun";
    } else {
      wire_ = KernelWire::create(why_not_);
      ASSERT_NE(wire_, nullptr) << why_not_;
    }
  }
  static void TearDownTestSuite() { wire_.reset(); }

  static inline std::unique_ptr<KernelWire> wire_;
  static inline std::string why_not_;
};

TEST_P(Differential, PolluxDoesAsLinuxDoes) {
  if (!wire_) GTEST_SKIP() << why_not_;
  const Stimulus& stimulus = GetParam();
  const auto kernel = wire_->make(stimulus.options);
  const auto engine = make_engine(stimulus.options);
  const std::vector<std::string> theirs = hold(stimulus, *kernel);
  const std::vector<std::string> ours = hold(stimulus, *engine);
  for (std::size_t i = 0; i < std::max(theirs.size(), ours.size()); ++i) {
    const std::string linux_line = i < theirs.size() ? theirs[i] : "(nothing)";
    const std::string pollux_line = i < ours.size() ? ours[i] : "(nothing)";
    if (linux_line == pollux_line) continue;
    const auto listed =
        std::find_if(stimulus.allowed.begin(), stimulus.allowed.end(), [&](const Allowed& allowed) {
          return allowed.linux_line == linux_line && allowed.pollux_line == pollux_line;
        });
    if (listed != stimulus.allowed.end()) {
      RecordProperty("difference", linux_line + " | " + pollux_line + ": " + listed->reason);
      continue;
    }
    ADD_FAILURE() << "line " << i << "\n  Linux:  " << linux_line << "\n  pollux: " << pollux_line;
  }
  if (!HasFailure()) return;
  for (const std::string& line : theirs) std::printf("  Linux:  %s\n", line.c_str());
  for (const std::string& line : ours) std::printf("  pollux: %s\n", line.c_str());
}

INSTANTIATE_TEST_SUITE_P(Table, Differential, testing::ValuesIn(stimuli()),
                         [](const auto& instance) { return instance.param.name; });

TEST(DifferentialTable, HoldsStimuliOfEveryKindAndAReasonForEachDifference) {
  EXPECT_GE(stimuli().size(), 40U);
  for (const Stimulus& stimulus : stimuli())
    for (const Allowed& allowed : stimulus.allowed) {
      EXPECT_NE(allowed.linux_line, allowed.pollux_line) << stimulus.name;
      EXPECT_GE(allowed.reason.size(), 20U) << stimulus.name;
    }
}

}  // namespace
}  // namespace pollux::differential
