// Losses found by send times, probes of the tail, and recoveries taken back: RFC 8985, RFC 6937,
// RFC 3522 and RFC 3708, segment by segment.
#include "dataplane/tcp/rack.hpp"

#include <gtest/gtest.h>

#include "dataplane/tcp/prr.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;

constexpr sim::PeerOffer kSack{.mss = 1000, .window_scale = {}, .sack = true, .timestamps = false};
constexpr sim::PeerOffer kSackAndTimestamps{.mss = 1012, .window_scale = {}, .sack = true};
constexpr Duration kRtt = 20ms;

wire::SackBlock block(std::uint32_t left, std::uint32_t right) {
  return {TcpSeq{left}, TcpSeq{right}};
}

sim::TcpHostOptions newreno() {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.congestion.algorithm = tcp::CongestionAlgorithm::newreno;
  return options;
}

/// Establishes over a path of kRtt and puts segments 0 .. count-1 of 1000 bytes in flight; sequence
/// number 1 is the first byte of segment 0.
void send_segments(TcpScript& s, const sim::PeerOffer& offer, std::uint32_t count,
                   std::uint32_t queued = 0) {
  s.open();
  s.advance(kRtt);
  s.receive_syn_ack(offer);
  s.expect({.flags = "A"});
  s.send(pattern(std::max(count, queued) * 1000));
  for (std::uint32_t i = 0; i < count; ++i) s.expect({.seq = 1 + i * 1000, .length = 1000});
  s.expect_silence();
}

// --- RACK
// ------------------------------------------------------------------------------------------------

TEST(TcpRack, C82_OneReportAndAQuarterOfTheRoundTripFindALoss) {
  TcpScript s;
  send_segments(s, kSack, 5);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 2001)}});
  s.expect_silence();
  s.advance(kRtt / 4 - 2ms);
  s.expect_silence();
  s.advance(3ms);
  s.expect({.seq = 1, .length = 1000});
  s.expect_silence();
  EXPECT_EQ(s.counters().reordering_timeouts.get(), 1u);
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
  s.receive({.ack = 5001});
  s.advance(5s);
  s.expect_silence();
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
}

TEST(TcpRack, C82_ThreeReportsNeedNoWaiting) {
  TcpScript s;
  send_segments(s, kSack, 5);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 4001)}});
  s.expect({.seq = 1, .length = 1000});
  s.expect_silence();
}

