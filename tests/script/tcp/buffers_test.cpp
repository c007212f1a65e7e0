// Packet buffers: what waiting bytes may keep, what still leaves when the pool is empty, what a
// full ring and late completions do, and that every buffer is back at the end.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::HeapPacketMemory;
using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;

// --- C-110: every scenario of this program
// ----------------------------------------------------------------------------------------

/// After the last test: no script of this program has ended with a buffer still out.
class AllBuffersBack final : public ::testing::Environment {
  void TearDown() override { EXPECT_EQ(HeapPacketMemory::leaked(), 0u); }
};
[[maybe_unused]] const auto* const kAllBuffersBack =
    ::testing::AddGlobalTestEnvironment(new AllBuffersBack);

/// One of many ways in which buffers are in many hands when a script ends.
void leave_in_the_middle(int way) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.copy_cells = way % 2 == 0 ? 1024 : 0;
  options.port.completion_max = 10ms;
  options.port.scatter = way % 3 == 0;
  TcpScript s(options);
  s.establish();
  const std::string data = pattern(30'000);
  s.send_external(std::as_bytes(std::span(data)), nullptr);
  for (std::uint32_t i = 0; i < 40; ++i) {
    s.receive({.seq = 101 + 700 * i, .payload = pattern(i % 5 == 0 ? 600 : 30, i)});
    s.receive({.seq = 101 + 700 * i + 10, .payload = pattern(100, i)});  // overlaps
  }
  s.receive({.payload = pattern(60)});
  if (way > 3) s.host.port.options().transmit_most = 0;
  switch (way % 4) {
    case 0:
      break;  // all queues full of pieces
    case 1:
      s.engine().abort(s.id, s.clock.now());
      break;
    case 2:
      s.engine().release(s.id);
      s.turn();
      break;
    case 3:
      s.advance(1s);
      break;
  }
}

TEST(TcpBuffers, C110_EveryBufferIsBackHoweverItEnds) {
  for (int way = 0; way < 8; ++way) {
    const std::size_t before = HeapPacketMemory::leaked();
    leave_in_the_middle(way);
    EXPECT_EQ(HeapPacketMemory::leaked(), before) << "way " << way;
  }
}

TEST(TcpBuffers, C110_TheCheckFindsABufferThatIsKept) {
  const std::size_t before = HeapPacketMemory::leaked();
  std::size_t leaked = 0;
  {
    HeapPacketMemory memory;
    platform::FrameBuffer buffer;
    ASSERT_EQ(memory.allocate({&buffer, 1}), 1u);
    leaked = memory.buffers_in_use();
    memory.release(buffer.handle);
  }
  EXPECT_EQ(leaked, 1u);
  EXPECT_EQ(HeapPacketMemory::leaked(), before);
}

// --- C-38: small pieces that wait
// ------------------------------------------------------------------------------------

TEST(TcpBuffers, C38_SmallPiecesBehindAHoleKeepNoBuffer) {
  TcpScript s;
  s.establish();
  s.advance(1ms);
  const std::size_t before = s.host.memory.buffers_in_use();
  for (std::uint32_t i = 0; i < 200; ++i) s.receive({.seq = 3 + 2 * i, .payload = "o"});
  s.advance(1ms);
  EXPECT_LE(s.host.memory.buffers_in_use(), before + 32);  // the interface's cache
  EXPECT_EQ(s.engine().copied_pieces(), 200u);
  for (std::uint32_t i = 0; i < 1000; ++i) s.receive({.seq = 403 + 2 * i, .payload = "o"});
  EXPECT_EQ(s.engine().copied_pieces(), 256u);  // the pieces of one connection
  EXPECT_NE(s.counters().dropped_out_of_order_full.get(), 0u);
  // Byte by byte the holes fill, and the copies come out where they belong.
  s.receive({.payload = "--"});
  std::string want = "--o";
  for (std::uint32_t i = 0; i < 199; ++i) {
    s.receive({.seq = 4 + 2 * i, .payload = "-"});
    want += "-o";
  }
  EXPECT_TRUE(s.read() == want);
  s.engine().abort(s.id, s.clock.now());
  s.engine().release(s.id);
  s.turn();
  EXPECT_EQ(s.engine().copied_pieces(), 0u);
}

