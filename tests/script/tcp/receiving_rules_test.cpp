// The rest of what a receiver promises: the edges of the window, which duplicates are reported, how
// the window opens, timestamps, FIN and urgent data in every order.
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

sim::TcpHostOptions with_window(std::uint32_t bytes) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_window_bytes = bytes;
  return options;
}

struct Range {
  std::uint32_t left = 0;
  std::uint32_t right = 0;
  bool operator==(const Range&) const = default;
};

/// The blocks of an acknowledgment, relative to the peer's first number.
std::vector<Range> blocks_of(const TcpScript& s, const SentSegment& ack) {
  std::vector<Range> out;
  for (std::size_t i = 0; i < ack.options.sack_count; ++i)
    out.push_back(
        {ack.options.sack[i].left.raw() - s.irs, ack.options.sack[i].right.raw() - s.irs});
  return out;
}

// --- Forgeries at the edges
// -----------------------------------------------------------------------------------

TEST(TcpReceivingRules, C22_C23_TheWindowOfAResetIsExact) {
  TcpScript s(with_window(8192));
  s.establish();
  s.receive({.flags = "R", .seq = 8192});  // the last number of the window
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  s.receive({.flags = "R", .seq = 8193});
  s.receive({.flags = "R", .seq = 0});
  s.receive({.flags = "R", .seq = 0x8000'0001});
  s.receive({.flags = "RA", .seq = 9000, .ack = 1});
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpReceivingRules, C26_TheLimitOfChallengesIsEachConnectionsOwnAndKeepsChanging) {
  TcpScript s;
  s.establish();
  std::vector<std::size_t> counts;
  for (int second = 0; second < 24; ++second) {
    s.discard();
    for (int i = 0; i < 100; ++i) s.receive({.flags = "R", .seq = 2});
    counts.push_back(s.waiting());
    EXPECT_GE(counts.back(), 8u);
    EXPECT_LE(counts.back(), 16u);
    s.advance(1s);
  }
  EXPECT_NE(std::count(counts.begin(), counts.end(), counts.front()),
            static_cast<std::ptrdiff_t>(counts.size()));
  // What one has used up says nothing about another (RFC 5961 7).
  for (int i = 0; i < 100; ++i) s.receive({.flags = "R", .seq = 2});
  s.discard();
  s.establish();
  s.receive({.flags = "R", .seq = 2});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
}

TEST(TcpReceivingRules, C32_WithAClosedWindowOnlyTheNextNumberIsAcceptable) {
  struct Row {
    std::uint32_t seq;
    std::size_t length;
    bool is_accepted;  // its acknowledgment counts
  };
  // RFC 9293 3.10.7.4, MUST-66: the ACK of a probe counts, its byte does not.
  for (const Row& row : {Row{2049, 0, true}, Row{2048, 0, false}, Row{2050, 0, false},
                         Row{2049, 5, true}, Row{2050, 5, false}, Row{2048, 1, false}}) {
    SCOPED_TRACE(row.seq);
    TcpScript s(with_window(2048));
    s.establish({.timestamps = false});
    s.receive({.payload = pattern(1460)});
    s.receive({.seq = 1461, .payload = pattern(588, 1460)});
    s.advance(20ms);
    s.discard();
    s.send("x");
    s.discard();
    s.receive({.seq = row.seq, .ack = 2, .payload = pattern(row.length)});
    EXPECT_EQ(s.engine().send_space(s.id).inline_bytes == 64 * 1024, row.is_accepted);
    EXPECT_EQ(s.engine().readable(s.id), 2048u);
    if (!row.is_accepted || row.length != 0) s.expect({.flags = "A", .ack = 2049, .window = 0});
    s.expect_silence();
  }
}

TEST(TcpReceivingRules, C33_AnUrgentPointerAndAnAckPassAClosedWindow) {
  TcpScript s(with_window(2048));
  s.establish({.timestamps = false});
  s.receive({.payload = pattern(1460)});
  s.receive({.seq = 1461, .payload = pattern(588, 1460)});
  s.send("x");
  s.discard();
  s.receive({.flags = "AU", .seq = 2049, .ack = 2, .urgent = 10});
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024);
  EXPECT_TRUE(s.read() == pattern(2048));
  s.turn();
  s.discard();
  s.receive({.seq = 2049, .ack = 2, .payload = "goes on"});
  EXPECT_EQ(s.read(), "goes on");
}

// --- Duplicates
// -----------------------------------------------------------------------------------

TEST(TcpReceivingRules, C35_TheOldPartOfASegmentIsReported) {
  TcpScript s;
  s.establish();
  s.receive({.payload = pattern(100)});
  s.advance(20ms);
  s.discard();
  s.receive({.seq = 51, .payload = pattern(100, 50)});
  const SentSegment ack = s.expect({.flags = "A", .ack = 151});
  EXPECT_EQ(blocks_of(s, ack), (std::vector<Range>{{51, 101}}));
  EXPECT_TRUE(s.read() == pattern(150));
}

TEST(TcpReceivingRules, C35_ADuplicateBehindAHoleIsReportedInsideItsRun) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 1001, .payload = pattern(500, 1000)});
  s.receive({.seq = 2001, .payload = pattern(500, 2000)});
  s.discard();
  // RFC 2883 4: the duplicate first, then the block that holds it, then the others.
  s.receive({.seq = 1101, .payload = pattern(100, 1100)});
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1})),
            (std::vector<Range>{{1101, 1201}, {1001, 1501}, {2001, 2501}}));
  // Told once.
  s.receive({.seq = 3001, .payload = "new"});
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1})),
            (std::vector<Range>{{3001, 3004}, {1001, 1501}, {2001, 2501}}));
  // One that overhangs on both sides: the first run that came twice.
  s.receive({.seq = 901, .payload = pattern(1200, 900)});
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1})),
            (std::vector<Range>{{1001, 1501}, {901, 2501}, {3001, 3004}}));
}

