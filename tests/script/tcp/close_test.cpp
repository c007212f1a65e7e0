// Every closing order, and what is left of a connection afterwards.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;
using tcp::EndReason;
using tcp::State;

TEST(TcpClose, C89_ActiveClose) {
  TcpScript s;
  s.establish();
  s.send("bye");
  s.expect({.flags = "PA"});
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 4, .ack = 1});
  EXPECT_EQ(s.state(), State::fin_wait_1);
  s.receive({.ack = 5});
  EXPECT_EQ(s.state(), State::fin_wait_2);
  s.events();
  s.receive({.ack = 5, .payload = "late"});  // C-90: the other half still talks
  EXPECT_EQ(s.read(), "late");
  s.receive({.flags = "FA", .seq = 5, .ack = 5});
  s.expect({.flags = "A", .seq = 5, .ack = 6});
  EXPECT_EQ(s.state(), State::time_wait);
  EXPECT_EQ(s.events(), tcp::kReadable | tcp::kPeerClosed | tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::closed);
}

TEST(TcpClose, C89_FinFollowsWhatIsQueuedAndRidesOnIt) {
  TcpScript s;
  s.establish();
  const std::string data = pattern(2000);
  s.engine().send_inline(s.id, std::as_bytes(std::span(data)));
  s.close();
  s.turn();
  s.expect({.flags = "A", .seq = 1, .length = 1448});
  s.expect({.flags = "FPA", .seq = 1449, .length = 552});
}

TEST(TcpClose, C89_LostFinIsRepeated) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish();
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  s.advance(250ms);
  s.expect({.flags = "FA", .seq = 1});
  s.receive({.ack = 2});
  s.advance(5s);
  s.expect_silence();
}

TEST(TcpClose, C89_SimultaneousClose) {
  TcpScript s;
  s.establish();
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  s.receive({.flags = "FA", .ack = 1});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.state(), State::closing);
  s.receive({.seq = 2, .ack = 2});
  EXPECT_EQ(s.state(), State::time_wait);
}

TEST(TcpClose, C89_FinWithTheAckOfOurs) {
  TcpScript s;
  s.establish();
  s.close();
  s.turn();
  s.discard();
  s.receive({.flags = "FA", .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.state(), State::time_wait);
}

TEST(TcpClose, C89_PassiveClose) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "FA"});
  s.expect({.flags = "A", .ack = 2});
  EXPECT_EQ(s.state(), State::close_wait);
  s.send("rest");
  s.expect({.flags = "PA", .length = 4});
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 5});
  EXPECT_EQ(s.state(), State::last_ack);
  s.events();
  s.receive({.seq = 2, .ack = 6});
  EXPECT_EQ(s.state(), State::closed);
  EXPECT_EQ(s.events() & tcp::kEnded, tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::closed);
}

TEST(TcpClose, C89_ResetInLastAckIsTheEndAllTheSame) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "FA"});
  s.close();
  s.turn();
  s.receive({.flags = "R", .seq = 2});
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::closed);
}

TEST(TcpClose, C91_FinWait2HasABound) {
  TcpScript s;
  s.open({.remote = s.request().remote, .user_timeout = 20s});
  s.receive_syn_ack();
  s.close();
  s.turn();
  s.receive({.ack = 2});
  EXPECT_EQ(s.state(), State::fin_wait_2);
  s.advance(21s);
  EXPECT_EQ(s.state(), State::closed);
}