TEST(TcpBuffers, C38_WithoutCellsTheBudgetOfBuffersHolds) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.copy_cells = 8;
  options.limits.receive_views_total = 32;
  options.limits.receive_views_least = 4;
  TcpScript s(options);
  s.establish();
  s.advance(1ms);
  const std::size_t before = s.host.memory.buffers_in_use();
  for (std::uint32_t i = 0; i < 500; ++i) {
    s.receive({.seq = 3 + 2 * i, .payload = "o"});
    EXPECT_LE(s.engine().copied_pieces(), 8u);
  }
  s.advance(1ms);
  EXPECT_LE(s.host.memory.buffers_in_use(), before + 32 + 32);
  EXPECT_NE(s.counters().dropped_receive_budget.get(), 0u);
  s.receive({.payload = pattern(2)});  // what is in order is still taken
  EXPECT_EQ(s.read().substr(0, 2), pattern(2));
  s.engine().release(s.id);
  s.turn();
  s.advance(1ms);
  EXPECT_LE(s.host.memory.buffers_in_use(), before + 32);
}

/// Pieces that wait where they came from turn to turn.
constexpr std::uint32_t kPiecesInPlace = 16;

TEST(TcpBuffers, C38_UnreadSmallSegmentsGiveTheirBuffersBack) {
  TcpScript s;
  s.establish();
  s.advance(1ms);
  const std::size_t before = s.host.memory.buffers_in_use();
  for (std::uint32_t i = 0; i < 300; ++i)
    s.receive({.seq = 1 + 48 * i, .payload = pattern(48, 48 * i)});
  s.advance(1ms);
  EXPECT_LE(s.host.memory.buffers_in_use(), before + kPiecesInPlace + 32);
  EXPECT_EQ(s.engine().copied_pieces(), 300u - kPiecesInPlace);
  EXPECT_TRUE(s.read() == pattern(48 * 300));
  EXPECT_EQ(s.engine().copied_pieces(), 0u);
}

TEST(TcpBuffers, C38_WhereBuffersAreShortSmallPiecesAreCopiedAtOnce) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views_total = 4;
  TcpScript s(options);
  s.establish();
  for (std::uint32_t i = 0; i < 10; ++i) s.receive({.seq = 1 + i, .payload = pattern(1, i)});
  EXPECT_EQ(s.engine().copied_pieces(), 6u);
  EXPECT_EQ(s.read(), pattern(10));
  EXPECT_EQ(s.engine().copied_pieces(), 0u);
}

TEST(TcpBuffers, APieceFromACellIsLentInABufferOfItsOwn) {
  TcpScript s;
  s.establish();
  for (std::uint32_t i = 0; i < kPiecesInPlace + 4; ++i)
    s.receive({.seq = 1 + 10 * i, .payload = pattern(10, 10 * i)});
  s.engine().consume(s.id, 10 * kPiecesInPlace);
  ASSERT_EQ(s.engine().copied_pieces(), 4u);
  tcp::RxView view;
  // Without a buffer it must wait, and is asked for again.
  std::vector<platform::FrameBuffer> taken;
  s.host.memory.set_limit(0);
  while (true) {
    const platform::FrameBuffer buffer = s.host.interface.take_buffer();
    if (buffer.data == nullptr) break;
    taken.push_back(buffer);
  }
  s.events();
  EXPECT_EQ(s.engine().take_front(s.id, 100, view), 0u);
  s.turn();
  EXPECT_EQ(s.events(), tcp::kReadable);
  for (const platform::FrameBuffer& buffer : taken) s.host.interface.give_back(buffer);
  EXPECT_EQ(s.engine().take_front(s.id, 4, view), 4u);
  EXPECT_EQ(s.engine().copied_pieces(), 3u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data), 4),
            pattern(4, 10 * kPiecesInPlace));
  s.engine().release(s.id);
  s.turn();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data), 4),
            pattern(4, 10 * kPiecesInPlace));
  s.host.memory.release(view.handle);
}

// --- C-104: an empty pool
// ---------------------------------------------------------------------------------------------