TEST(TcpReceivingRules, C35_TheRunOfTheDuplicateIsNextWhateverElseCameInTheBurst) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 1001, .payload = pattern(500, 1000)});
  s.discard();
  s.inject({.seq = 1101, .payload = pattern(100, 1100)});
  s.inject({.seq = 3001, .payload = "new"});
  s.turn();
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1})),
            (std::vector<Range>{{1101, 1201}, {1001, 1501}, {3001, 3004}}));
  // Half of it is in order by the time of the acknowledgment.
  s.inject({.seq = 1401, .payload = pattern(100, 1400)});
  s.inject({.payload = pattern(1000)});
  s.turn();
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1501})),
            (std::vector<Range>{{1401, 1501}, {3001, 3004}}));
}

TEST(TcpReceivingRules, C35_AFillerThatReachesIntoWhatWaitsReportsThat) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 101, .payload = pattern(100, 100)});
  s.discard();
  s.receive({.payload = pattern(150)});
  const SentSegment ack = s.expect({.flags = "A", .ack = 201});
  EXPECT_EQ(blocks_of(s, ack), (std::vector<Range>{{101, 151}}));
  EXPECT_TRUE(s.read() == pattern(200));
}

TEST(TcpReceivingRules, C35_WithoutSackADuplicateIsOnlyAcknowledged) {
  TcpScript s;
  s.establish({.sack = false, .timestamps = false});
  s.receive({.payload = pattern(100)});
  s.receive({.payload = pattern(100)});
  EXPECT_EQ(s.expect({.flags = "A", .ack = 101}).option_bytes, 0u);
}

TEST(TcpReceivingRules, C36_WhatFillsAHoleInPartIsAcknowledgedAtOnce) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 301, .payload = pattern(100, 300)});
  s.discard();
  s.receive({.payload = pattern(100)});
  s.expect({.flags = "A", .ack = 101});
  s.receive({.seq = 201, .payload = pattern(100, 200)});
  s.expect({.flags = "A", .ack = 101});
  s.receive({.seq = 101, .payload = pattern(100, 100)});
  s.expect({.flags = "A", .ack = 401});
}

TEST(TcpReceivingRules, C37_FourBlocksWithoutTimestampsAndOlderOnesAgain) {
  TcpScript s;
  s.establish({.timestamps = false});
  for (const std::uint32_t seq : {101u, 301u, 501u, 701u, 901u}) {
    s.discard();
    s.receive({.seq = seq, .payload = "ab"});
  }
  EXPECT_EQ(blocks_of(s, s.expect({.flags = "A", .ack = 1})),
            (std::vector<Range>{{901, 903}, {701, 703}, {501, 503}, {301, 303}}));
}

