// Opening: what the SYN offers, what is made of the answer, and every way in which it fails.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/tcp/isn.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::PeerOffer;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

// --- SYN-SENT: what is offered
// -------------------------------------------------------------------------

TEST(TcpHandshake, C01_SynOptionSet) {
  TcpScript s;
  const SentSegment syn = s.open();
  EXPECT_EQ(syn.options.mss, 1460);
  EXPECT_TRUE(syn.options.has_window_scale && syn.options.sack_permitted &&
              syn.options.has_timestamps);
  EXPECT_LE(syn.option_bytes, 40u);
  EXPECT_EQ(syn.options.tsecr, 0u);
  EXPECT_EQ(syn.ack, 0u);
  EXPECT_EQ(s.state(), State::syn_sent);
}

TEST(TcpHandshake, C02_SynAckWithoutOptions) {
  TcpScript s;
  s.establish({.mss = {}, .window_scale = {}, .sack = false, .timestamps = false});
  s.send(sim::pattern(600));
  const SentSegment first = s.expect({.flags = "A", .seq = 1, .length = 536});
  EXPECT_EQ(first.option_bytes, 0u);
  s.expect({.flags = "PA", .seq = 537, .length = 64});
  s.receive({.seq = 100, .ack = 601, .payload = "hole"});
  EXPECT_EQ(s.expect({.flags = "A"}).option_bytes, 0u);
}

TEST(TcpHandshake, C03_SynWindowIsNotScaled) {
  TcpScript s;
  s.open();
  s.receive_syn_ack({.mss = 100, .window_scale = 7, .timestamps = false, .window = 250});
  s.expect({.flags = "A"});
  s.send(sim::pattern(1000));
  s.expect({.seq = 1, .length = 100});
  s.expect({.seq = 101, .length = 100});
  s.expect_silence();
}