/// No frame buffer is left, in the pool or in the interface's hands. Received frames find room.
std::vector<platform::FrameBuffer> empty_the_pool(TcpScript& s) {
  std::vector<platform::FrameBuffer> taken;
  s.host.memory.set_frames_limit(0);
  while (true) {
    const platform::FrameBuffer buffer = s.host.interface.take_buffer();
    if (buffer.data == nullptr) return taken;
    taken.push_back(buffer);
  }
}

TEST(TcpBuffers, C104_AcknowledgmentsLeaveFromTheReserve) {
  TcpScript s;
  s.establish();
  const auto taken = empty_the_pool(s);
  s.receive({.payload = pattern(1000)});
  s.receive({.seq = 1001, .payload = pattern(1000, 1000)});
  s.receive({.seq = 3001, .payload = pattern(1000)});
  s.advance(50ms);
  EXPECT_EQ(s.read(), pattern(2000));  // receiving goes on
  s.expect({.flags = "A", .seq = 1});
  EXPECT_NE(s.host.memory.reserve_taken(), 0u);
  for (const auto& buffer : taken) s.host.interface.give_back(buffer);
}

TEST(TcpBuffers, C104_RetransmissionsLeaveFromTheReserveAndNewDataDoesNot) {
  TcpScript s;
  s.establish({.sack = false});
  s.send(pattern(1000));
  s.expect({.seq = 1, .length = 1000});
  const auto taken = empty_the_pool(s);
  s.send(pattern(1000, 1000));
  s.expect_silence();
  EXPECT_EQ(s.host.memory.reserve_taken(), 0u);
  EXPECT_NE(s.counters().pool_empty.get(), 0u);
  s.advance(1100ms);
  s.expect({.seq = 1, .payload = pattern(1000)});
  EXPECT_NE(s.host.memory.reserve_taken(), 0u);
  // The acknowledgment makes memory come back, and what waited leaves.
  s.host.memory.set_frames_limit(1000);
  for (const auto& buffer : taken) s.host.interface.give_back(buffer);
  s.discard();
  s.receive({.ack = 1001});
  s.expect({.seq = 1001, .payload = pattern(1000, 1000)});
}

TEST(TcpBuffers, C104_AResetLeavesFromTheReserve) {
  TcpScript s;
  s.establish();
  const auto taken = empty_the_pool(s);
  s.engine().abort(s.id, s.clock.now());
  s.turn();
  s.expect({.flags = "RA", .seq = 1});
  for (const auto& buffer : taken) s.host.interface.give_back(buffer);
}

TEST(TcpBuffers, C104_AReserveThatIsUsedUpDelaysAndLosesNothing) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.memory.reserve = 2;
  options.port.completion_min = options.port.completion_max = 20ms;
  TcpScript s(options);
  s.establish();
  s.advance(50ms);
  const auto taken = empty_the_pool(s);
  for (std::uint32_t i = 0; i < 8; ++i)
    s.receive({.seq = 1 + 3000 * i, .payload = pattern(1400, 3000 * i)});
  s.discard();
  s.receive({.seq = 1401, .payload = pattern(1600, 1400)});
  s.advance(100ms);
  s.expect({.flags = "A", .ack = 4401});  // the newest state, once a buffer was back
  for (const auto& buffer : taken) s.host.interface.give_back(buffer);
}

// --- C-105: the port takes part of a burst
// -------------------------------------------------------------------------------

