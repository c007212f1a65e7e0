// Segments of the peer in a synchronized state: what is accepted, what is answered, what is forged.
#include <gtest/gtest.h>

#include <set>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::PeerSegment;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

sim::TcpHostOptions small_window(std::uint32_t bytes) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_window_bytes = bytes;
  return options;
}

// --- Forgeries
// ------------------------------------------------------------------------------------------

TEST(TcpArrivals, C19_BadChecksumIsDroppedInSilence) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "data", .bad_checksum = true});
  s.advance(100ms);
  s.expect_silence();
  EXPECT_EQ(s.engine().readable(s.id), 0u);
}

TEST(TcpArrivals, C21_ResetExactlyAtRcvNxt) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "kept"});
  tcp::SendReference reference;
  const std::vector<std::byte> bytes(5000);
  s.send_external(bytes, &reference);
  EXPECT_EQ(reference.count, 1u);
  s.receive({.flags = "R", .seq = 5});
  EXPECT_EQ(s.state(), State::closed);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::reset_by_peer);
  EXPECT_EQ(reference.count, 0u);
  EXPECT_EQ(s.read(), "kept");
}

TEST(TcpArrivals, C22_ResetInsideTheWindowIsChallenged) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "R", .seq = 2});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpArrivals, C23_ResetOutsideTheWindowIsIgnored) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "R", .seq = 0});
  s.receive({.flags = "R", .seq = 3'000'000});
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
  TcpScript edge(small_window(8192));
  edge.establish();
  edge.receive({.flags = "R", .seq = 8193});  // one past the last number of the window
  edge.expect_silence();
  edge.receive({.flags = "R", .seq = 8192});
  edge.expect({.flags = "A", .ack = 1});
}

TEST(TcpArrivals, C24_SynIsChallengedWhateverItsNumber) {
  TcpScript s;
  s.establish();
  for (const std::uint32_t seq : {0u, 1u, 100u, 0x7000'0000u}) {
    s.receive({.flags = "S", .seq = seq});
    s.expect({.flags = "A", .seq = 1, .ack = 1});
  }
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpArrivals, C25_AckOutsideTheRange) {
  TcpScript s;
  s.establish();
  s.receive({.ack = 2, .payload = "from the future"});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  s.receive({.ack = 1 - (0xffffu << 7) - 1, .payload = "from the past"});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  s.receive({.ack = 0, .payload = "old but in range"});
  EXPECT_EQ(s.engine().readable(s.id), 16u);
}

TEST(TcpArrivals, C26_ChallengeAcksAreLimited) {
  TcpScript s;
  s.establish();
  for (int i = 0; i < 10'000; ++i) s.receive({.flags = "R", .seq = 2});
  EXPECT_GE(s.waiting(), 8u);
  EXPECT_LE(s.waiting(), 16u);
  // How many there are in a second is nothing that a third party can know beforehand.
  std::set<std::size_t> limits;
  for (int second = 0; second < 16; ++second) {
    s.discard();
    s.clock.advance(1s);
    for (int i = 0; i < 20; ++i) s.receive({.flags = "R", .seq = 2});
    limits.insert(s.waiting());
  }
  EXPECT_GT(limits.size(), 1u);
}

TEST(TcpArrivals, C27_DataWithoutAckIsDropped) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "P", .payload = "data"});
  s.expect_silence();
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  EXPECT_EQ(s.counters().dropped_no_ack_flag.get(), 1u);
}

// --- Acceptability and trimming
// -------------------------------------------------------------------------

TEST(TcpArrivals, C32_AcceptabilityTable) {
  struct Row {
    std::uint32_t seq;
    std::size_t length;
    bool is_accepted;  // its acknowledgment counts
  };
  // The window is 8192 bytes from number 1 on.
  for (const Row& row : {Row{1, 0, true}, Row{8192, 0, true}, Row{0, 0, false}, Row{8194, 0, false},
                         Row{1, 10, true}, Row{8192, 10, true}, Row{8193, 10, false},
                         Row{0xffff'fff7u, 10, false}, Row{0xffff'fff8u, 10, true}}) {
    SCOPED_TRACE(row.seq);
    TcpScript s(small_window(8192));
    s.establish();
    s.send("x");
    s.discard();
    s.receive({.seq = row.seq, .ack = 2, .payload = pattern(row.length)});
    const bool accepted = s.engine().send_space(s.id).inline_bytes == 64 * 1024;
    EXPECT_EQ(accepted, row.is_accepted);
    if (!row.is_accepted) s.expect({.flags = "A", .ack = 1});
  }
}

