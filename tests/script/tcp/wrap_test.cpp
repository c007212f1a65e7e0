// Sequence numbers of both ends that wrap. The peer's lie just below the wrap in every script; with
// POLLUX_SCRIPT_WRAP set (the test "tcp_script wrap") the engine's do as well, at a distance that
// differs from script to script, and this program runs all of its scripts so.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;

constexpr std::size_t kScriptsLeast = 150;

/// After the last test: it really was nearly all of them.
class ScriptsWrapped final : public ::testing::Environment {
  void TearDown() override {
    if (TcpScript::wraps() && ::testing::GTEST_FLAG(filter) == "*") {
      EXPECT_GE(TcpScript::wrapped(), kScriptsLeast);
    }
  }
};
[[maybe_unused]] const auto* const kScriptsWrapped =
    ::testing::AddGlobalTestEnvironment(new ScriptsWrapped);

TEST(TcpWrap, C52_EveryScriptRunsWithTheNumbersOfBothEndsAtTheWrap) {
  if (!TcpScript::wraps()) GTEST_SKIP() << "without POLLUX_SCRIPT_WRAP";
  TcpScript s;
  s.establish();
  ASSERT_LE(0u - s.iss, 3000u);
  ASSERT_LE(0u - s.irs, 1000u);
  const std::string data = pattern(8000);
  s.send(data);
  std::string got;
  while (s.waiting() != 0) {
    const sim::SentSegment sent = s.take();
    EXPECT_EQ(sent.seq - s.iss - 1, got.size());
    got += sent.payload;
  }
  EXPECT_TRUE(got == data);
  // A hole of theirs and a loss of ours, each across the wrap.
  s.receive({.seq = 501,
             .ack = 1,
             .payload = pattern(1400, 500),
             .sack = {{TcpSeq{1449}, TcpSeq{8001}}}});
  s.receive({.seq = 1, .ack = 1, .payload = pattern(500), .sack = {{TcpSeq{1449}, TcpSeq{8001}}}});
  EXPECT_TRUE(s.read() == pattern(1900));
  s.advance(50ms);
  EXPECT_NE(s.counters().segments_retransmitted.get(), 0u);
  s.receive({.seq = 1901, .ack = 8001});
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024);
}

}  // namespace
}  // namespace pollux
