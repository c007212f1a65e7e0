// No service, a mistyped verb, help: what needs no service at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, NoServiceIsExitTwentyForEveryVerb) {
  service_.reset();
  write_file("in", std::string(kBlockBytes, 'x'));
  const std::vector<std::vector<std::string>> commands = {
      {"discover", "10.0.0.1"},
      {"login", std::string("iscsi://10.0.0.1/") + kTarget},
      {"sessions"},
      {"send-targets", "0x1"},
      {"luns", "0x1"},
      {"inquiry", "0x1/0"},
      {"capacity", "0x1/0"},
      {"read", "0x1/0", "--output", "-"},
      {"write", "0x1/0", "--input", path("in")},
      {"verify", "0x1/0", "--input", path("in")},
      {"bench", "0x1/0"},
      {"logout", "0x1"},
      {"status"},
      {"stats"},
      {"top", "--count", "1"},
  };
  for (const auto& command : commands) {
    const Outcome run = pollux(command);
    EXPECT_EQ(run.exit_code, 20) << command[0] << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr("polluxd")) << "it does not say how to start one";
    EXPECT_TRUE(run.out.empty());
  }
  EXPECT_EQ(pollux({"sessions", "--json"}).json()["exit_code"], 20);
}

TEST_F(CliTest, MistypedVerb) {
  const Outcome run = pollux({"sesions"});
  EXPECT_EQ(run.exit_code, 7);
  EXPECT_THAT(run.err, HasSubstr("Did you mean 'sessions'?"));
}

TEST_F(CliTest, HelpAndVersionGoToStandardOutput) {
  EXPECT_EQ(pollux({"--help"}).exit_code, 0);
  EXPECT_THAT(pollux({"read", "--help"}).out, HasSubstr("--output"));
  EXPECT_THAT(pollux({"--version"}).out, HasSubstr("0.1.0"));
}

}  // namespace
}  // namespace pollux::cli::testing
