// Sending: segment sizes, the peer's window, probes of a closed one, and what leaves together.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

std::uint32_t total_sent(TcpScript& s) {
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  return bytes;
}

TEST(TcpWindow, C53_EffectiveMssLeavesRoomForOptions) {
  TcpScript s;
  s.establish({.mss = 1460});
  s.send(pattern(3000));
  s.expect({.flags = "A", .seq = 1, .length = 1448});
  TcpScript wide;
  wide.establish({.mss = 9000, .timestamps = false});
  wide.send(pattern(3000));
  wide.expect({.flags = "A", .seq = 1, .length = 1460});
  // RFC 6691: what the peer named is without options, whoever is the smaller.
  TcpScript narrow;
  narrow.establish({.mss = 1000});
  narrow.send(pattern(3000));
  narrow.expect({.flags = "A", .seq = 1, .length = 988});
}

TEST(TcpWindow, C54_NothingBeyondTheWindow) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false, .window = 3000});
  s.send(pattern(10'000));
  s.expect({.seq = 1, .length = 1460});
  s.expect({.seq = 1461, .length = 1460});
  s.expect_silence();
  s.receive({.ack = 1461, .window = 3000});
  s.expect({.seq = 2921, .length = 1460});
  s.expect_silence();
}

TEST(TcpWindow, C55_AnOlderSegmentCannotChangeTheWindow) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false, .window = 1000});
  s.receive({.seq = 1, .window = 2000, .payload = "abc"});
  s.receive({.seq = 4, .window = 3000, .payload = "def"});
  s.receive({.seq = 1, .window = 50'000, .payload = "abcd"});
  s.discard();
  s.send(pattern(10'000));
  EXPECT_LE(total_sent(s), 3000u);
}

TEST(TcpWindow, C55_WhatFillsAHoleBringsAnOlderWindow) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false, .window = 1000});
  s.receive({.seq = 101, .window = 3000, .payload = "x"});
  s.receive({.seq = 1, .window = 50'000, .payload = pattern(100)});
  s.discard();
  s.send(pattern(10'000));
  EXPECT_LE(total_sent(s), 3000u);
}

TEST(TcpWindow, C56_AShrinkingWindowStopsNewDataOnly) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish({.window_scale = {}, .timestamps = false, .window = 5000});
  s.send(pattern(20'000));
  s.discard();
  s.receive({.ack = 1461, .window = 500});
  s.advance(190ms);
  s.expect_silence();
  s.advance(1s);
  s.expect({.seq = 1461, .length = 1460});  // what was in flight is still repeated
  s.discard();
  s.receive({.ack = 4381, .window = 8000});
  EXPECT_TRUE(s.expect({.seq = 4381}).payload == pattern(1460, 4380));
}

TEST(TcpWindow, C57_ProbesOfAClosedWindow) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false});
  s.receive({.window = 0});
  const Instant start = s.clock.now();
  s.send(pattern(5000));
  s.expect_silence();
  std::vector<std::int64_t> at;
  for (int i = 0; i < 16'000; ++i) {
    s.advance(10ms);
    if (s.waiting() == 0) continue;
    const SentSegment probe = s.expect({.flags = "A", .seq = 1, .length = 1});
    EXPECT_EQ(probe.payload, pattern(1));
    at.push_back((probe.at - start) / 100ms);
    s.receive({.ack = 1, .window = 0});
  }
  // The timeout of the handshake was clamped to 200 ms; it doubles up to 60 s and never gives up.
  ASSERT_GE(at.size(), 9u);
  EXPECT_EQ(at[0], 2);
  EXPECT_EQ(at[1], 6);
  EXPECT_EQ(at[2], 14);
  EXPECT_EQ(at[3], 30);
  EXPECT_LE(at.back() - at[at.size() - 2], 601);
  EXPECT_EQ(s.state(), State::established);
  s.receive({.ack = 1, .window = 8000});
  EXPECT_TRUE(s.expect({.flags = "A", .seq = 1, .length = 1460}).payload == pattern(1460));
  s.expect({.seq = 1461});
  EXPECT_TRUE(s.expect({.seq = 2921}).payload == pattern(1460, 2920));
  s.expect({.flags = "PA", .seq = 4381, .length = 620});
}

TEST(TcpWindow, C57_AProbeThatIsTakenCounts) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false});
  s.receive({.window = 0});
  s.send(pattern(3000));
  s.advance(250ms);
  s.expect({.seq = 1, .length = 1});
  s.receive({.ack = 2, .window = 8000});
  EXPECT_TRUE(s.expect({.seq = 2, .length = 1460}).payload == pattern(1460, 1));
}