TEST(TcpClose, C92_TimeWait) {
  TcpScript s;
  s.establish();
  s.close();
  s.turn();
  s.receive({.flags = "FA", .ack = 2});
  s.discard();
  s.advance(700ms);
  s.receive({.flags = "FA", .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  s.receive({.flags = "R", .seq = 2});
  EXPECT_EQ(s.state(), State::time_wait);
  s.advance(700ms);
  EXPECT_EQ(s.state(), State::time_wait);  // the repeated FIN has started it again
  // The port is taken meanwhile.
  tcp::ConnectionId other;
  tcp::OpenRequest again = s.request();
  again.local_port = s.local_port;
  EXPECT_EQ(s.engine().open(again, s.clock.now(), other), tcp::OpenError::no_free_port);
  s.advance(400ms);
  EXPECT_EQ(s.state(), State::closed);
  s.engine().release(s.id);
  EXPECT_EQ(s.engine().open_connections(), 0u);
}

TEST(TcpClose, C92_TheWindowStaysWhereTheFinLeftIt) {
  TcpScript s;
  s.establish();
  s.engine().end_sending(s.id, s.clock.now());
  s.turn();
  s.discard();
  const std::string text = pattern(1400);
  for (std::uint32_t i = 0; i < 4; ++i) s.inject({.seq = 1 + i * 1400, .ack = 2, .payload = text});
  s.inject({.flags = "FA", .seq = 5601, .ack = 2});
  s.host.turn(s.clock.now());
  EXPECT_EQ(s.state(), State::time_wait);
  // Read between the FIN and its acknowledgment: room for bytes that cannot come any more.
  EXPECT_EQ(s.read().size(), 5600u);
  s.turn();
  const std::uint32_t window = s.expect({.flags = "A", .ack = 5602}).window;
  s.receive({.flags = "FA", .seq = 5601, .ack = 2});
  // RFC 9293 3.8.6 SHLD-14.
  EXPECT_GE(s.expect({.flags = "A", .ack = 5602}).window, window);
}

TEST(TcpClose, C92_TimeWaitTakesNoConnection) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.connections = 1;
  TcpScript s(options);
  s.establish();
  s.close();
  s.turn();
  s.receive({.flags = "FA", .ack = 2});
  s.discard();
  s.engine().release(s.id);
  s.turn();
  EXPECT_EQ(s.engine().open_connections(), 0u);
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
  s.establish();
}

TEST(TcpClose, C93_AbortSendsResetAtSndNxt) {
  TcpScript s;
  s.establish();
  tcp::SendReference reference;
  const std::vector<std::byte> bytes(20'000);
  s.send_external(bytes, &reference);
  s.discard();
  s.receive({.ack = 1449});
  std::uint32_t next = 0;
  while (s.waiting() != 0) {
    const sim::SentSegment sent = s.take();
    next = sent.seq - s.iss + static_cast<std::uint32_t>(sent.payload.size());
  }
  s.events();
  s.engine().abort(s.id, s.clock.now());
  EXPECT_EQ(reference.count, 0u);
  s.turn();
  s.expect({.flags = "RA", .seq = next, .ack = 1});
  s.expect_silence();
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::aborted);
  s.engine().release(s.id);
  EXPECT_EQ(s.engine().open_connections(), 0u);
}

TEST(TcpClose, C93_CloseWithUnreadBytesIsAReset) {
  for (const bool peer_closed : {false, true}) {
    TcpScript s;
    s.establish();
    s.receive({.flags = peer_closed ? "FA" : "A", .payload = "unread"});
    s.discard();
    s.events();
    s.close();
    s.turn();
    s.expect({.flags = "RA", .seq = 1});
    s.expect_silence();
    EXPECT_EQ(s.events(), tcp::kEnded);
    EXPECT_EQ(s.engine().end_reason(s.id), EndReason::aborted);
  }
}

TEST(TcpClose, C93_CloseAfterAllWasReadIsOrderly) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "read"});
  EXPECT_EQ(s.read(), "read");
  s.discard();
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  s.receive({.seq = 5, .ack = 2, .payload = "later"});  // and what comes then may still be read
  EXPECT_EQ(s.read(), "later");
}

TEST(TcpClose, EndSendingLeavesWhatIsUnreadToTheReader) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "unread"});
  s.discard();
  s.engine().end_sending(s.id, s.clock.now());
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  EXPECT_EQ(s.read(), "unread");
}

TEST(TcpClose, C93_EveryReferenceComesBackWithTheCompletion) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.completion_min = options.port.completion_max = 50ms;
  TcpScript s(options);
  s.establish();
  s.advance(100ms);
  const std::size_t before = s.host.memory.buffers_in_use();
  const platform::TxTracker& tracker = *s.host.memory.tracker(0);
  const std::vector<std::byte> bytes(20'000);
  tcp::SendReference reference;
  s.send_external(bytes, &reference);
  s.receive({.seq = 100, .payload = pattern(1000)});  // waits behind a hole
  s.receive({.payload = pattern(50)});                // and this to be read
  EXPECT_NE(s.host.memory.in_flight(tracker), 0u);
  s.engine().abort(s.id, s.clock.now());
  s.engine().release(s.id);
  EXPECT_EQ(reference.count, 0u);
  s.turn();
  EXPECT_NE(s.host.memory.in_flight(tracker), 0u);  // the port still holds them
  s.advance(60ms);
  EXPECT_EQ(s.host.memory.in_flight(tracker), 0u);
  EXPECT_LE(s.host.memory.buffers_in_use(), before);
  EXPECT_EQ(s.engine().open_connections(), 0u);
}

