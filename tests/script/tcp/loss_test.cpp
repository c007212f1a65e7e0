// Round trips, timeouts and lost segments.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/tcp/congestion.hpp"
#include "dataplane/tcp/rtt.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;

constexpr sim::PeerOffer kPlain{
    .mss = 1000, .window_scale = {}, .sack = false, .timestamps = false};
constexpr sim::PeerOffer kSack{.mss = 1000, .window_scale = {}, .sack = true, .timestamps = false};

wire::SackBlock block(std::uint32_t left, std::uint32_t right) {
  return {TcpSeq{left}, TcpSeq{right}};
}

/// Establishes, and puts `segments` of 1000 bytes in flight.
void send_segments(TcpScript& s, const sim::PeerOffer& offer, std::uint32_t segments) {
  s.establish(offer);
  s.send(pattern(segments * 1000));
  for (std::uint32_t i = 0; i < segments; ++i) s.expect({.seq = 1 + i * 1000, .length = 1000});
  s.expect_silence();
}

// --- The timer
// -------------------------------------------------------------------------------------------

TEST(TcpLoss, C64_RttFormula) {
  tcp::RttEstimator rtt;
  rtt.on_sample(800ms, 200ms, 60s);
  EXPECT_EQ(rtt.srtt, 800ms);
  EXPECT_EQ(rtt.rttvar, 400ms);
  EXPECT_EQ(rtt.rto, 2400ms);
  rtt.on_sample(400ms, 200ms, 60s);
  EXPECT_EQ(rtt.rttvar, 400ms);
  EXPECT_EQ(rtt.srtt, 750ms);
  EXPECT_EQ(rtt.rto, 2350ms);
  rtt.on_sample(100s, 200ms, 60s);
  EXPECT_EQ(rtt.rto, 60s);
  tcp::RttEstimator fast;
  fast.on_sample(50us, 200ms, 60s);
  EXPECT_EQ(fast.rto, 200ms);
  tcp::RttEstimator steady;
  steady.on_sample(800ms, 200ms, 60s);
  steady.on_sample(800ms, 200ms, 60s);
  EXPECT_EQ(steady.rttvar, 300ms);  // 3/4 of what it was
  EXPECT_EQ(steady.srtt, 800ms);
  EXPECT_EQ(steady.rto, 2000ms);
}

TEST(TcpLoss, C65_NoSampleFromWhatWasSentTwice) {
  TcpScript s;
  send_segments(s, kPlain, 1);
  s.advance(210ms);
  const SentSegment first = s.expect({.seq = 1});
  s.advance(1ms);
  s.receive({.ack = 1001});  // one millisecond after the copy, whatever it answers
  s.send(pattern(1000, 1000));
  s.expect({.seq = 1001});
  // The doubled timeout still holds.
  s.advance(390ms);
  s.expect_silence();
  s.advance(20ms);
  s.expect({.seq = 1001});
  EXPECT_NE(first.at, Instant{});
}

TEST(TcpLoss, C66_OnlyNewAcknowledgmentsRestartTheTimer) {
  TcpScript s;
  send_segments(s, kPlain, 3);
  s.advance(150ms);
  s.receive({.ack = 1001});
  s.advance(150ms);
  s.receive({.ack = 1001});  // a duplicate
  s.expect_silence();
  s.advance(45ms);
  s.expect_silence();
  // 200 ms or what the sample of 150 ms made of it, from the new one on, not from the duplicate.
  const Instant armed = s.clock.now() - 195ms;
  while (s.waiting() == 0 && s.clock.now() < armed + 2s) s.advance(1ms);
  const SentSegment again = s.expect({.seq = 1001});
  // srtt = 150/8, rttvar = 150*3/8... : the deadline counts from the acknowledgment of new data.
  EXPECT_LE(again.at - armed, 450ms);
  s.receive({.ack = 3001});
  s.advance(5s);
  s.expect_silence();
}

TEST(TcpLoss, C66_DuplicatesLeaveTheDeadlineWhereItIs) {
  const auto resent_at = [](bool with_duplicates) {
    TcpScript s;
    send_segments(s, kPlain, 5);
    s.advance(50ms);
    s.receive({.ack = 1001});
    const Instant armed = s.clock.now();
    s.advance(100ms);
    for (int i = 0; i < 2 && with_duplicates; ++i) s.receive({.ack = 1001});
    s.expect_silence();
    while (s.waiting() == 0 && s.clock.now() < armed + 2s) s.advance(1ms);
    return s.expect({.seq = 1001}).at - armed;
  };
  EXPECT_EQ(resent_at(true), resent_at(false));
}

TEST(TcpLoss, C67_TimeoutResendsTheEarliestAndDoubles) {
  TcpScript s;
  send_segments(s, kPlain, 4);
  const Instant start = s.clock.now();
  std::vector<std::int64_t> at;
  s.advance(7s);
  while (s.waiting() != 0) at.push_back((s.expect({.seq = 1, .length = 1000}).at - start) / 50ms);
  EXPECT_EQ(at, (std::vector<std::int64_t>{4, 12, 28, 60, 124}));
  EXPECT_EQ(s.counters().timeouts.get(), 5u);
  // Slow start from one segment: each acknowledgment lets the next two go.
  s.receive({.ack = 1001});
  s.expect({.seq = 1001});
  s.expect({.seq = 2001});
  s.expect_silence();
}