TEST(TcpHandshake, C04_WindowScaleOver14IsUsedAs14) {
  TcpScript s;
  s.establish({.window_scale = 200});
  EXPECT_EQ(s.counters().window_scale_clamped.get(), 1u);
  s.send(sim::pattern(14'480));  // the initial window, so that the next one is larger than 1 << 14
  s.discard();
  s.receive({.ack = 14'481, .window = 1});
  s.send(sim::pattern(20'000));
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  EXPECT_LE(bytes, 1u << 14);
  EXPECT_GE(bytes, (1u << 14) - 1460);
}

TEST(TcpHandshake, C05_SynOptionsLaterAreIgnored) {
  TcpScript s;
  s.establish({.timestamps = false});
  s.receive({.window = 100, .options = std::vector<std::uint8_t>{2, 4, 0, 100, 1, 3, 3, 0}});
  s.send(sim::pattern(4000));
  s.expect({.seq = 1, .length = 1460});  // the window is still 100 << 7
}

TEST(TcpHandshake, C10_BadAckInSynSentIsAnsweredWithReset) {
  TcpScript s;
  s.open();
  for (const std::uint32_t ack : {0u, 2u}) {
    s.receive({.flags = "SA", .seq = 0, .ack = ack});
    s.expect({.flags = "R", .seq = ack});
    EXPECT_EQ(s.state(), State::syn_sent);
  }
  s.receive({.flags = "A", .seq = 0, .ack = 5});
  s.expect({.flags = "R", .seq = 5});
  s.receive({.flags = "RA", .seq = 0, .ack = 5});
  s.expect_silence();
}

TEST(TcpHandshake, C11_ResetInSynSent) {
  TcpScript s;
  s.open();
  s.receive({.flags = "R", .seq = 0});
  EXPECT_EQ(s.state(), State::syn_sent);
  s.receive({.flags = "RA", .seq = 0, .ack = 1});
  s.expect_silence();
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::refused);
}

TEST(TcpHandshake, C12_SynIsRepeatedAt0And1And3And7Seconds) {
  TcpScript s;
  const SentSegment first = s.open({.remote = s.request().remote, .connect_timeout = 180s});
  s.advance(16s);
  std::vector<std::int64_t> seconds;
  while (s.waiting() != 0) {
    const SentSegment again = s.expect({.flags = "S", .seq = 0});
    seconds.push_back((again.at - first.at + 500ms) / 1s);
  }
  EXPECT_EQ(seconds, (std::vector<std::int64_t>{1, 3, 7, 15}));
}

TEST(TcpHandshake, C12_ConnectTimeoutEndsIt) {
  TcpScript s;
  s.open({.remote = s.request().remote, .connect_timeout = 5s});
  s.advance(6s);
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::connect_timeout);
}

TEST(TcpHandshake, C13_LostSynMeansOneSegmentAndThreeSeconds) {
  TcpScript s;
  s.open();
  s.advance(1100ms);
  s.expect({.flags = "S"});
  s.receive_syn_ack({.timestamps = false});
  s.expect({.flags = "A"});
  s.send(sim::pattern(5000));
  const SentSegment sent = s.expect({.seq = 1, .length = 1460});
  s.expect_silence();
  s.advance(2900ms);
  s.expect_silence();
  s.advance(200ms);
  EXPECT_EQ((s.expect({.seq = 1}).at - sent.at + 500ms) / 1s, 3);
}

TEST(TcpHandshake, C14_SimultaneousOpen) {
  TcpScript s;
  s.open();
  s.receive({.flags = "S", .seq = 0, .options = s.syn_options({}, false)});
  s.timestamps_on = true;
  s.expect({.flags = "SA", .seq = 0, .ack = 1});
  s.receive({.flags = "SA", .seq = 0, .ack = 1});
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpHandshake, C15_RepeatedSynAckIsAnsweredOnce) {
  TcpScript s;
  s.establish();
  s.receive({.flags = "SA", .seq = 0, .ack = 1});
  s.expect({.flags = "A", .seq = 1, .ack = 1});
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpHandshake, C16_DataInTheSynAckIsDeliveredOnce) {
  TcpScript s;
  s.open();
  s.receive_syn_ack({}, "hello");
  s.expect({.flags = "A", .seq = 1, .ack = 6});
  EXPECT_EQ(s.read(), "hello");
  s.receive({.flags = "A", .seq = 1, .payload = "hello"});
  EXPECT_EQ(s.read(), "");
}

// --- Numbers that nobody can guess
// -----------------------------------------------------------------------

TEST(TcpHandshake, C17_IsnGrowsWithTheClockAndDiffersByTuple) {
  const tcp::HashKey key{1, 2};
  const net::Endpoint here{net::IpAddress::v4(10, 99, 0, 1), 40000};
  net::Endpoint there{net::IpAddress::v4(10, 99, 0, 2), 3260};
  const Instant now{1000s};
  const TcpSeq first = initial_sequence_number(key, here, there, now);
  EXPECT_EQ(initial_sequence_number(key, here, there, now + 4ms).distance_from(first), 1000u);
  there.port = 3261;
  const TcpSeq other = initial_sequence_number(key, here, there, now);
  EXPECT_GT(other.distance_from(first), 100'000u);
  EXPECT_FALSE(tcp::initial_sequence_number({1, 3}, here, there, now) == other);
}

TEST(TcpHandshake, C17_SipHashReferenceValue) {
  // The example of the SipHash paper, appendix A: key 00..0f, message 00..0e.
  std::array<std::byte, 15> message;
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  EXPECT_EQ(tcp::siphash({0x0706050403020100u, 0x0f0e0d0c0b0a0908u}, message), 0xa129ca6149be45e5u);
}

TEST(TcpHandshake, C18_PortsAreRandom) {
  std::set<std::uint16_t> ports;
  int steps_of_one = 0;
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits = {.connections = 1024,
                    .receive_views = 4,
                    .out_of_order_views = 4,
                    .send_descriptors = 4,
                    .send_inline_bytes = 64};
  TcpScript s(options);
  std::uint16_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    tcp::ConnectionId id;
    ASSERT_EQ(s.engine().open(s.request(), s.clock.now(), id), tcp::OpenError::none);
    const std::uint16_t port = s.engine().local(id).port;
    steps_of_one += port == last + 1;
    ports.insert(last = port);
  }
  EXPECT_EQ(ports.size(), 1000u);
  EXPECT_LT(steps_of_one, 5);
}

// --- CLOSED and LISTEN
// -----------------------------------------------------------------------------------

TEST(TcpHandshake, C20_SegmentsForNoConnection) {
  TcpScript s;
  s.establish();
  const net::Endpoint stranger{net::IpAddress::v4(10, 99, 0, 2), 5555};
  s.inject_from(stranger, 4444, {.flags = "S", .seq = 77}, true);
  s.turn();
  SentSegment reply = s.take();
  EXPECT_EQ(reply.flags, wire::kTcpRst | wire::kTcpAck);
  EXPECT_EQ(reply.seq, 0u);
  EXPECT_EQ(reply.ack, 78u);
  s.inject_from(stranger, 4444, {.flags = "A", .seq = 77, .ack = 1234, .payload = "x"}, true);
  s.turn();
  reply = s.take();
  EXPECT_EQ(reply.flags, wire::kTcpRst);
  EXPECT_EQ(reply.seq, 1234u);
  s.inject_from(stranger, 4444, {.flags = "R", .seq = 77}, true);
  s.inject_from(stranger, 4444, {.flags = "RA", .seq = 77, .ack = 1234}, true);
  s.turn();
  s.expect_silence();
}

TEST(TcpHandshake, C20_SynThatTheListenerRefusesIsReset) {
  TcpScript s;
  s.establish();
  sim::PortListener listener(860);
  s.engine().set_listener(&listener);
  s.inject_from({net::IpAddress::v4(10, 99, 0, 2), 5555}, 4444, {.flags = "S", .seq = 77}, true);
  s.turn();
  const SentSegment reply = s.take();
  EXPECT_EQ(reply.flags, wire::kTcpRst | wire::kTcpAck);
  EXPECT_EQ(reply.ack, 78u);
}

TEST(TcpHandshake, C20_ResetsAreLimited) {
  TcpScript s;
  s.establish();
  for (int i = 0; i < 500; ++i) {
    s.inject_from({net::IpAddress::v4(10, 99, 0, 2), 5555}, 4444, {.flags = "S", .seq = 7}, true);
    s.turn();
  }
  EXPECT_LE(s.waiting(), 100u);
  EXPECT_GE(s.counters().suppressed_resets.get(), 400u);
}

TEST(TcpHandshake, PassiveOpenReachesEstablished) {
  TcpScript s;
  sim::PortListener listener(860, 42);
  s.engine().set_listener(&listener);
  s.local_port = 860;
  s.inject({.flags = "S", .seq = 0, .options = s.syn_options({}, false)});
  for (int i = 0; i < 3; ++i) s.turn();  // ARP
  const SentSegment answer = s.take();
  EXPECT_EQ(answer.flags, wire::kTcpSyn | wire::kTcpAck);
  EXPECT_TRUE(answer.options.sack_permitted && answer.options.has_timestamps);
  s.iss = answer.seq;
  s.timestamps_on = true;
  // Our answer was lost: it comes again, for the SYN and for the timer.
  s.receive({.flags = "S", .seq = 0, .options = s.syn_options({}, false)});
  s.expect({.flags = "SA", .seq = 0, .ack = 1});
  s.advance(1100ms);
  s.expect({.flags = "SA", .seq = 0, .ack = 1});
  s.receive({.payload = "now"});
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.events(), tcp::kEstablished | tcp::kReadable);
  EXPECT_EQ(s.read(), "now");
}

TEST(TcpHandshake, UnreachableNeighbourEndsTheConnect) {
  TcpScript s;
  tcp::OpenRequest request = s.request();
  request.remote.address = net::IpAddress::v4(10, 98, 0, 1);
  EXPECT_EQ(s.engine().open(request, s.clock.now(), s.id), tcp::OpenError::no_route);
  s.wire.set_link(false);  // nobody answers ARP
  request = s.request();
  request.connect_timeout = 60s;
  ASSERT_EQ(s.engine().open(request, s.clock.now(), s.id), tcp::OpenError::none);
  s.advance(30s);
  EXPECT_EQ(s.events(), tcp::kEnded);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::host_unreachable);
}

TEST(TcpHandshake, TheSamePortsLaterNeverTurnTheTimestampsBack) {
  // RFC 6191 2: a peer in TIME-WAIT takes the SYN only if its timestamp is newer than the last.
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    sim::TcpHostOptions options = TcpScript::default_options();
    options.seed = seed;
    TcpScript s(options);
    tcp::OpenRequest request = s.request();
    request.local_port = 50'000;
    const SentSegment first = s.open(request);
    s.receive_syn_ack();
    s.engine().abort(s.id, s.clock.now());
    s.turn();
    s.engine().release(s.id);
    s.advance(10ms);
    s.discard();
    const SentSegment second = s.open(request);
    EXPECT_LT(second.options.tsval - first.options.tsval, 1000u);
    EXPECT_GT(second.options.tsval - first.options.tsval, 0u);
  }
}

}  // namespace
}  // namespace pollux