TEST(TcpClose, C93_ReferencesComeBackWithTheAcknowledgment) {
  TcpScript s;
  s.establish();
  const std::vector<std::byte> bytes(3000);
  tcp::SendReference first;
  tcp::SendReference second;
  s.send_external(bytes, &first);
  s.send_external(bytes, &second);
  s.receive({.ack = 3001});
  EXPECT_EQ(first.count, 0u);
  EXPECT_EQ(second.count, 1u);
  s.receive({.ack = 6001});
  EXPECT_EQ(second.count, 0u);
}

TEST(TcpClose, ReleaseOfALivingConnectionAbortsIt) {
  TcpScript s;
  s.establish();
  s.receive({.payload = "unread"});
  s.engine().release(s.id);
  EXPECT_EQ(s.engine().readable(s.id), 0u);
  s.turn();
  s.expect({.flags = "RA", .seq = 1});
  EXPECT_EQ(s.engine().open_connections(), 0u);
}

TEST(TcpClose, AStaleIdFindsNothing) {
  TcpScript s;
  s.establish();
  const tcp::ConnectionId stale = s.id;
  s.engine().release(s.id);
  s.turn();
  s.discard();
  s.establish();
  EXPECT_EQ(stale.slot, s.id.slot);
  EXPECT_EQ(s.engine().state(stale), State::closed);
  s.engine().abort(stale, s.clock.now());
  s.engine().send_inline(stale, {});
  EXPECT_EQ(s.engine().send_space(stale).descriptors, 0u);
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpClose, CloseBeforeTheHandshakeEnds) {
  TcpScript s;
  s.open();
  s.close();
  EXPECT_EQ(s.state(), State::closed);
  s.turn();
  s.expect_silence();
  EXPECT_EQ(s.events(), tcp::kEnded);
}

TEST(TcpClose, C91_FinWait2LastsAsLongAsThePeerIsHeard) {
  TcpScript s;
  s.open({.remote = s.request().remote, .user_timeout = 20s});
  s.receive_syn_ack();
  s.engine().end_sending(s.id, s.clock.now());
  s.turn();
  s.receive({.ack = 2});
  for (std::uint32_t i = 0; i < 10; ++i) {
    s.advance(15s);
    s.receive({.seq = 1 + i, .ack = 2, .payload = "x"});
    EXPECT_EQ(s.read(), "x");
  }
  EXPECT_EQ(s.state(), State::fin_wait_2);
  s.advance(21s);
  EXPECT_EQ(s.state(), State::closed);
}

TEST(TcpClose, C92_AnEmptySegmentInTimeWaitIsOwedNothing) {
  TcpScript s;
  s.establish();
  s.close();
  s.turn();
  s.receive({.flags = "FA", .ack = 2});
  s.discard();
  EXPECT_EQ(s.state(), State::time_wait);
  s.receive({.seq = 2, .ack = 2});
  s.expect_silence();
  s.receive({.seq = 1, .ack = 2});  // a keepalive is
  s.expect({.flags = "A", .seq = 2, .ack = 2});
}

TEST(TcpClose, C37_AFinThatTheReaderReachesByDrainingIsTaken) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_views = 4;
  options.limits.copy_cells = 0;
  TcpScript s(options);
  s.establish();
  // The queue is full, and what follows in order waits as if behind a hole, with the FIN.
  for (std::uint32_t i = 0; i < 4; ++i)
    s.receive({.seq = 1 + i * 1400, .payload = pattern(1400)});
  s.receive({.seq = 7001, .payload = pattern(1400)});
  s.receive({.flags = "FA", .seq = 8401});
  s.receive({.seq = 5601, .payload = pattern(1400)});
  s.discard();
  s.events();
  std::size_t bytes = 0;
  for (int reads = 0; reads < 8; ++reads) {
    bytes += s.read().size();
    s.turn();
  }
  EXPECT_EQ(bytes, 8400u);
  EXPECT_EQ(s.state(), State::close_wait);
  EXPECT_NE(s.events() & tcp::kPeerClosed, 0u);
}

}  // namespace
}  // namespace pollux