TEST(TcpArrivals, C33_ZeroWindow) {
  TcpScript s(small_window(2048));
  s.establish();
  s.receive({.payload = pattern(1448)});
  s.receive({.seq = 1449, .payload = pattern(600, 1448)});
  s.advance(20ms);
  s.expect({.flags = "A", .ack = 2049, .window = 0});
  s.discard();
  s.send("x");
  s.discard();
  // A probe of one byte: not taken, answered, its acknowledgment counts.
  s.receive({.seq = 2049, .ack = 2, .payload = "p"});
  s.expect({.flags = "A", .ack = 2049, .window = 0});
  EXPECT_EQ(s.engine().readable(s.id), 2048u);
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024);
  s.receive({.flags = "R", .seq = 2049});
  EXPECT_EQ(s.state(), State::closed);
}

TEST(TcpArrivals, C34_OverlapIsTrimmedAndDeliveredOnce) {
  TcpScript s(small_window(4096));
  s.establish();
  const std::string bytes = pattern(6000);
  s.receive({.payload = bytes.substr(0, 1000)});
  s.receive({.seq = 501, .payload = bytes.substr(500, 1000)});
  s.receive({.seq = 3001, .payload = bytes.substr(3000, 1400)});  // 304 bytes beyond the edge
  s.receive({.seq = 1501, .payload = bytes.substr(1500, 1448)});
  s.receive({.seq = 2949, .payload = bytes.substr(2948, 100)});
  EXPECT_EQ(s.read(), bytes.substr(0, 4096));
}

TEST(TcpArrivals, C34_ASegmentAroundTheWindowIsCutAtBothEnds) {
  TcpScript s(small_window(2048));
  s.establish();
  const std::string bytes = pattern(4000);
  s.receive({.payload = bytes.substr(0, 1448)});
  s.receive({.seq = 1401, .payload = bytes.substr(1400, 1400)});
  EXPECT_EQ(s.engine().readable(s.id), 2048u);
  EXPECT_EQ(s.read(), bytes.substr(0, 2048));
}

TEST(TcpArrivals, C34_AFinIsCutOffWithTheBytesBeforeIt) {
  TcpScript s(small_window(2048));
  s.establish();
  const std::string bytes = pattern(2148);
  s.receive({.payload = bytes.substr(0, 1448)});
  s.receive({.flags = "FA", .seq = 1449, .payload = bytes.substr(1448)});
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.read(), bytes.substr(0, 2048));
  s.turn();
  s.receive({.flags = "FA", .seq = 2049, .payload = bytes.substr(2048)});
  EXPECT_EQ(s.read(), bytes.substr(2048));
  EXPECT_EQ(s.state(), State::close_wait);
}

TEST(TcpArrivals, C35_FullDuplicateIsAckedAtOnceWithDsack) {
  TcpScript s;
  s.establish();
  s.receive({.payload = pattern(100)});
  s.advance(20ms);
  s.expect({.flags = "A", .ack = 101});
  s.receive({.payload = pattern(100)});
  const SentSegment ack = s.expect({.flags = "A", .ack = 101});
  ASSERT_EQ(ack.options.sack_count, 1);
  EXPECT_EQ(ack.options.sack[0].left.raw() - s.irs, 1u);
  EXPECT_EQ(ack.options.sack[0].right.raw() - s.irs, 101u);
  EXPECT_EQ(s.engine().readable(s.id), 100u);
}