// --- The window
// -----------------------------------------------------------------------------------

/// Fills the window, reads it byte by byte with a segment of ours after each, and returns the steps
/// in which the right edge moved.
std::vector<std::uint32_t> steps_of(std::uint32_t window, unsigned shift) {
  TcpScript s(with_window(window));
  s.establish({.timestamps = false});
  std::uint32_t seq = 1;
  while (seq <= window) {
    const std::uint32_t length = std::min<std::uint32_t>(1460, window + 1 - seq);
    s.receive({.flags = "PA", .seq = seq, .payload = pattern(length)});
    seq += length;
  }
  s.advance(20ms);
  s.discard();
  std::vector<std::uint32_t> steps;
  std::uint32_t edge = seq;
  std::uint32_t acked = 1;
  for (std::uint32_t i = 0; i < window; ++i) {
    EXPECT_EQ(s.read(1).size(), 1u);
    s.clock.advance(60us);  // what was sent completes
    s.send("x");
    while (s.waiting() != 0) {
      const SentSegment sent = s.take();
      acked += static_cast<std::uint32_t>(sent.payload.size());
      const std::uint32_t now = sent.ack - s.irs + (std::uint32_t{sent.window} << shift);
      EXPECT_GE(now, edge);
      if (now != edge) steps.push_back(now - edge);
      edge = now;
    }
    s.receive({.seq = seq, .ack = acked});
  }
  return steps;
}

