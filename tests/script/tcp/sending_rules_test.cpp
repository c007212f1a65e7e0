// The rest of what a sender promises: what it makes of odd acknowledgments and windows, when its
// timer starts, whom it asks when nothing is answered, and whose memory it may still point into.
#include <gtest/gtest.h>

#include <vector>

#include "dataplane/net/counters.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

constexpr sim::PeerOffer kPlain{
    .mss = 1000, .window_scale = {}, .sack = false, .timestamps = false};
constexpr sim::PeerOffer kSack{.mss = 1000, .window_scale = {}, .sack = true, .timestamps = false};

wire::SackBlock block(std::uint32_t left, std::uint32_t right) {
  return {TcpSeq{left}, TcpSeq{right}};
}

sim::TcpHostOptions newreno() {
  sim::TcpHostOptions options = TcpScript::options_without_rack();
  options.limits.congestion.algorithm = tcp::CongestionAlgorithm::newreno;
  return options;
}

std::uint32_t take_bytes(TcpScript& s) {
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  return bytes;
}

void send_segments(TcpScript& s, const sim::PeerOffer& offer, std::uint32_t segments) {
  s.establish(offer);
  s.send(pattern(segments * 1000));
  for (std::uint32_t i = 0; i < segments; ++i) s.expect({.seq = 1 + i * 1000, .length = 1000});
  s.expect_silence();
}

// --- Sizes and windows
// -----------------------------------------------------------------------------------

TEST(TcpSendingRules, C53_WithTimestampsAndSackBlocksEveryPacketFitsTheMtu) {
  for (const bool v6 : {false, true}) {
    TcpScript s(v6 ? TcpScript::ipv6_options() : TcpScript::default_options());
    s.establish();
    std::size_t largest = 0;
    s.wire.watch([&largest](std::size_t from, Instant, std::span<const std::byte> frame) {
      if (from == 0) largest = std::max(largest, frame.size() - 14);
    });
    for (std::uint32_t i = 0; i < 5; ++i) {
      const std::string data = pattern(5000);
      s.engine().send_inline(s.id, std::as_bytes(std::span(data)));
      s.receive({.seq = 101 + 200 * i, .ack = 1 + i * 5000, .payload = "hole"});
    }
    EXPECT_EQ(largest, 1500u);
  }
}