TEST(TcpWindow, C57_BackOffOfProbesEndsWithTheClosedWindow) {
  // However the window opens: by an ACK of the probe's byte, or by a segment with data.
  for (const bool takes_probe : {true, false}) {
    TcpScript s;
    s.establish({.window_scale = {}, .timestamps = false});
    s.receive({.window = 0});
    s.send(pattern(1000));
    for (int i = 0; i < 700; ++i) {
      s.advance(10ms);
      if (s.waiting() == 0) continue;
      s.discard();
      s.receive({.ack = 1, .window = 0});
    }
    const std::uint32_t next = takes_probe ? 2 : 1;
    if (takes_probe)
      s.receive({.ack = 2, .window = 8000});
    else
      s.receive({.ack = 1, .window = 8000, .payload = "data"});
    s.expect({.seq = next, .length = 1001 - next});
    s.expect_silence();
    s.advance(250ms);  // the timeout is 200 ms
    s.expect({.seq = next, .length = 1001 - next});
  }
}

TEST(TcpWindow, C57_UnansweredProbesEndWithTheUserTimeout) {
  TcpScript s;
  s.open({.remote = s.request().remote, .user_timeout = 10s});
  s.receive_syn_ack();
  s.receive({.window = 0});
  s.send("x");
  s.discard();
  s.events();
  s.advance(12s);
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::user_timeout);
}

TEST(TcpWindow, C58_ALostWindowUpdateIsFoundByTheProbe) {
  TcpScript s;
  s.establish({.window_scale = {}, .timestamps = false});
  s.receive({.window = 0});
  s.send(pattern(3000));
  s.advance(250ms);
  s.expect({.seq = 1, .length = 1});
  s.receive({.ack = 1, .window = 4000});
  s.expect({.seq = 1, .length = 1460});
}

TEST(TcpWindow, C59_AWindowBelowOneSegmentIsUsedInTheEnd) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish({.window_scale = {}, .timestamps = false});
  s.receive({.window = 100});
  s.send(pattern(3000));
  s.expect_silence();
  s.advance(250ms);
  s.expect({.seq = 1, .length = 100});
  s.receive({.ack = 101, .window = 100});
  s.expect_silence();
}

TEST(TcpWindow, DataQueuedWhileTheNeighbourIsAwayLeavesWhenItIsBack) {
  TcpScript s;
  s.establish();
  s.peer_answers_arp = false;
  s.advance(67s);  // the entry has aged and nobody answers its refresh
  s.discard();
  s.send(pattern(100));
  s.advance(100ms);
  s.expect_silence();
  s.peer_answers_arp = true;
  s.advance(15s);
  s.expect({.seq = 1, .length = 100});
}

TEST(TcpWindow, WhatIsOwedWhileTheNeighbourIsAwayIsAcknowledgedWhenItIsBack) {
  TcpScript s;
  s.establish();
  s.peer_answers_arp = false;
  s.advance(67s);
  s.discard();
  s.inject({.payload = pattern(1400)});
  s.receive({.seq = 1401, .payload = pattern(1400, 1400)});
  s.advance(2s);
  s.expect_silence();
  s.peer_answers_arp = true;
  // The peer may be waiting for a minute by now; nothing else comes from it.
  s.advance(3s);
  s.expect({.flags = "A", .seq = 1, .ack = 2801});
}

TEST(TcpWindow, DataQueuedWhileTheNeighbourStaysAwayEndsWithTheUserTimeout) {
  TcpScript s;
  s.open({.remote = s.request().remote, .user_timeout = 10s});
  s.receive_syn_ack();
  s.peer_answers_arp = false;
  s.advance(67s);
  s.send(pattern(100));
  s.events();
  s.advance(20s);
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::user_timeout);
}

