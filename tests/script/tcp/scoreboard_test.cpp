// The scoreboard alone: what SACK reports do to it, and the sums that follow.
#include "dataplane/tcp/scoreboard.hpp"

#include <gtest/gtest.h>


#include "dataplane/base/random.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using tcp::Scoreboard;
using tcp::Transmission;

constexpr std::uint32_t kMss = 1000;
constexpr TcpSeq kUna{0xffff'ff00};  // wraps in every test

struct Board {
  explicit Board(std::uint32_t segments) {
    for (std::uint32_t i = 0; i < segments; ++i)
      board.on_sent(kUna + i * kMss, kUna + (i + 1) * kMss, Instant{Duration{i}});
    nxt = kUna + segments * kMss;
  }
  std::uint32_t sack(std::uint32_t left, std::uint32_t right) {
    return board.add({kUna + left, kUna + right}, kUna, nxt, [](const Transmission&) {});
  }
  /// Sums added up anew, and the order of the runs.
  void check() {
    std::uint32_t sacked = 0, runs = 0, lost = 0, resent = 0;
    for (std::uint32_t i = 0; i < board.size(); ++i) {
      const Transmission& run = board[i];
      ASSERT_NE(run.bytes(), 0u);
      if (i != 0) {
        ASSERT_EQ(run.start, board[i - 1].end);
      }
      ASSERT_FALSE(run.sacked && (run.lost || run.resent));
      sacked += run.sacked ? run.bytes() : 0;
      runs += run.sacked ? 1 : 0;
      lost += run.lost ? run.bytes() : 0;
      resent += run.resent ? run.bytes() : 0;
    }
    ASSERT_EQ(sacked, board.sacked_bytes());
    ASSERT_EQ(runs, board.sacked_runs());
    ASSERT_EQ(lost, board.lost_bytes());
    ASSERT_EQ(resent, board.resent_bytes());
  }
  Scoreboard::Slab slab{1, 256};
  Scoreboard board{slab.ring(0)};
  TcpSeq nxt;
};

TEST(TcpScoreboard, C79_InvalidBlocksLeaveItConsistent) {
  Board b(10);
  EXPECT_EQ(b.sack(200, 100), 0u);
  EXPECT_EQ(b.board.add({kUna - 100, kUna + 100}, kUna, b.nxt, [](const Transmission&) {}), 0u);
  EXPECT_EQ(b.sack(9000, 10'001), 0u);
  EXPECT_EQ(b.sack(5, 5), 0u);
  EXPECT_EQ(b.board.add({kUna + 0x8000'0000u, kUna + 5}, kUna, b.nxt, [](const Transmission&) {}),
            0u);
  b.check();
  EXPECT_EQ(b.sack(1000, 2000), 1000u);
  EXPECT_EQ(b.sack(3000, 4000), 1000u);
  EXPECT_EQ(b.sack(1200, 1300), 0u) << "nested in what is known";
  EXPECT_EQ(b.sack(1500, 3500), 1000u) << "overlaps both";
  b.check();
  EXPECT_EQ(b.board.sacked_bytes(), 3000u);
  b.board.advance(kUna + 1500, [](const Transmission&) {});
  b.check();
  EXPECT_EQ(b.board.sacked_bytes(), 2500u);
}

TEST(TcpScoreboard, C79_ABlockWithoutBytesIsNoReportOfADuplicate) {
  sim::TcpScript s;
  s.establish();
  s.send(sim::pattern(1000));
  for (const std::uint32_t left : {1u, 500u}) s.receive({.sack = {{TcpSeq{left}, TcpSeq{1}}}});
  EXPECT_EQ(s.counters().dsacks_received.get(), 0u);
}

TEST(TcpScoreboard, C79_AnySequenceOfBlocksLeavesItConsistent) {
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    Board b(20);
    TcpSeq una = kUna;
    for (int step = 0; step < 200; ++step) {
      const auto any = [&] { return kUna - 3000 + random.below(26'000); };
      switch (random.below(8)) {
        case 0:
          if (random.below(6) == 0) {
            const TcpSeq to = kUna + random.below(20'001);
            if (una.precedes(to)) una = to;
            b.board.advance(una, [](const Transmission&) {});
          }
          break;
        case 1:
          b.board.mark_lost_by_threshold(kMss);
          break;
        case 2:
          if (const std::uint32_t i = b.board.next_lost(); i != b.board.size())
            b.board.on_resent(i, std::min(b.board[i].bytes(), 1 + random.below(kMss)),
                              Instant{Duration{1000 + step}});
          break;
        case 3:
          if (random.below(20) == 0) b.board.mark_all_lost();
          if (random.below(20) == 0) b.board.forget_losses();
          break;
        case 4:
          if (!b.board.empty()) {
            const std::uint32_t tail = b.board.tail(1 + random.below(kMss));
            ASSERT_EQ(tail, b.board.size() - 1);
          }
          break;
        default:
          b.board.add({any(), any()}, una, b.nxt, [](const Transmission&) {});
      }
      b.check();
      const std::uint32_t flight = b.nxt.distance_from(una);
      ASSERT_LE(b.board.pipe(flight), 2 * flight);
    }
  }
}

TEST(TcpScoreboard, C77_IsLostByThreeRunsOrMoreThanTwoSegments) {
  Board b(10);
  b.sack(1000, 2000);
  b.sack(3000, 4000);
  EXPECT_EQ(b.board.mark_lost_by_threshold(kMss), 0u);
  b.sack(5000, 5001);  // the third run, however short
  EXPECT_EQ(b.board.mark_lost_by_threshold(kMss), 1000u);
  EXPECT_TRUE(b.board[0].lost);
  b.sack(4500, 5000);  // 1000 + 501 bytes above the hole at 2000
  EXPECT_EQ(b.board.mark_lost_by_threshold(kMss), 0u);
  b.sack(6000, 7000);
  b.sack(8000, 9000);
  EXPECT_EQ(b.board.mark_lost_by_threshold(kMss), 1500u);
  b.check();
  // Pipe: what is neither reported nor lost, and what was sent again (RFC 6675 4).
  const std::uint32_t flight = 10'000;
  EXPECT_EQ(b.board.pipe(flight), flight - b.board.sacked_bytes() - 2500u);
  const std::uint32_t first = b.board.next_lost();
  EXPECT_EQ(first, 0u);
  b.board.on_resent(first, 1000, Instant{});
  EXPECT_EQ(b.board.pipe(flight), flight - b.board.sacked_bytes() - 1500u);
  EXPECT_EQ(b.board[b.board.next_lost()].start, (kUna + 2000).raw());
}

TEST(TcpScoreboard, ACopyOfTheLastRunDoesNotGrowByNewSegments) {
  Board b(0);
  // Up to where small segments share a run.
  std::uint32_t at = 0;
  for (; at < 250; ++at) b.board.on_sent(kUna + at, kUna + at + 1, Instant{});
  // A tail loss probe repeats the last run, and then more is sent.
  b.board.on_resent(b.board.size() - 1, b.board[b.board.size() - 1].bytes(), Instant{});
  b.board.on_sent(kUna + at, kUna + at + 1, Instant{});
  b.nxt = kUna + at + 1;
  b.check();
}

TEST(TcpScoreboard, ManySmallSegmentsShareTheLastPlaces) {
  Board b(0);
  TcpSeq at = kUna;
  for (std::uint32_t i = 0; i < 1000; ++i, at += 48)
    b.board.on_sent(at, at + 48, Instant{Duration{i}});
  EXPECT_LE(b.board.size(), 256u - 64u);
  b.check();
  EXPECT_EQ(b.board[b.board.size() - 1].end, at.raw());
}

}  // namespace
}  // namespace pollux