TEST(TcpArrivals, C36_HolesAreReportedAtOnce) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 101, .payload = pattern(100, 100)});
  const SentSegment duplicate = s.expect({.flags = "A", .ack = 1});
  EXPECT_EQ(duplicate.options.sack_count, 1);
  s.receive({.payload = pattern(100)});
  s.expect({.flags = "A", .ack = 201});
  EXPECT_EQ(s.read(), pattern(200));
}

TEST(TcpArrivals, C37_NewestBlockFirstAndThreeAtMost) {
  TcpScript s;
  s.establish();
  for (const std::uint32_t seq : {101u, 301u, 501u, 701u}) s.receive({.seq = seq, .payload = "ab"});
  for (int i = 0; i < 3; ++i) s.take();
  SentSegment ack = s.take();
  ASSERT_EQ(ack.options.sack_count, 3);
  EXPECT_EQ(ack.options.sack[0].left.raw() - s.irs, 701u);
  EXPECT_EQ(ack.options.sack[1].left.raw() - s.irs, 501u);
  EXPECT_EQ(ack.options.sack[2].left.raw() - s.irs, 301u);
  s.receive({.seq = 103, .payload = "cd"});
  ack = s.take();
  EXPECT_EQ(ack.options.sack[0].left.raw() - s.irs, 101u);
  EXPECT_EQ(ack.options.sack[0].right.raw() - s.irs, 105u);
}

TEST(TcpArrivals, C38_OutOfOrderPiecesAreBounded) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.out_of_order_views = 16;
  TcpScript s(options);
  s.establish();
  for (std::uint32_t i = 0; i < 1000; ++i) s.receive({.seq = 3 + 2 * i, .payload = "o"});
  EXPECT_EQ(s.counters().dropped_out_of_order_full.get(), 1000u - 16);
  s.advance(2ms);  // what was sent completes
  EXPECT_LE(s.host.memory.buffers_in_use(), 16u + 64u + 64u);
  s.receive({.payload = pattern(1000)});
  EXPECT_EQ(s.engine().readable(s.id), 1000u);
  s.engine().abort(s.id, s.clock.now());
  s.engine().release(s.id);
  s.turn();
  EXPECT_EQ(s.engine().open_connections(), 0u);
}

TEST(TcpArrivals, C39_WhatCameFirstStays) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 5, .payload = "FIRST"});
  s.receive({.seq = 3, .payload = "secondsec"});
  s.receive({.payload = "ab????"});
  EXPECT_EQ(s.read(), "abseFIRSTec");
}

// --- Acknowledging
// --------------------------------------------------------------------------------------

TEST(TcpArrivals, C40_DelayedAckCountsBytes) {
  TcpScript s;
  s.establish();
  s.receive({.payload = pattern(100)});
  s.expect_silence();
  s.advance(9ms);
  s.expect_silence();
  s.advance(3ms);
  s.expect({.flags = "A", .ack = 101});
  // Two full segments' worth, in pieces that are none.
  std::uint32_t seq = 101;
  for (int i = 0; i < 3; ++i, seq += 1000) {
    s.expect_silence();
    s.receive({.seq = seq, .payload = pattern(1000, seq - 1)});
  }
  s.expect({.flags = "A", .ack = 3101});
}

TEST(TcpArrivals, C40_TwoFullSegmentsAreAcknowledgedOnceAndAtOnce) {
  TcpScript s;
  s.establish();
  s.receive({.payload = pattern(1448)});
  s.expect_silence();
  s.receive({.seq = 1449, .payload = pattern(1448, 1448)});
  s.expect({.flags = "A", .ack = 2897});
  s.advance(1s);  // the timer of the first has nothing left to do
  s.expect_silence();
}

TEST(TcpArrivals, C41_OneAckForABurst) {
  TcpScript s;
  s.establish();
  for (std::uint32_t i = 0; i < 32; ++i)
    s.inject({.seq = 1 + i * 1448, .payload = pattern(1448, i * 1448)});
  s.turn();
  s.expect({.flags = "A", .ack = 1 + 32 * 1448});
  s.expect_silence();
  EXPECT_GE(s.counters().segments_predicted.get(), 32u);
  EXPECT_EQ(s.read(), pattern(32 * 1448));
}