TEST(TcpRack, C82_ALostRetransmissionIsFoundByWhatLeftAfterIt) {
  TcpScript s;
  send_segments(s, kSack, 10, 20);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 7001)}});
  s.expect({.seq = 1, .length = 1000});
  s.expect({.seq = 10'001, .length = 1000});  // new data behind it
  s.discard();
  s.advance(kRtt);
  // The copy of segment 0 is lost as well; what left after it has arrived.
  s.receive({.sack = {block(10'001, 11'001), block(1001, 10'001)}});
  s.expect({.seq = 1, .length = 1000});
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
  EXPECT_EQ(s.counters().retransmissions_lost.get(), 1u);
}

TEST(TcpRack, C82_SegmentsThatLeftTogetherAreOrderedByTheirNumbers) {
  tcp::Scoreboard::Slab slab(1, 128);
  tcp::Scoreboard board(slab.ring(0));
  const Instant sent = Instant{} + 1s;
  for (std::uint32_t i = 0; i < 3; ++i)
    board.on_sent(TcpSeq{i * 1000}, TcpSeq{(i + 1) * 1000}, sent);
  tcp::Rack rack;
  rack.on_established(TcpSeq{0});
  board.add({TcpSeq{1000}, TcpSeq{2000}}, TcpSeq{0}, TcpSeq{3000},
            [&](const tcp::Transmission& run) { rack.on_delivered(run, false, sent + kRtt); });
  EXPECT_EQ(rack.detect(board, true, kRtt, sent + kRtt).wait, Duration::zero());
  EXPECT_TRUE(board[0].lost);
  EXPECT_FALSE(board[2].lost) << "it counts as sent later";
}

TEST(TcpRack, C83_ReorderingWithinAQuarterOfTheRoundTripResendsNothing) {
  TcpScript s;
  send_segments(s, kSack, 5);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 2001)}});
  s.receive({.sack = {block(1001, 3001)}});
  s.advance(3ms);
  s.receive({.ack = 5001});
  s.advance(5s);
  s.expect_silence();
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
  // Reordering has been seen: three reports at once are no reason to hurry any more.
  s.send(pattern(5000));
  s.discard();
  s.advance(kRtt);
  s.receive({.ack = 5001, .sack = {block(6001, 9001)}});
  s.expect_silence();
  s.advance(3ms);
  s.receive({.ack = 10'001});
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
}

TEST(TcpRack, C83_DsackWidensTheWindowForSixteenRecoveries) {
  tcp::Scoreboard::Slab slab(1, 128);
  tcp::Scoreboard board(slab.ring(0));
  tcp::Rack rack;
  rack.on_established(TcpSeq{0});
  const Instant start = Instant{} + 1s;
  board.on_sent(TcpSeq{0}, TcpSeq{1000}, start);
  board.on_sent(TcpSeq{1000}, TcpSeq{2000}, start);
  const auto deliver = [&](const tcp::Transmission& run) {
    rack.on_delivered(run, false, start + 40ms);
  };
  board.add({TcpSeq{1000}, TcpSeq{2000}}, TcpSeq{0}, TcpSeq{2000}, deliver);
  EXPECT_FALSE(rack.reordering_seen());
  rack.begin_ack();
  board.advance(TcpSeq{2000}, deliver);  // the first arrived after the second
  EXPECT_TRUE(rack.reordering_seen());
  const auto window = [&] { return rack.reordering_window(true, 3, 1s); };
  EXPECT_EQ(window(), 10ms);
  rack.on_dsack(TcpSeq{2000}, TcpSeq{5000});
  EXPECT_EQ(window(), 20ms);
  rack.on_dsack(TcpSeq{3000}, TcpSeq{6000});  // the same round trip
  EXPECT_EQ(window(), 20ms);
  rack.on_dsack(TcpSeq{5000}, TcpSeq{9000});
  EXPECT_EQ(window(), 30ms);
  EXPECT_EQ(rack.reordering_window(true, 3, 25ms), 25ms) << "never more than a round trip";
  for (int i = 0; i < 15; ++i) rack.on_recovery_end();
  EXPECT_EQ(window(), 30ms);
  rack.on_recovery_end();
  EXPECT_EQ(window(), 10ms);
}

TEST(TcpRack, C82_AnAnswerTooEarlyForTheCopyIsNotTakenForIt) {
  tcp::Rack rack;
  rack.on_established(TcpSeq{0});
  const Instant start = Instant{} + 1s;
  tcp::Transmission run{.sent_at_ns = start.time_since_epoch().count(), .start = 0, .end = 1000};
  rack.on_delivered(run, false, start + 20ms);
  EXPECT_EQ(rack.min_rtt(), 20ms);
  // Sent again at 30 ms and acknowledged at 35 ms: that was the original.
  tcp::Scoreboard::Slab slab(1, 128);
  tcp::Scoreboard board(slab.ring(0));
  board.on_sent(TcpSeq{1000}, TcpSeq{2000}, start + 25ms);
  run = {.sent_at_ns = (start + 30ms).time_since_epoch().count(),
         .start = 2000,
         .end = 3000,
         .ever_resent = true};
  rack.on_delivered(run, false, start + 35ms);
  rack.detect(board, true, 20ms, start + 60ms);
  EXPECT_FALSE(board[0].lost);
  // Had it been the copy, what left before it would be lost by now.
  rack.on_delivered(run, false, start + 55ms);
  rack.detect(board, true, 20ms, start + 60ms);
  EXPECT_TRUE(board[0].lost);
}

// --- Tail loss probe
// -----------------------------------------------------------------------------------------

TEST(TcpTailProbe, C84_TheLastSegmentAgainAfterTwoRoundTrips) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10);
  s.advance(kRtt);
  s.receive({.ack = 8001});  // the last two are lost
  s.expect_silence();
  s.advance(2 * kRtt - 2ms);
  s.expect_silence();
  s.advance(3ms);
  s.expect({.seq = 9001, .length = 1000});
  EXPECT_EQ(s.counters().tail_probes_sent.get(), 1u);
  s.advance(kRtt);
  s.receive({.ack = 8001, .sack = {block(9001, 10'001)}});
  s.advance(kRtt / 4 + 1ms);
  s.expect({.seq = 8001, .length = 1000});
  s.receive({.ack = 10'001});
  s.advance(5s);
  s.expect_silence();
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
}

TEST(TcpTailProbe, C84_SomethingNewGoesInsteadWhenTheWindowLetsIt) {
  TcpScript s;
  send_segments(s, kSack, 10, 12);  // the congestion window holds two back
  s.advance(2 * kRtt + 2ms);
  s.expect({.seq = 10'001, .length = 1000});
  EXPECT_EQ(s.counters().tail_probes_sent.get(), 1u);
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
}

TEST(TcpTailProbe, C84_OneSmallSegmentWaitsForThePeersDelayedAck) {
  TcpScript s;
  send_segments(s, kSack, 1);
  s.advance(2 * kRtt + 58ms);
  s.expect_silence();
  s.advance(4ms);
  s.expect({.seq = 1, .length = 1000});
}

TEST(TcpTailProbe, C84_OneProbeThenTheTimer) {
  TcpScript s;
  send_segments(s, kSack, 3);
  s.advance(2 * kRtt + 2ms);
  const SentSegment probe = s.expect({.seq = 2001});
  s.advance(195ms);
  s.expect_silence();
  s.advance(10ms);
  const SentSegment timeout = s.expect({.seq = 1});
  EXPECT_GE(timeout.at - probe.at, 199ms);
  EXPECT_EQ(s.counters().timeouts.get(), 1u);
}

TEST(TcpTailProbe, C84_ALossThatTheProbeRepairedCostsWindow) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10);
  s.advance(kRtt);
  s.receive({.ack = 9001});  // the very last is lost
  s.advance(2 * kRtt + 62ms);
  s.expect({.seq = 9001});
  s.receive({.ack = 10'001});
  s.send(pattern(30'000, 10'000));
  s.discard();
  EXPECT_EQ(s.counters().tail_losses_repaired.get(), 0u);
  const tcp::Congestion& congestion =
      tcp::EngineInspector::of(s.engine()).connections[s.id.slot].congestion;
  const std::uint32_t before = congestion.cwnd;
  s.advance(kRtt);
  s.discard();
  s.receive({.ack = 11'001});  // nobody has reported a duplicate: it was the only copy
  EXPECT_EQ(s.counters().tail_losses_repaired.get(), 1u);
  EXPECT_EQ(congestion.cwnd, congestion.ssthresh);
  EXPECT_LE(congestion.cwnd, before / 2 + 1000);
  s.expect_silence();  // more is in flight now than the window allows
}

TEST(TcpTailProbe, C84_ADuplicateReportedIsNoLoss) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10);
  s.advance(kRtt);
  s.receive({.ack = 9001});
  s.advance(2 * kRtt + 62ms);
  s.expect({.seq = 9001});
  s.receive({.ack = 10'001});
  s.receive({.ack = 10'001, .sack = {block(9001, 10'001)}});
  EXPECT_EQ(s.counters().dsacks_received.get(), 1u);
  s.send(pattern(30'000, 10'000));
  s.discard();
  s.advance(kRtt);
  s.receive({.ack = 11'001});
  EXPECT_EQ(s.counters().tail_losses_repaired.get(), 0u);
}

TEST(TcpTailProbe, C84_NoProbeWithoutSackOrInARecovery) {
  TcpScript s;
  constexpr sim::PeerOffer plain{
      .mss = 1000, .window_scale = {}, .sack = false, .timestamps = false};
  send_segments(s, plain, 5);
  s.advance(195ms);
  s.expect_silence();
  s.advance(10ms);
  s.expect({.seq = 1});
  EXPECT_EQ(s.counters().tail_probes_sent.get(), 0u);
}

// --- Proportional rate reduction
// -----------------------------------------------------------------------------

TEST(TcpPrr, C80_OneSegmentForEveryTwoThatArriveAndTheThresholdAtTheEnd) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10, 60);
  s.advance(kRtt);
  // RFC 3042: one for each of the first two reports.
  s.receive({.sack = {block(1001, 2001)}});
  s.expect({.seq = 10'001});
  s.receive({.sack = {block(1001, 3001)}});
  s.expect({.seq = 11'001});
  s.expect_silence();
  // The third: 12 segments are in flight, but what duplicates let out does not count (RFC 5681 3.2
  // (2)), so 5 is the threshold.
  s.receive({.sack = {block(1001, 4001)}});
  s.expect({.seq = 1});
  s.expect_silence();
  std::vector<std::size_t> counts;
  for (std::uint32_t arrived = 4; arrived <= 9; ++arrived) {
    s.receive({.sack = {block(1001, arrived * 1000 + 1001)}});
    counts.push_back(s.waiting());
    s.discard();
  }
  // Nothing until half of what has arrived since is more than the retransmission and the pipe is
  // down to the threshold; from there on one for each that arrives.
  EXPECT_EQ(counts, (std::vector<std::size_t>{0, 0, 0, 0, 1, 1}));
  s.receive({.ack = 12'001});
  s.discard();
  // Everything that recovery sent is acknowledged: now exactly the threshold is in flight.
  s.receive({.ack = 15'001});
  std::size_t in_flight = 0;
  while (s.waiting() != 0) in_flight += s.take().payload.size();
  EXPECT_LE(in_flight, 7000u);
  EXPECT_GE(in_flight, 3000u);
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
}

TEST(TcpPrr, C80_BelowTheThresholdItGrowsByOneSegmentMoreThanArrives) {
  tcp::ProportionalRateReduction prr;
  prr.start(20'000);
  constexpr std::uint32_t kThreshold = 10'000;
  // Many losses at once: 4 segments are left in the network.
  EXPECT_EQ(prr.on_ack(1000, 4000, kThreshold, 1000, true), 4000u + 2000u);
  prr.on_sent(2000);
  EXPECT_EQ(prr.on_ack(1000, 5000, kThreshold, 1000, true), 5000u + 2000u);
  prr.on_sent(2000);
  // RFC 9937: what does not move snd_una, or shows another loss, lets out what arrived.
  EXPECT_EQ(prr.on_ack(1000, 5000, kThreshold, 1000, false), 5000u + 1000u);
  prr.on_sent(1000);
  // Never beyond the threshold.
  EXPECT_EQ(prr.on_ack(3000, 9500, kThreshold, 1000, true), kThreshold);
}

TEST(TcpPrr, C80_TheFirstOfARecoveryAndOneIntoAnEmptyNetworkAreAlwaysSent) {
  tcp::ProportionalRateReduction prr;
  prr.start(20'000);
  constexpr std::uint32_t kThreshold = 10'000;
  // Nothing arrived by what found the loss, and the pipe holds more than the threshold.
  EXPECT_EQ(prr.on_ack(0, 15'000, kThreshold, 1000, false), 15'000u + 1000u);
  prr.on_sent(1000);
  EXPECT_EQ(prr.on_ack(0, 15'000, kThreshold, 1000, false), 15'000u);
  // All of it turned out to be lost.
  EXPECT_EQ(prr.on_ack(0, 0, kThreshold, 1000, false), 1000u);
}

TEST(TcpPrr, C80_AboveTheThresholdItFollowsTheShareOfWhatArrives) {
  tcp::ProportionalRateReduction prr;
  prr.start(20'000);
  std::uint32_t pipe = 19'000;
  std::uint32_t sent = 0;
  for (std::uint32_t delivered = 1000; delivered <= 9000; delivered += 1000) {
    const std::uint32_t cwnd = prr.on_ack(1000, pipe, 14'000, 1000, false);
    const std::uint32_t share = (delivered * 14 + 19) / 20;  // RFC 6937 3, rounded up
    EXPECT_EQ(cwnd, pipe + (share > sent ? share - sent : 0)) << delivered;
    const std::uint32_t now = cwnd - pipe;
    prr.on_sent(now);
    sent += now;
    pipe = pipe + now - 1000;
  }
}

TEST(TcpPrr, C81_ARecoveryEndsExactlyAtItsPoint) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 4001)}});
  s.expect({.seq = 1});
  s.send(pattern(10'000, 10'000));
  s.discard();
  // One byte short of the point: the losses of this window belong to the same recovery.
  s.receive({.ack = 10'000});
  s.receive({.ack = 10'000});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
  s.discard();
  s.receive({.ack = 10'001});
  while (s.waiting() != 0) s.take();
  s.advance(kRtt);
  s.receive({.ack = 10'001, .sack = {block(11'001, 14'001)}});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 2u);
}

TEST(TcpPrr, ForgedDuplicatesWithoutSackStandForNoMoreThanWhatIsInFlight) {
  TcpScript s(newreno());
  constexpr sim::PeerOffer plain{
      .mss = 1000, .window_scale = {}, .sack = false, .timestamps = false};
  send_segments(s, plain, 10, 60);
  for (int i = 0; i < 2000; ++i) s.receive({});
  EXPECT_LE(s.waiting(), 16u);
  std::uint32_t highest = 0;
  while (s.waiting() != 0) highest = std::max(highest, s.take().seq - s.iss);
  EXPECT_LE(highest, 26'001u);
}

// --- Undo
// ------------------------------------------------------------------------------------------------

TEST(TcpUndo, C68_ATimeoutThatWasOnlyADelayIsTakenBack) {
  sim::TcpHostOptions options = newreno();
  options.limits.recovery.tail_loss_probe = false;
  TcpScript s(options);
  send_segments(s, kSackAndTimestamps, 10, 60);
  const std::uint32_t original = s.tsval_seen;
  s.advance(230ms);
  s.expect({.seq = 1, .length = 1000});
  ASSERT_EQ(s.counters().timeouts.get(), 1u);
  // The acknowledgments of the originals arrive: they echo a time before the copy left.
  s.receive({.ack = 1001, .tsecr = original});
  EXPECT_EQ(s.counters().spurious_recoveries.get(), 1u);
  // The old window is back: new data, and nothing is sent twice.
  std::size_t fresh = 0;
  while (s.waiting() != 0) {
    EXPECT_GE(s.take().seq - s.iss, 10'001u);
    ++fresh;
  }
  EXPECT_GE(fresh, 1u);
  for (std::uint32_t ack = 2001; ack <= 10'001; ack += 1000)
    s.receive({.ack = ack, .tsecr = original});
  while (s.waiting() != 0) EXPECT_GE(s.take().seq - s.iss, 10'001u);
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 1u);
}

TEST(TcpUndo, C68_ARealTimeoutStays) {
  sim::TcpHostOptions options = newreno();
  options.limits.recovery.tail_loss_probe = false;
  TcpScript s(options);
  send_segments(s, kSackAndTimestamps, 10, 60);
  s.advance(230ms);
  s.expect({.seq = 1, .length = 1000});
  s.receive({.ack = 1001});  // echoes the copy
  EXPECT_EQ(s.counters().spurious_recoveries.get(), 0u);
  s.expect({.seq = 1001});
  s.expect({.seq = 2001});
  s.expect_silence();
}

TEST(TcpUndo, C68_EveryCopyReportedAsADuplicateTakesTheRecoveryBack) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10, 60);
  s.advance(kRtt);
  s.receive({.sack = {block(1001, 4001)}});
  s.expect({.seq = 1});
  s.discard();
  s.receive({.ack = 4001});  // it had only been overtaken
  s.discard();
  s.advance(kRtt);
  s.receive({.ack = 4001, .sack = {block(1, 1001)}});
  EXPECT_EQ(s.counters().spurious_recoveries.get(), 1u);
  EXPECT_EQ(s.counters().dsacks_received.get(), 1u);
}

TEST(TcpUndo, C68_WhatTheNetworkDoubledTakesNothingBack) {
  TcpScript s(newreno());
  send_segments(s, kSack, 10, 60);
  s.advance(kRtt);
  s.receive({.ack = 4001, .sack = {block(5001, 10'001)}});
  s.expect({.seq = 4001});
  s.discard();
  // Segment 7 came twice: that says nothing about the copy of segment 4.
  s.receive({.ack = 4001, .sack = {block(7001, 8001), block(5001, 10'001)}});
  EXPECT_EQ(s.counters().dsacks_received.get(), 1u);
  EXPECT_EQ(s.counters().spurious_recoveries.get(), 0u);
  // Nor does one of before this recovery.
  s.receive({.ack = 4001, .sack = {block(2001, 3001), block(5001, 10'001)}});
  EXPECT_EQ(s.counters().spurious_recoveries.get(), 0u);
}

}  // namespace
}  // namespace pollux