TEST(TcpSendingRules, C54_AWindowWithItsHighestBitIsNotNegative) {
  struct Row {
    std::uint8_t scale;
    std::uint16_t window;
    std::uint32_t most;
  };
  for (const Row& row : {Row{0, 0x8000, 10'000}, Row{0, 0xffff, 10'000}, Row{14, 0xffff, 10'000},
                         Row{14, 0x8000, 10'000}, Row{7, 20, 2560}, Row{0, 2560, 2560}}) {
    TcpScript s;
    s.establish({.mss = 1000, .window_scale = row.scale, .timestamps = false});
    s.receive({.window = row.window});
    s.send(pattern(30'000));
    const std::uint32_t sent = take_bytes(s);
    EXPECT_LE(sent, row.most);
    EXPECT_GT(sent, row.most - 1000);
  }
}

TEST(TcpSendingRules, C55_AnOlderAckWithTheSameNumberLeavesTheWindow) {
  TcpScript s;
  s.establish(kPlain);
  s.send(pattern(2000));
  s.discard();
  s.receive({.ack = 2001, .window = 1000});
  s.receive({.ack = 1001, .window = 60'000});
  s.send(pattern(5000, 2000));
  EXPECT_EQ(take_bytes(s), 1000u);
}

TEST(TcpSendingRules, C61_OnlyTheLastOfWhatIsQueuedHasPshAlsoWhenSentAgain) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish(kPlain);
  s.send(pattern(3500));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(s.take().flags, wire::kTcpAck);
  EXPECT_EQ(s.take().flags, wire::kTcpAck | wire::kTcpPsh);
  s.receive({.ack = 3001});
  s.advance(1s);
  EXPECT_EQ(s.expect({.seq = 3001, .length = 500}).flags, wire::kTcpAck | wire::kTcpPsh);
}

// --- Nothing is answered
// -----------------------------------------------------------------------------------

/// Requests for the peer's address by ARP, and whether each asked everybody.
std::vector<bool> watch_requests(TcpScript& s, std::vector<bool>& broadcasts) {
  s.wire.watch([&broadcasts](std::size_t from, Instant, std::span<const std::byte> frame) {
    if (from == 0 && frame[12] == std::byte{8} && frame[13] == std::byte{6} &&
        frame[21] == std::byte{1})
      broadcasts.push_back(frame[0] == std::byte{0xff});
  });
  return broadcasts;
}

TEST(TcpSendingRules, C63_FromTheThirdVainTimeoutOnTheNeighbourIsAskedForAgain) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish(kPlain);
  s.advance(2s);
  std::vector<bool> broadcasts;
  watch_requests(s, broadcasts);
  s.send("lost");
  s.advance(200ms + 400ms + 100ms);  // the first two
  EXPECT_TRUE(broadcasts.empty());
  s.advance(800ms);
  ASSERT_EQ(broadcasts.size(), 1u);
  EXPECT_FALSE(broadcasts[0]) << "the neighbour itself first";
  EXPECT_EQ(s.host.interface.counters().arp_suspected.get(), 1u);
  // It has answered, and still nothing comes back: each timeout asks again.
  s.advance(5s);
  EXPECT_GE(broadcasts.size(), 2u);
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpSendingRules, C63_ANeighbourThatHasMovedInSilenceIsFound) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish(kPlain);
  s.advance(2s);
  s.peer_answers_arp = false;  // whoever has the address now has another MAC
  std::vector<bool> broadcasts;
  watch_requests(s, broadcasts);
  s.send("lost");
  s.advance(5s);
  ASSERT_GE(broadcasts.size(), 2u);
  EXPECT_FALSE(broadcasts[0]);
  EXPECT_TRUE(broadcasts[1]) << "then everybody";
}

TEST(TcpSendingRules, C63_OverIpv6TheNeighbourIsAskedForAgainToo) {
  sim::TcpHostOptions options = TcpScript::ipv6_options();
  options.limits.recovery = {.rack = false, .tail_loss_probe = false};
  TcpScript s(options);
  s.establish(kPlain);
  s.advance(2s);
  int solicitations = 0;
  s.wire.watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
    solicitations += from == 0 && frame[20] == std::byte{58} && frame[54] == std::byte{135};
  });
  s.send("lost");
  s.advance(200ms + 400ms + 100ms);
  EXPECT_EQ(solicitations, 0);
  s.advance(800ms);
  EXPECT_GE(solicitations, 1);
}

// --- The timer
// -----------------------------------------------------------------------------------

TEST(TcpSendingRules, C66_TheTimerCountsFromTheLastNewAcknowledgment) {
  TcpScript s(newreno());
  s.establish(kPlain);
  s.advance(10s);  // nothing is out, so nothing runs
  s.expect_silence();
  s.send(pattern(1000));
  s.discard();
  const Instant start = s.clock.now();
  s.advance(100ms);
  s.send(pattern(2000, 1000));  // what follows does not start it again
  s.discard();
  s.advance(60ms);
  s.receive({.ack = 1001});  // new: 200 ms from here
  s.advance(100ms);
  s.receive({.ack = 1001});  // a duplicate
  s.receive({.ack = 1});     // an old one
  s.receive({.ack = 1001, .payload = "data"});
  s.advance(97ms);
  while (s.waiting() != 0) EXPECT_EQ(s.take().payload.size(), 0u);
  s.advance(5ms);
  const SentSegment again = s.expect({.seq = 1001, .length = 1000});
  EXPECT_GE(again.at - start, 360ms);
  EXPECT_LE(again.at - start, 363ms);
  s.receive({.seq = 5, .ack = 3001});  // all of it: it stops
  s.discard();
  s.advance(100s);
  s.expect_silence();
}

// --- Acknowledgments that are not what they seem
// -----------------------------------------------------------------------------------

TEST(TcpSendingRules, C72_WithSackAnAckThatReportsNothingIsNoDuplicate) {
  TcpScript s(TcpScript::options_without_rack());
  send_segments(s, kSack, 8);
  for (int i = 0; i < 6; ++i) s.receive({});
  s.expect_silence();
  // Nor one that lies behind, or that says what was known.
  s.receive({.ack = 2001});
  s.discard();
  for (int i = 0; i < 6; ++i) s.receive({.ack = 1001});
  for (int i = 0; i < 6; ++i) s.receive({.ack = 2001, .sack = {block(3001, 4001)}});
  s.expect_silence();
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
}

TEST(TcpSendingRules, C72_WithoutSackAnOldAckOrAFinIsNoDuplicate) {
  TcpScript s(newreno());
  send_segments(s, kPlain, 8);
  s.receive({.ack = 2001});
  s.discard();
  for (int i = 0; i < 6; ++i) s.receive({.ack = 1001});
  s.receive({.ack = 2001});
  s.receive({.ack = 2001});
  s.receive({.flags = "FA", .ack = 2001});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
}

TEST(TcpSendingRules, C74_TheThresholdIsHalfOfWhatWasInFlightAndAtLeastTwoSegments) {
  for (const std::uint32_t segments : {10u, 7u, 4u, 3u}) {
    TcpScript s(newreno());
    send_segments(s, kPlain, segments);
    for (int i = 0; i < 3; ++i) s.receive({});
    s.expect({.seq = 1, .length = 1000});
    s.expect_silence();
    const tcp::Congestion& congestion =
        tcp::EngineInspector::of(s.engine()).connections[s.id.slot].congestion;
    EXPECT_EQ(congestion.ssthresh, std::max(segments * 500, 2000u));
  }
}

TEST(TcpSendingRules, C78_WhatIsOnlyReportedIsNotGivenBack) {
  TcpScript s(TcpScript::options_without_rack());
  s.establish(kSack);
  const std::string data = pattern(4000);
  std::array<tcp::SendReference, 4> references;
  for (std::size_t i = 0; i < 4; ++i)
    s.engine().send_external(s.id, std::as_bytes(std::span(data)).data() + 1000 * i, 1000,
                             s.host.memory.tracker(0), &references[i]);
  s.turn();
  s.discard();
  s.receive({.sack = {block(1001, 4001)}});
  for (const tcp::SendReference& reference : references) EXPECT_EQ(reference.count, 1u);
  // The peer has thrown it away after all.
  s.advance(2s);
  s.discard();
  std::uint32_t repeated = 0;
  for (std::uint32_t ack = 1001; ack < 4001; ack += 1000) {
    s.receive({.ack = ack});
    EXPECT_EQ(references[ack / 1000 - 1].count, 0u);
    EXPECT_EQ(references[ack / 1000].count, 1u);
    while (s.waiting() != 0) {
      const SentSegment sent = s.take();
      EXPECT_TRUE(sent.payload == data.substr(sent.seq - s.iss - 1, sent.payload.size()));
      ++repeated;
    }
  }
  EXPECT_EQ(repeated, 3u);
}

TEST(TcpSendingRules, C79_BlocksThatCannotBeChangeNothingOnTheWire) {
  TcpScript s(TcpScript::options_without_rack());
  send_segments(s, kSack, 8);
  const std::vector<std::vector<wire::SackBlock>> forged = {
      {block(2001, 1001)},                  // turned round
      {block(1001, 1001)},                  // empty
      {block(7001, 9001)},                  // never sent
      {block(0x8000'0000, 3001)},           // half the number space
      {block(0xffff'f000, 0xffff'f800)},    // long acknowledged
      {block(8001, 1001), block(9001, 1)},  // and several at once
      {block(0, 0), block(1, 1), block(8001, 8001), block(2001, 2000)},
  };
  for (const auto& blocks : forged) {
    SCOPED_TRACE(blocks.front().left.raw());
    for (int i = 0; i < 4; ++i) s.receive({.sack = blocks});
    s.expect_silence();
    s.discard();
  }
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
  EXPECT_EQ(s.state(), State::established);
  // Nested, overlapping, four of them, and one that cannot be: what is true of it counts.
  s.receive({.sack = {block(2001, 5001), block(3001, 4001), block(4001, 6001), block(9001, 9500)}});
  s.expect({.seq = 1, .length = 1000});
  s.receive({.ack = 1001, .sack = {block(2001, 6001)}});
  s.expect({.seq = 1001, .length = 1000});
  s.expect({.seq = 7001, .length = 1000});  // RFC 6675 NextSeg (4)
  s.expect_silence();
  s.receive({.ack = 8001});
  s.advance(5s);
  s.expect_silence();
}

// --- The other half
// -----------------------------------------------------------------------------------

TEST(TcpSendingRules, C90_DataIsTakenInFinWait1AndFinWait2) {
  TcpScript s;
  s.establish();
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  EXPECT_EQ(s.state(), State::fin_wait_1);
  s.receive({.ack = 1, .payload = "one"});
  EXPECT_EQ(s.read(), "one");
  s.receive({.seq = 7, .ack = 1, .payload = "three"});  // with a hole
  s.receive({.seq = 4, .ack = 2, .payload = "two"});
  EXPECT_EQ(s.state(), State::fin_wait_2);
  EXPECT_EQ(s.read(), "twothree");
  s.discard();
  s.receive({.seq = 12, .ack = 2, .payload = pattern(1448)});
  s.receive({.seq = 1460, .ack = 2, .payload = pattern(1448, 1448)});
  s.expect({.flags = "A", .seq = 2, .ack = 2908});
  EXPECT_TRUE(s.read() == pattern(2896));
  s.receive({.flags = "FA", .seq = 2908, .ack = 2, .payload = "last"});
  s.expect({.flags = "A", .seq = 2, .ack = 2913});
  EXPECT_EQ(s.state(), State::time_wait);
  EXPECT_EQ(s.read(), "last");
}

// --- Memory that has not left
// -----------------------------------------------------------------------------------

TEST(TcpSendingRules, C106_AnAckOfWhatIsStillQueuedHereGivesNoMemoryBack) {
  TcpScript s;
  s.establish(kPlain);
  std::string data = pattern(4000);
  const std::string original = data;
  std::array<tcp::SendReference, 4> references;
  s.host.port.options().transmit_most = 2;  // a head and a piece
  for (std::size_t i = 0; i < 4; ++i)
    s.engine().send_external(s.id, std::as_bytes(std::span(data)).data() + 1000 * i, 1000,
                             s.host.memory.tracker(0), &references[i]);
  s.turn();
  s.host.port.options().transmit_most = 0;
  ASSERT_LT(s.waiting(), 4u);
  ASSERT_GT(s.waiting(), 0u);
  s.receive({.ack = 4001});  // of what this host has not sent
  s.advance(10ms);
  EXPECT_EQ(references[3].count, 1u);
  std::size_t at = 0;
  for (std::size_t i = 0; i < 4; ++i)
    if (references[i].count == 0) std::fill_n(data.begin() + 1000 * static_cast<int>(i), 1000, '!');
  s.host.port.options().transmit_most = SIZE_MAX;
  s.turn();
  while (s.waiting() != 0) {
    const SentSegment sent = s.take();
    EXPECT_TRUE(sent.payload == original.substr(sent.seq - s.iss - 1, sent.payload.size()));
    ++at;
  }
  EXPECT_EQ(at, 4u);
  s.turn();
  for (const tcp::SendReference& reference : references) EXPECT_EQ(reference.count, 0u);
}

}  // namespace
}  // namespace pollux