// --- Our window
// -----------------------------------------------------------------------------------------

TEST(TcpArrivals, C43_TheRightEdgeNeverMovesLeft) {
  TcpScript s(small_window(200'000));
  s.establish();
  std::uint32_t seq = 1;
  std::uint32_t edge = 0;
  Random random(9);
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t length = 1 + random.below(1448);
    if (edge != 0 && seq + length > edge) s.read(random.below(50'000));
    if (edge == 0 || seq + length <= edge) {
      s.receive({.flags = "PA", .seq = seq, .payload = pattern(length)});
      seq += length;
    }
    s.advance(11ms);
    while (s.waiting() != 0) {
      const SentSegment ack = s.take();
      const std::uint32_t now_edge = ack.ack - s.irs + (std::uint32_t{ack.window} << 2);
      EXPECT_GE(now_edge, edge);
      edge = std::max(edge, now_edge);
    }
  }
  EXPECT_GT(seq, 200'000u);
}

TEST(TcpArrivals, C44_WindowReopensAtOnce) {
  TcpScript s(small_window(4096));
  s.establish();
  for (std::uint32_t seq = 1; seq < 4097; seq += 1024)
    s.receive({.seq = seq, .payload = pattern(1024, seq - 1)});
  s.advance(20ms);
  s.discard();
  s.read();
  s.turn();
  s.expect({.flags = "A", .ack = 4097, .window = 4096});
  s.expect_silence();
}

TEST(TcpArrivals, C44_TwoSegmentsOfALargeClosedWindowAreWorthAnUpdate) {
  TcpScript s(small_window(40'000));
  s.establish();
  for (std::uint32_t seq = 1; seq < 40'001; seq += 1000)
    s.receive({.seq = seq, .payload = pattern(1000, seq - 1)});
  s.advance(20ms);
  s.discard();
  s.receive({.seq = 40'001, .payload = "p"});
  s.expect({.flags = "A", .ack = 40'001, .window = 0});
  s.read(3000);
  s.turn();
  s.expect({.flags = "A", .ack = 40'001, .window = 3000});
}

TEST(TcpArrivals, ViewsThatDoNotFitAreDroppedAndComeAgain) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views = 4;
  TcpScript s(options);
  s.establish();
  for (std::uint32_t i = 0; i < 5; ++i) s.receive({.seq = 1 + i, .payload = pattern(1, i)});
  EXPECT_EQ(s.engine().readable(s.id), 4u);
  EXPECT_NE(s.counters().dropped_receive_queue_full.get(), 0u);
  EXPECT_EQ(s.read(), pattern(4));
  s.receive({.seq = 5, .payload = pattern(1, 4)});
  EXPECT_EQ(s.read(), pattern(1, 4));
}

TEST(TcpArrivals, C38_WhatAllConnectionsKeepIsBounded) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views_total = 8;
  options.limits.receive_views_least = 4;
  options.limits.copy_cells = 0;  // every piece keeps its buffer
  TcpScript s(options);
  s.establish();
  const std::size_t before = s.host.memory.buffers_in_use();
  // In order and behind holes, until the budget of all is spent.
  for (std::uint32_t i = 0; i < 6; ++i) s.receive({.seq = 1 + i, .payload = pattern(1, i)});
  for (std::uint32_t i = 0; i < 20; ++i) s.receive({.seq = 9 + 2 * i, .payload = "x"});
  EXPECT_LE(s.host.memory.buffers_in_use(), before + 8 + 4);
  EXPECT_NE(s.counters().dropped_receive_budget.get(), 0u);
  EXPECT_EQ(s.read(), pattern(6));
  // What was dropped comes again, and everything is given back.
  s.receive({.seq = 7, .payload = pattern(60, 6)});
  EXPECT_EQ(s.read().size(), 60u);
  s.discard();
  s.receive({.seq = 67, .payload = "on"});
  EXPECT_EQ(s.read(), "on");
  s.engine().release(s.id);
  s.turn();
  EXPECT_LE(s.host.memory.buffers_in_use(), before);
}

TEST(TcpArrivals, C38_WithAllInUseAReaderWithNothingToReadStillGetsMore) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views_total = options.limits.receive_views_most = 6;
  options.limits.copy_cells = 0;
  TcpScript s(options);
  s.establish();
  for (std::uint32_t i = 0; i < 20; ++i) s.receive({.seq = 2 + 2 * i, .payload = "x"});
  EXPECT_NE(s.counters().dropped_receive_budget.get(), 0u);
  s.receive({.seq = 1, .payload = "1"});
  EXPECT_EQ(s.read().substr(0, 2), "1x");
}

TEST(TcpArrivals, C38_BothQueuesTogetherKeepNoMoreThanThereIs) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views_total = 6;
  options.limits.receive_views_most = 8;
  options.limits.receive_views_least = 6;
  options.limits.copy_cells = 0;
  TcpScript s(options);
  s.establish();
  const std::size_t before = s.host.memory.buffers_in_use();
  // Each of the two queues may grow to six, and both together to eight.
  for (std::uint32_t i = 0; i < 5; ++i) s.receive({.seq = 1 + i, .payload = pattern(1, i)});
  for (std::uint32_t i = 0; i < 20; ++i) s.receive({.seq = 7 + 2 * i, .payload = "x"});
  EXPECT_LE(s.host.memory.buffers_in_use(), before + 8);
  EXPECT_NE(s.counters().dropped_receive_budget.get(), 0u);
  EXPECT_EQ(s.read(), pattern(5));
}

TEST(TcpArrivals, C43_TheBudgetOfAllShrinksTheWindowButNeverMovesItsEdgeLeft) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views_total = 4;
  options.limits.receive_window_least = 4096;
  TcpScript s(options);
  s.establish({.window_scale = {}, .timestamps = false});
  std::uint32_t edge = 1 + 65'535;
  for (std::uint32_t i = 0; i < 12; ++i) {
    s.receive({.seq = 1 + i * 1000, .payload = pattern(1000, i * 1000)});
    while (s.waiting() > 0) {
      const SentSegment ack = s.take();
      const std::uint32_t now = ack.ack - s.irs + ack.window;
      EXPECT_GE(now, edge);
      edge = now;
    }
  }
  EXPECT_LE(edge, 1u + 65'535u + 3000u);
  EXPECT_EQ(s.engine().readable(s.id), 12'000u);  // a connection alone may keep these few
  EXPECT_EQ(s.read(), pattern(12'000));
}

TEST(TcpArrivals, TakeFrontHandsOverAReferenceOfItsOwn) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "abcdef"});
  tcp::RxView view;
  ASSERT_EQ(s.engine().take_front(s.id, 2, view), 2u);
  EXPECT_EQ(s.read(), "cdef");
  s.turn();
  EXPECT_EQ(s.host.memory.references(view.handle), 1u);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(view.data), view.length), "ab");
  s.host.memory.release(view.handle);
}

// --- Timestamps
// -----------------------------------------------------------------------------------------

TEST(TcpArrivals, C45_OldTimestampIsDroppedAndAnswered) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "old", .tsval = s.peer_timestamp() - 1000});
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  EXPECT_EQ(s.counters().dropped_paws.get(), 1u);
  // RFC 7323 5.2: a RST is exempt.
  s.receive({.flags = "R", .tsval = s.peer_timestamp() - 1000});
  EXPECT_EQ(s.state(), State::closed);
}

TEST(TcpArrivals, C45_TheClockOfThePeerMayWrap) {
  TcpScript s;
  s.establish();
  std::uint32_t tsval = s.peer_timestamp();
  for (std::uint32_t i = 0; i < 6; ++i, tsval += 0x3000'0000u) {
    s.receive({.seq = 1 + i, .payload = pattern(1, i), .tsval = tsval});
    s.receive({.seq = 2 + i, .payload = "old", .tsval = tsval - 1});
  }
  EXPECT_EQ(s.read(), pattern(6));
  EXPECT_EQ(s.counters().dropped_paws.get(), 6u);
}

TEST(TcpArrivals, C46_TsRecentMovesOnlyWithWhatWasAcked) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 101, .payload = "x", .tsval = s.peer_timestamp() + 500});
  EXPECT_EQ(s.take().options.tsecr, s.peer_timestamp());
}

TEST(TcpArrivals, C47_PawsForgivesAfter24Days) {
  TcpScript s;
  s.establish();
  const std::uint32_t before = s.peer_timestamp();
  s.advance(20s);  // no timer is armed now, or the wheel would turn through all those days
  s.clock.advance(std::chrono::hours(25 * 24));
  s.turn();
  s.receive({.payload = "x", .tsval = before - 1000});
  EXPECT_EQ(s.engine().readable(s.id), 1u);
  s.clock.advance(std::chrono::hours(23 * 24));
  s.turn();
  s.receive({.seq = 2, .payload = "y", .tsval = before - 2000});  // not that long ago
  EXPECT_EQ(s.engine().readable(s.id), 1u);
}

TEST(TcpArrivals, C48_MissingTimestampIsDropped) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "x", .options = std::vector<std::uint8_t>{}});
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  EXPECT_EQ(s.counters().dropped_no_timestamp.get(), 1u);
  s.receive({.flags = "R", .options = std::vector<std::uint8_t>{}});
  EXPECT_EQ(s.state(), State::closed);
}