TEST(TcpLoss, C67_UserTimeoutEndsIt) {
  TcpScript s;
  s.open({.remote = s.request().remote, .user_timeout = 5s});
  s.receive_syn_ack();
  s.send("lost");
  s.events();
  s.advance(5100ms);
  EXPECT_EQ(s.events(), tcp::kEnded | tcp::kStruggling);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::user_timeout);
}

TEST(TcpLoss, C69_AcksThatWaitedAreReadBeforeTimersRun) {
  TcpScript s;
  send_segments(s, kPlain, 2);
  s.clock.advance(5s);
  s.receive({.ack = 2001});
  s.expect_silence();
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
}

// --- NewReno
// ---------------------------------------------------------------------------------------------

TEST(TcpLoss, C70_InitialWindow) {
  TcpScript s;
  s.establish(kPlain);
  s.send(pattern(30'000));
  for (std::uint32_t i = 0; i < 10; ++i) s.expect({.seq = 1 + i * 1000});
  s.expect_silence();
}

TEST(TcpLoss, C73_LimitedTransmit) {
  TcpScript s;
  s.establish(kPlain);
  s.send(pattern(20'000));
  s.discard();
  s.receive({});
  s.expect({.seq = 10'001});
  s.expect_silence();
  s.receive({});
  s.expect({.seq = 11'001});
  s.expect_silence();
}

TEST(TcpLoss, C72_WindowUpdatesAndDataAreNoDuplicates) {
  TcpScript s;
  send_segments(s, kPlain, 5);
  for (std::uint16_t i = 0; i < 5; ++i)
    s.receive({.window = static_cast<std::uint16_t>(60'000 + i)});
  for (std::uint32_t i = 0; i < 5; ++i) s.receive({.seq = 1 + i, .window = 60'004, .payload = "d"});
  // Behind a hole, so that each leaves the fast path.
  for (std::uint32_t i = 0; i < 5; ++i)
    s.receive({.seq = 1001 + i, .window = 60'004, .payload = "d"});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
}

TEST(TcpLoss, C74_TheThresholdIsNeverBelowTwoSegments) {
  for (const auto algorithm :
       {tcp::CongestionAlgorithm::cubic, tcp::CongestionAlgorithm::newreno}) {
    tcp::Congestion c;
    c.algorithm = algorithm;
    c.cwnd = 2000;
    c.on_congestion(2000, 1000);
    EXPECT_EQ(c.ssthresh, 2000u);
  }
}

TEST(TcpLoss, C74_ThirdDuplicateResendsExactlyTheLostSegment) {
  TcpScript s;
  send_segments(s, kPlain, 8);
  s.receive({});
  s.receive({});
  s.expect_silence();
  s.receive({});
  EXPECT_TRUE(s.expect({.seq = 1, .length = 1000}).payload == pattern(1000));
  s.expect_silence();
  s.receive({.ack = 8001});
  // ssthresh is half of what was in flight: four segments go out now, or one more than that.
  s.send(pattern(20'000));
  EXPECT_LE(s.waiting(), 5u);
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
}

TEST(TcpLoss, C75_PartialAcknowledgmentsFillOneHoleEach) {
  TcpScript s;
  send_segments(s, kPlain, 8);
  for (int i = 0; i < 3; ++i) s.receive({});
  s.expect({.seq = 1});
  s.receive({.ack = 3001});
  s.expect({.seq = 3001, .length = 1000});
  s.expect_silence();
  s.receive({.ack = 5001});
  s.expect({.seq = 5001, .length = 1000});
  s.expect_silence();
  s.receive({.ack = 8001});
  s.expect_silence();
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
}

TEST(TcpLoss, C76_DuplicatesAfterATimeoutStartNoSecondRecovery) {
  TcpScript s;
  send_segments(s, kPlain, 8);
  s.advance(210ms);
  s.expect({.seq = 1});
  for (int i = 0; i < 5; ++i) s.receive({});
  s.receive({.ack = 8001});
  for (int i = 0; i < 5; ++i) s.receive({.ack = 8001});
  // The answers to what was sent again without need go on while something new is in flight.
  s.discard();
  s.send(pattern(3000, 8000));
  s.discard();
  for (int i = 0; i < 5; ++i) s.receive({.ack = 8001});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
  while (s.waiting() != 0) EXPECT_GE(s.take().seq - s.iss, 9001u);
}

// --- SACK
// ------------------------------------------------------------------------------------------------

TEST(TcpLoss, C77_SackFillsHolesInOrderAndSpares) {
  TcpScript s(TcpScript::options_without_rack());
  send_segments(s, kSack, 10);
  // Segments 0 and 3 are lost.
  s.receive({.sack = {block(1001, 2001)}});
  s.receive({.sack = {block(1001, 3001)}});
  s.expect_silence();
  s.receive({.sack = {block(4001, 5001), block(1001, 3001)}});
  s.expect({.seq = 1, .length = 1000});
  s.expect_silence();
  s.receive({.sack = {block(4001, 7001), block(1001, 3001)}});
  s.receive({.sack = {block(4001, 9001), block(1001, 3001)}});
  s.expect({.seq = 3001, .length = 1000});
  // NextSeg (4), once: the last segment, which nobody has reported.
  s.receive({.ack = 3001, .sack = {block(4001, 9001)}});
  s.expect({.seq = 9001, .length = 1000});
  s.receive({.ack = 3001, .sack = {block(4001, 9001)}});
  s.expect_silence();
  EXPECT_EQ(s.counters().rescue_retransmissions.get(), 1u);
  s.receive({.ack = 10'001});
  s.expect_silence();
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 3u);
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
}

TEST(TcpLoss, C78_RenegingCostsATimeoutAndNothingElse) {
  TcpScript s(TcpScript::options_without_rack());
  send_segments(s, kSack, 4);
  s.receive({.sack = {block(2001, 4001)}});
  s.advance(230ms);
  s.expect({.seq = 1});
  std::set<std::uint32_t> repeated;
  for (std::uint32_t ack = 1001; ack < 4001; ack += 1000) {
    s.receive({.ack = ack});
    while (s.waiting() != 0) repeated.insert(s.take().seq - s.iss);
  }
  EXPECT_EQ(repeated, (std::set<std::uint32_t>{1001, 2001, 3001}));
}

TEST(TcpLoss, C106_ARetransmissionIsACopyOfTheSameBytes) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish(kSack);
  const std::string data = pattern(3000);
  tcp::SendReference reference;
  s.send_external(std::as_bytes(std::span(data)), &reference);
  EXPECT_EQ(s.counters().bytes_copied.get(), 0u);
  s.discard();
  s.advance(210ms);
  EXPECT_TRUE(s.expect({.seq = 1}).payload == data.substr(0, 1000));
  EXPECT_EQ(s.counters().bytes_copied.get(), 1000u);
  s.receive({.ack = 3001});
  EXPECT_EQ(reference.count, 0u);
}

// --- Numbers that wrap
// -----------------------------------------------------------------------------------

TEST(TcpLoss, C52_OurNumbersWrapInTheMiddleOfARecovery) {
  TcpScript s;
  // The ISN moves on by one every 4 microseconds: wait until it is just below the wrap.
  tcp::OpenRequest request = s.request();
  request.local_port = 50'000;
  const std::uint32_t early = s.open(request).seq;
  s.engine().abort(s.id, s.clock.now());
  s.engine().release(s.id);
  s.turn();
  s.clock.advance(Duration{std::int64_t{0xffff'ffffu - 2500 - early} * 4000});
  s.turn();
  request.connect_timeout = 60s;
  s.open(request);
  ASSERT_GT(s.iss, 0xffff'0000u);
  s.receive_syn_ack(kPlain);
  s.expect({.flags = "A"});
  s.send(pattern(8000));
  s.discard();
  for (int i = 0; i < 3; ++i) s.receive({});
  s.expect({.seq = 1});
  s.receive({.ack = 3001});
  EXPECT_TRUE(s.expect({.seq = 3001}).payload == pattern(1000, 3000));
  s.receive({.ack = 8001});
  EXPECT_EQ(s.engine().send_space(s.id).inline_bytes, 64u * 1024);
  s.advance(5s);
  s.expect_silence();
}

TEST(TcpLoss, ALossAfterTwoGibibytesWithoutOneIsRepairedBeforeTheTimeout) {
  sim::TcpHostOptions options = TcpScript::options_without_rack();
  options.port.mtu = 9000;
  TcpScript s(options);
  s.establish({.mss = 8960, .timestamps = false});
  const std::vector<std::byte> bytes(8960 * 7);
  // Half of the number space and a little more: a recovery point that stayed behind would now seem
  // to lie ahead.
  std::uint32_t acked = 1;
  for (int turns = 0; acked < 0x8010'0000u && turns < 100'000; ++turns) {
    if (s.engine().send_space(s.id).descriptors > 1) s.send_external(bytes, nullptr);
    while (s.waiting() > 0) acked += static_cast<std::uint32_t>(s.take().payload.size());
    s.receive({.ack = acked});
    s.advance(1ms);
  }
  ASSERT_GE(acked, 0x8010'0000u);
  s.advance(1ms);
  while (s.waiting() > 0) acked += static_cast<std::uint32_t>(s.take().payload.size());
  s.receive({.ack = acked});
  s.discard();
  s.send_external(bytes, nullptr);
  for (std::uint32_t i = 1; i <= 3; ++i)
    s.receive({.ack = acked, .sack = {{TcpSeq{acked + 8960}, TcpSeq{acked + 8960 * (i + 1)}}}});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
}

}  // namespace
}  // namespace pollux