TEST(TcpBuffers, C105_WhatThePortDidNotTakeLeavesLaterInOrder) {
  TcpScript s;
  s.establish();
  const std::string data = pattern(14'000);
  s.host.port.options().transmit_most = 0;
  s.send_external(std::as_bytes(std::span(data)), nullptr);
  s.expect_silence();
  EXPECT_NE(s.host.interface.queued(), 0u);
  std::uint32_t next = 1;
  for (const std::size_t most : {2u, 5u, 0u, 3u, 7u, 1u, 1000u, 1000u}) {
    s.host.port.options().transmit_most = most;
    s.turn();
    while (s.waiting() != 0) {
      const SentSegment sent = s.take();
      ASSERT_EQ(sent.seq - s.iss, next);
      EXPECT_TRUE(sent.payload == data.substr(next - 1, sent.payload.size()));
      next += static_cast<std::uint32_t>(sent.payload.size());
    }
  }
  EXPECT_EQ(next, 14'001u);
  EXPECT_NE(s.host.interface.counters().tx_partial.get(), 0u);
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
}

// --- C-106: completions that come late
// ------------------------------------------------------------------------------------

TEST(TcpBuffers, C106_PoisonNeverLeavesInARetransmissionThatWaits) {
  TcpScript s;
  s.establish({.mss = 1012, .sack = false});
  std::string data = pattern(3000);
  const std::string original = data;
  tcp::SendReference reference;
  s.send_external(std::as_bytes(std::span(data)), &reference);
  s.discard();
  // The ring is full: the retransmission waits in it while the first copy is acknowledged.
  s.host.port.options().transmit_most = 0;
  s.advance(1100ms);
  s.expect_silence();
  EXPECT_NE(s.counters().segments_retransmitted.get(), 0u);
  s.receive({.ack = 3001});
  ASSERT_EQ(reference.count, 0u);  // the owner may write again
  data.assign(data.size(), '\xdb');
  s.host.port.options().transmit_most = SIZE_MAX;
  s.turn();
  ASSERT_NE(s.waiting(), 0u);
  while (s.waiting() != 0) {
    const SentSegment sent = s.take();
    EXPECT_TRUE(sent.payload == original.substr(sent.seq - s.iss - 1, sent.payload.size()));
  }
}

TEST(TcpBuffers, C106_TheMemoryIsHeldUntilThePortIsDoneWithIt) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.completion_min = options.port.completion_max = 2s;
  TcpScript s(options);
  s.establish();
  const platform::TxTracker& tracker = *s.host.memory.tracker(0);
  const std::string data = pattern(3000);
  tcp::SendReference reference;
  s.send_external(std::as_bytes(std::span(data)), &reference);
  s.receive({.ack = 3001});
  EXPECT_EQ(reference.count, 0u);                   // rule B: acknowledged, sent once
  EXPECT_NE(s.host.memory.in_flight(tracker), 0u);  // rule A: not to be unregistered yet
  s.host.interface.reclaim();
  EXPECT_NE(s.host.memory.in_flight(tracker), 0u);
  s.advance(2100ms);
  s.host.interface.reclaim();
  EXPECT_EQ(s.host.memory.in_flight(tracker), 0u);
}

// --- C-109: frames as ports want them
// -------------------------------------------------------------------------------------

TEST(TcpBuffers, C109_AnyCutOfTheDataMakesFramesWithinThePortsLimits) {
  // SimPort aborts on a piece of no length, on more pieces than it takes and on a frame above the
  // MTU.
  for (const std::uint8_t most :
       {std::uint8_t{2}, std::uint8_t{3}, std::uint8_t{5}, std::uint8_t{8}}) {
    sim::TcpHostOptions options = TcpScript::default_options();
    options.port.tx_segments_max = most;
    TcpScript s(options);
    s.establish();
    Random random(most);
    const std::string data = pattern(60'000);
    std::uint32_t queued = 0;
    std::string got;
    while (got.size() < data.size()) {
      while (queued < data.size() && s.engine().send_space(s.id).descriptors != 0) {
        const std::uint32_t longest = std::min<std::uint32_t>(
            1 + random.below(3) * 900, static_cast<std::uint32_t>(data.size()) - queued);
        const std::uint32_t length = 1 + random.below(longest);
        const auto bytes = std::as_bytes(std::span(data)).subspan(queued, length);
        if (random.below(2) == 0 && s.engine().send_space(s.id).inline_bytes >= length)
          s.engine().send_inline(s.id, bytes);
        else
          s.engine().send_external(s.id, bytes.data(), length, s.host.memory.tracker(0), nullptr);
        queued += length;
      }
      s.advance(1ms);
      ASSERT_NE(s.waiting(), 0u) << "nothing more leaves after " << got.size();
      while (s.waiting() != 0) {
        const SentSegment sent = s.take();
        if (sent.seq - s.iss - 1 == got.size()) got += sent.payload;
      }
      s.inject({.ack = 1 + static_cast<std::uint32_t>(got.size())});
    }
    EXPECT_TRUE(got == data);
    EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
  }
}

}  // namespace
}  // namespace pollux