TEST(TcpArrivals, C49_DelayedAckEchoesTheFirst) {
  TcpScript s;
  s.establish();
  const std::uint32_t first = s.peer_timestamp() + 10;
  s.receive({.payload = "a", .tsval = first});
  s.receive({.seq = 2, .payload = "b", .tsval = first + 5});
  s.advance(20ms);
  EXPECT_EQ(s.take().options.tsecr, first);
}

// --- Numbers that wrap
// ----------------------------------------------------------------------------------

TEST(TcpArrivals, C52_PiecesOnBothSidesOfTheWrapAreFiledInOrder) {
  TcpScript s;  // the numbers of the peer wrap at 1000
  s.establish();
  const std::string bytes = pattern(1500);
  s.receive({.seq = 1201, .payload = bytes.substr(1200, 300)});
  s.receive({.seq = 801, .payload = bytes.substr(800, 100)});
  const SentSegment first = s.expect({.flags = "A", .ack = 1});
  EXPECT_EQ(first.options.sack_count, 1);
  const SentSegment second = s.expect({.flags = "A", .ack = 1});
  ASSERT_EQ(second.options.sack_count, 2);
  EXPECT_EQ(second.options.sack[0].left.raw() - s.irs, 801u);
  EXPECT_EQ(second.options.sack[1].right.raw() - s.irs, 1501u);
  s.receive({.seq = 901, .payload = bytes.substr(900, 300)});
  s.receive({.payload = bytes.substr(0, 800)});
  EXPECT_EQ(s.read(), bytes);
}

