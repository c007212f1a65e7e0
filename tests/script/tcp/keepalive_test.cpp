// Keepalive: what is sent when nothing moves, and what counts as the end. Read first: RFC 9293
// 3.8.4, MUST-24 to MUST-29.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::TcpScript;
using tcp::EndReason;
using tcp::State;

/// A jump of the clock with a turn at its end: two hours in milliseconds would take too long.
void jump(TcpScript& s, Duration by) {
  s.clock.advance(by);
  s.turn();
}

void establish(TcpScript& s, const tcp::Keepalive& keepalive) {
  tcp::OpenRequest request = s.request();
  request.keepalive = keepalive;
  s.open(request);
  s.receive_syn_ack();
  s.expect({.flags = "A"});
}

TEST(TcpKeepalive, C62_OffUnlessAskedFor) {
  EXPECT_FALSE(tcp::OpenRequest{}.keepalive.enabled);
  EXPECT_GE(tcp::OpenRequest{}.keepalive.idle, Duration(std::chrono::hours(2)));
  TcpScript s;
  s.establish();
  for (int i = 0; i < 30; ++i) jump(s, std::chrono::hours(1));
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.counters().keepalives_sent.get(), 0u);
}

TEST(TcpKeepalive, C62_TheFirstProbeComesAfterTwoHours) {
  TcpScript s;
  establish(s, {.enabled = true});
  for (int i = 0; i < 7; ++i) jump(s, std::chrono::minutes(17));
  s.expect_silence();
  jump(s, std::chrono::minutes(1) + 1s);
  // SND.NXT is 1: the probe has the number before it, and no data.
  s.expect({.flags = "A", .seq = 0, .ack = 1, .length = 0});
  s.expect_silence();
}

TEST(TcpKeepalive, C62_OneLostReplyIsNotTheEndAndAnAnswerStartsAnew) {
  TcpScript s;
  establish(s, {.enabled = true, .idle = 10s, .interval = 2s, .count = 3});
  s.send("abc");
  s.expect({.seq = 1, .length = 3});
  s.receive({.ack = 4});
  s.advance(10100ms);
  s.expect({.flags = "A", .seq = 3, .ack = 1, .length = 0});
  s.advance(2s);
  s.expect({.flags = "A", .seq = 3, .length = 0});  // the first reply was lost
  s.receive({.ack = 4});
  s.events();
  s.advance(9900ms);
  s.expect_silence();
  s.advance(200ms);
  s.expect({.flags = "A", .seq = 3, .length = 0});
  s.advance(2s);
  s.expect({.flags = "A", .seq = 3, .length = 0});
  s.advance(2s);
  s.expect({.flags = "A", .seq = 3, .length = 0});  // the third in a row is still asked
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpKeepalive, C62_DeadAfterSoManyProbes) {
  TcpScript s;
  establish(s, {.enabled = true, .idle = 10s, .interval = 2s, .count = 3});
  s.events();
  s.advance(10s + 2s + 2s + 1s);
  for (int i = 0; i < 3; ++i) s.expect({.flags = "A", .seq = 0, .length = 0});
  EXPECT_EQ(s.state(), State::established);
  s.advance(1100ms);
  s.expect({.flags = "RA", .seq = 1});
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::keepalive_timeout);
}

TEST(TcpKeepalive, C62_ACountOfOneStillAllowsALostReply) {
  TcpScript s;
  establish(s, {.enabled = true, .idle = 10s, .interval = 2s, .count = 1});
  s.advance(10s + 2s + 1s);
  s.expect({.seq = 0});
  s.expect({.seq = 0});
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpKeepalive, C62_NoProbeWhileDataIsOutstanding) {
  TcpScript s;
  establish(s, {.enabled = true, .idle = 1s, .interval = 100ms, .count = 2});
  s.send("unanswered");
  s.discard();
  s.advance(20s);
  EXPECT_EQ(s.counters().keepalives_sent.get(), 0u);
  EXPECT_EQ(s.state(), State::established);  // its own timer decides
  s.receive({.ack = 11});
  s.discard();
  s.advance(2100ms);
  EXPECT_NE(s.counters().keepalives_sent.get(), 0u);
}

TEST(TcpKeepalive, C62_WhatIsNotAcceptableIsNoSignOfLife) {
  TcpScript s;
  establish(s, {.enabled = true, .idle = 10s, .interval = 2s, .count = 2});
  for (int i = 0; i < 16; ++i) {
    s.receive({.seq = 900'000'000, .payload = "x"});  // a stranger's guess
    s.receive({.flags = "R", .seq = 20});
    s.advance(1s);
  }
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::keepalive_timeout);
}

TEST(TcpKeepalive, C62_AProbeThatWeReceiveIsAnswered) {
  TcpScript s;
  s.establish();
  s.receive({.seq = 0, .ack = 1});
  s.expect({.flags = "A", .seq = 1, .ack = 1, .length = 0});
}

}  // namespace
}  // namespace pollux