TEST(TcpReceivingRules, C42_TheWindowGrowsByASegmentOrHalfTheBuffer) {
  // RFC 9293 3.8.6.2.2: at least the smaller of both.
  for (const std::uint32_t window : {1000u, 2048u, 8192u, 65'535u}) {
    const std::vector<std::uint32_t> steps = steps_of(window, 0);
    EXPECT_FALSE(steps.empty()) << window;
    for (const std::uint32_t step : steps) EXPECT_GE(step, std::min(1460u, window / 2)) << window;
  }
}

TEST(TcpReceivingRules, C42_AScaledWindowGrowsInTheSameSteps) {
  // RFC 7323 2.4: less than one unit more is rounding.
  for (const std::uint32_t step : steps_of(70'000, 1))
    EXPECT_TRUE(step <= 1 || step >= 1460) << step;
}

TEST(TcpReceivingRules, C44_TheUpdateDoesNotWaitForADelayedAck) {
  TcpScript s(with_window(4096));
  s.establish({.timestamps = false});
  s.receive({.payload = pattern(1460)});
  s.receive({.seq = 1461, .payload = pattern(1460, 1460)});
  s.expect({.flags = "A", .ack = 2921});
  s.receive({.seq = 2921, .payload = pattern(1176, 2920)});
  s.expect_silence();  // this one waits for more, the window is full
  EXPECT_EQ(s.read().size(), 4096u);
  s.turn();
  s.expect({.flags = "A", .ack = 4097, .window = 4096});
  s.advance(50ms);
  s.expect_silence();  // one segment was enough
}

// --- Timestamps
// -----------------------------------------------------------------------------------

TEST(TcpReceivingRules, C45_AnOldTimestampIsAnsweredAndAResetIsExempt) {
  TcpScript s;
  s.establish();
  const std::uint32_t old = s.peer_timestamp() - 1;
  s.receive({.payload = "old", .tsval = old});
  s.expect({.flags = "A", .seq = 1, .ack = 1, .length = 0});
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  EXPECT_EQ(s.counters().dropped_paws.get(), 1u);
  s.receive({.payload = "same", .tsval = old + 1});
  EXPECT_EQ(s.read(), "same");
  s.receive({.flags = "R", .seq = 5, .tsval = old});
  EXPECT_EQ(s.state(), State::closed);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::reset_by_peer);
}

TEST(TcpReceivingRules, C46_WhatReachesBackToTheLastAckMovesTsRecent) {
  TcpScript s;
  s.establish();
  const std::uint32_t start = s.peer_timestamp();
  // Ahead of the last acknowledgment: not taken, nor by its duplicate.
  s.receive({.seq = 101, .payload = pattern(100, 100), .tsval = start + 50});
  EXPECT_EQ(s.take().options.tsecr, start);
  // At it, and one that begins before it.
  s.receive({.payload = pattern(100), .tsval = start + 60});
  EXPECT_EQ(s.expect({.ack = 201}).options.tsecr, start + 60);
  s.receive({.seq = 151, .payload = pattern(100, 150), .tsval = start + 70});
  EXPECT_EQ(s.expect({.ack = 251}).options.tsecr, start + 70);
  // Never back.
  s.receive({.seq = 251, .payload = "old", .tsval = start + 69});
  EXPECT_EQ(s.expect({.ack = 251}).options.tsecr, start + 70);
}

TEST(TcpReceivingRules, C47_TwentyThreeDaysAreNotEnough) {
  for (const bool forgives : {false, true}) {
    TcpScript s;
    s.establish();
    s.advance(20s);
    s.clock.advance(std::chrono::hours(forgives ? 24 * 24 + 1 : 23 * 24));
    s.turn();
    s.receive({.payload = "x", .tsval = s.peer_timestamp() - 0x7800'0000u});
    EXPECT_EQ(s.engine().readable(s.id), forgives ? 1u : 0u);
    EXPECT_EQ(s.counters().dropped_paws.get(), forgives ? 0u : 1u);
  }
}

TEST(TcpReceivingRules, C49_WhatFillsAHoleIsEchoed) {
  TcpScript s;
  s.establish();
  const std::uint32_t start = s.peer_timestamp();
  s.receive({.payload = "a", .tsval = start + 10});
  s.advance(20ms);
  EXPECT_EQ(s.take().options.tsecr, start + 10);
  s.receive({.seq = 3, .payload = "c", .tsval = start + 20});
  EXPECT_EQ(s.expect({.ack = 2}).options.tsecr, start + 10);
  s.receive({.seq = 2, .payload = "b", .tsval = start + 30});
  EXPECT_EQ(s.expect({.ack = 4}).options.tsecr, start + 30);
}

// --- FIN and urgent data
// -----------------------------------------------------------------------------------

TEST(TcpReceivingRules, C50_WhatWasFiledBehindTheFinIsDropped) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 5, .payload = "ef?beyond"});  // two bytes of it lie before the FIN
  s.receive({.seq = 21, .payload = "far beyond"});
  s.discard();
  s.receive({.flags = "FA", .seq = 3, .payload = "cdef"});
  s.expect({.flags = "A", .ack = 1});
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.events() & tcp::kPeerClosed, 0u);
  s.receive({.payload = "ab"});
  s.expect({.flags = "A", .ack = 8});
  EXPECT_EQ(s.state(), State::close_wait);
  EXPECT_EQ(s.read(), "abcdef");
  EXPECT_NE(s.counters().dropped_after_end.get(), 0u);
  // And nothing is taken any more.
  s.receive({.seq = 8, .payload = "more"});
  EXPECT_EQ(s.read(), "");
}

TEST(TcpReceivingRules, C51_AnUrgentPointerAnywhereLeavesTheStreamAsItIs) {
  for (const std::uint16_t urgent : std::to_array<std::uint16_t>({0, 1, 3, 4, 5, 1000, 0xffff})) {
    TcpScript s;
    s.establish();
    s.receive({.flags = "AU", .seq = 5, .payload = "efgh", .urgent = urgent});  // out of order
    s.receive({.flags = "APU", .payload = "abcd", .urgent = urgent});
    s.receive({.flags = "AU", .seq = 9, .urgent = urgent});  // and without data
    EXPECT_EQ(s.read(), "abcdefgh") << urgent;
    s.discard();
    s.send("answer");
    s.expect({.flags = "PA", .seq = 1, .ack = 9, .length = 6});
    s.receive({.flags = "AU", .seq = 9, .ack = 7, .payload = "ij", .urgent = urgent});
    EXPECT_EQ(s.read(), "ij");
    s.receive({.flags = "FAU", .seq = 11, .ack = 7, .urgent = urgent});
    EXPECT_EQ(s.state(), State::close_wait);
  }
}

}  // namespace
}  // namespace pollux