// --- FIN and urgent data
// --------------------------------------------------------------------------------

TEST(TcpArrivals, C50_FinOutOfOrderWaits) {
  TcpScript s;
  s.establish();
  s.events();
  s.receive({.flags = "FA", .seq = 4, .payload = "def"});
  s.expect({.flags = "A", .ack = 1});
  EXPECT_EQ(s.state(), State::established);
  s.receive({.seq = 7, .payload = "beyond"});
  s.discard();
  s.receive({.payload = "abc"});
  s.expect({.flags = "A", .ack = 8});
  EXPECT_EQ(s.state(), State::close_wait);
  EXPECT_EQ(s.read(), "abcdef");
  EXPECT_EQ(s.events(), tcp::kReadable | tcp::kPeerClosed);
}

TEST(TcpArrivals, C51_UrgentPointerChangesNothing) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "APU", .payload = "urgent"});
  EXPECT_EQ(s.read(), "urgent");
}

TEST(TcpArrivals, C50_FinBehindAHoleIsAcknowledgedAtOnce) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "FA", .seq = 4});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  s.receive({.payload = "abc"});
  s.expect({.flags = "A", .seq = 1, .ack = 5});
  EXPECT_EQ(s.state(), State::close_wait);
}

}  // namespace
}  // namespace pollux