TEST(TcpWindow, C60_SmallDataLeavesAtOnceAndPiecesCoalesce) {
  TcpScript s;
  s.establish();
  s.send(pattern(48));
  s.expect({.flags = "PA", .seq = 1, .length = 48});
  s.send(pattern(48, 48));  // no Nagle: the first is not acknowledged
  s.expect({.flags = "PA", .seq = 49, .length = 48});
  // Header and data of one PDU.
  tcp::SendReference reference;
  const std::string data = pattern(1000);
  s.engine().send_inline(s.id, std::as_bytes(std::span(data.data(), 48)));
  s.send_external(std::as_bytes(std::span(data.data(), 900)), &reference);
  EXPECT_TRUE(s.expect({.flags = "PA", .seq = 97, .length = 948}).payload ==
              pattern(48) + pattern(900));
  EXPECT_EQ(reference.count, 1u);
  s.receive({.ack = 97 + 947});
  EXPECT_EQ(reference.count, 1u);
  s.receive({.ack = 97 + 948});
  EXPECT_EQ(reference.count, 0u);
}

TEST(TcpWindow, C61_PushOnTheLastOfWhatIsQueued) {
  TcpScript s;
  s.establish();
  s.send(pattern(1448 * 3 + 1));
  for (int i = 0; i < 3; ++i) s.expect({.flags = "A", .length = 1448});
  s.expect({.flags = "PA", .length = 1});
}

TEST(TcpWindow, SendSpaceComesBackWithAcknowledgments) {
  TcpScript s;
  s.establish();
  s.events();
  s.send(pattern(5000));
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024 - 5000);
  s.receive({.ack = 2000});
  EXPECT_EQ(s.events(), tcp::kSendSpace);
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024 - 5000 + 1999);
}

TEST(TcpWindow, C104_AnEmptyPoolDelaysAndLosesNothing) {
  TcpScript s;
  s.establish();
  // The congestion window is to be no limit: it grows until one turn sends 60,000 bytes.
  std::uint32_t seq = 1;
  for (int round = 0; round < 20; ++round) {
    s.send(pattern(60'000));
    const std::uint32_t end = seq + 60'000;
    while (seq != end) {
      ASSERT_NE(s.waiting(), 0u);
      while (s.waiting() != 0) seq += static_cast<std::uint32_t>(s.take().payload.size());
      s.receive({.ack = seq});
    }
  }
  // The interface keeps some buffers in hand: they go first.
  s.host.memory.set_limit(0);
  const std::string all = pattern(60'000);
  std::string got;
  s.send(all);
  for (int round = 0; round < 50; ++round) {
    if (round == 20) {
      EXPECT_LT(got.size(), all.size());
      s.host.memory.set_limit(4096);
    }
    while (s.waiting() != 0) {
      const SentSegment sent = s.take();
      if (sent.seq - s.iss == seq + got.size()) got += sent.payload;
    }
    s.advance(1ms);
  }
  EXPECT_TRUE(got == all);
  EXPECT_NE(s.counters().pool_empty.get(), 0u);
}

TEST(TcpWindow, C109_FramesKeepToThePortsSegments) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.tx_segments_max = 3;
  TcpScript s(options);
  s.establish();
  const std::string data = pattern(3000);
  std::vector<tcp::SendReference> references(5);
  for (int i = 0; i < 5; ++i)
    s.engine().send_external(s.id, std::as_bytes(std::span(data)).data() + 300 * i, 300,
                             s.host.memory.tracker(0), &references[static_cast<std::size_t>(i)]);
  s.turn();
  std::string got;
  while (s.waiting() != 0) got += s.take().payload;
  EXPECT_EQ(got, data.substr(0, 1500));
  EXPECT_EQ(s.host.port.hits().tx_refused, 0u);
}

TEST(TcpWindow, C55_AnOvertakenSegmentDoesNotBringItsWindowBack) {
  TcpScript s;
  s.establish();
  s.send(pattern(1000));
  s.expect({.seq = 1, .length = 1000});
  // Sent after the next one, and here before it.
  s.receive({.seq = 101, .ack = 1001});
  s.receive({.ack = 1001, .window = 0, .payload = pattern(100)});
  s.discard();
  s.send(pattern(100));
  s.expect({.seq = 1001, .length = 100});
}

TEST(TcpWindow, C38_OneDroppedSegmentIsCountedOnce) {
  TcpScript s;
  s.establish();
  std::uint32_t seq = 1;
  const auto dropped = [&s] {
    return s.counters().dropped_receive_queue_full.get() +
           s.counters().dropped_receive_budget.get();
  };
  for (int i = 0; i < 100'000 && dropped() == 0; ++i) {
    s.receive({.seq = seq, .payload = pattern(300)});
    seq += 300;
    s.discard();
  }
  EXPECT_EQ(dropped(), 1u);
}

}  // namespace
}  // namespace pollux
