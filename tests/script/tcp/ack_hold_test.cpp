// EngineTimers::ack_hold: an acknowledgment that is due for bytes alone waits a moment for data
// that carry it. RFC 9293 3.8.6.3 asks for one within 500 ms and for every second segment of a
// stream.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;

constexpr Duration kHold = std::chrono::microseconds(5);
constexpr std::uint32_t kSegment = 1448;

sim::TcpHostOptions holding() {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.timers.ack_hold = kHold;
  return options;
}

/// Two full segments in one burst, read at once.
void receive_two(TcpScript& s, std::uint32_t seq = 1) {
  s.inject({.seq = seq, .payload = pattern(kSegment)});
  s.inject({.seq = seq + kSegment, .payload = pattern(kSegment)});
  s.turn();
  s.read();
}

TEST(TcpAckHold, C40_TheNextRequestCarriesIt) {
  TcpScript s(holding());
  s.establish();
  receive_two(s);
  s.expect_silence();
  s.send("next");
  s.turn();
  s.expect({.flags = "PA", .seq = 1, .ack = 1 + 2 * kSegment, .payload = "next"});
  s.advance(1ms);
  s.expect_silence();
}

TEST(TcpAckHold, C40_ItLeavesAloneWhenItsTimeIsOver) {
  TcpScript s(holding());
  s.establish();
  receive_two(s);
  EXPECT_EQ(s.engine().next_deadline(), s.clock.now() + kHold);
  s.clock.advance(kHold - 1ns);
  s.turn();
  s.expect_silence();
  s.clock.advance(1ns);
  s.turn();
  s.expect({.flags = "A", .ack = 1 + 2 * kSegment});
  s.turn();
  s.expect_silence();
}

TEST(TcpAckHold, C40_WhatComesMeanwhileDoesNotPutItOff) {
  TcpScript s(holding());
  s.establish();
  receive_two(s);
  s.clock.advance(kHold - 1ns);
  receive_two(s, 1 + 2 * kSegment);
  s.expect_silence();
  s.clock.advance(1ns);
  s.turn();
  s.expect({.flags = "A", .ack = 1 + 4 * kSegment});
}

TEST(TcpAckHold, C40_AWindowInFlightIsAcknowledgedAtOnce) {
  TcpScript s(holding());
  s.establish();
  for (std::uint32_t i = 0; i < 63; ++i)
    s.inject({.seq = 1 + i * kSegment, .payload = pattern(kSegment)});
  s.turn();
  s.expect_silence();
  s.receive({.seq = 1 + 63 * kSegment, .payload = pattern(kSegment)});
  s.expect({.flags = "A", .ack = 1 + 64 * kSegment});
}

TEST(TcpAckHold, C40_AHoleIsReportedAtOnce) {
  TcpScript s(holding());
  s.establish();
  receive_two(s);
  s.receive({.seq = 1 + 3 * kSegment, .payload = pattern(kSegment)});
  s.expect({.flags = "A", .ack = 1 + 2 * kSegment});
}

TEST(TcpAckHold, C40_ALoneSegmentStillWaitsForTheDelayedAck) {
  TcpScript s(holding());
  s.establish();
  s.receive({.payload = "one"});
  s.clock.advance(1ms);
  s.turn();
  s.expect_silence();
  s.advance(20ms);
  s.expect({.flags = "A", .ack = 4});
}

TEST(TcpAckHold, C40_ManyHoldsEachEnd) {
  TcpScript s(holding());
  s.establish();
  for (std::uint32_t i = 0; i < 50; ++i) {
    receive_two(s, 1 + 2 * i * kSegment);
    s.expect_silence();
    s.clock.advance(kHold);
    s.turn();
    s.expect({.flags = "A", .ack = 1 + 2 * (i + 1) * kSegment});
  }
}

}  // namespace
}  // namespace pollux
