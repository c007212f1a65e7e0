// Explicit congestion notification, classic and as DCTCP has it: who is asked, what is marked, what
// is echoed, and what an echo does to the window.
#include <gtest/gtest.h>

#include "dataplane/tcp/congestion.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;
using tcp::CongestionAlgorithm;
using wire::kEcnCe;
using wire::kEcnEct0;
using wire::kEcnNotEct;

constexpr tcp::CongestionOptions kClassic{.algorithm = CongestionAlgorithm::newreno, .ecn = true};
constexpr tcp::CongestionOptions kDctcp{.algorithm = CongestionAlgorithm::dctcp};
constexpr sim::PeerOffer kEcnPeer{.mss = 1000, .sack = false, .timestamps = false, .ecn = true};
constexpr sim::PeerOffer kPlainPeer{.mss = 1000, .sack = false, .timestamps = false};

sim::TcpHostOptions with(const tcp::CongestionOptions& congestion) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.congestion = congestion;
  return options;
}

void establish(TcpScript& s, const sim::PeerOffer& offer = kEcnPeer) {
  const SentSegment syn = s.open();
  EXPECT_EQ(syn.flags, wire::kTcpSyn | wire::kTcpEce | wire::kTcpCwr);
  EXPECT_EQ(syn.ecn, kEcnNotEct);
  s.receive_syn_ack(offer);
  const SentSegment ack = s.expect({.flags = "A", .seq = 1, .ack = 1, .length = 0});
  EXPECT_EQ(ack.ecn, kEcnNotEct);
}

/// Segments that go out when more is queued than the window takes.
std::vector<SentSegment> send_window(TcpScript& s) {
  s.discard();
  s.send(pattern(60'000));
  std::vector<SentSegment> sent;
  while (s.waiting() != 0) sent.push_back(s.take());
  return sent;
}

// --- Agreement
// -------------------------------------------------------------------------------------------

TEST(TcpEcn, C87_OffByDefault) {
  TcpScript s;
  EXPECT_EQ(s.open().flags, wire::kTcpSyn);
  s.receive_syn_ack(kEcnPeer);  // agrees to what nobody has offered
  s.expect({.flags = "A"});
  s.send(pattern(1000));
  EXPECT_EQ(s.expect({.flags = "A", .seq = 1}).ecn, kEcnNotEct);
  s.receive({.payload = "marked", .ecn = kEcnCe});
  s.advance(20ms);
  s.expect({.flags = "A", .ack = 7});  // without ECE
}

TEST(TcpEcn, C87_APeerThatDoesNotAgreeNeverSeesEct) {
  for (const tcp::CongestionOptions& congestion : {kClassic, kDctcp}) {
    // No answer to the offer; the offer sent back as it came (RFC 3168 6.1.1); CWR alone.
    for (const std::string_view flags : {"SA", "SAEC", "SAC"}) {
      TcpScript s(with(congestion));
      s.open();
      s.receive({.flags = flags, .seq = 0, .ack = 1, .options = s.syn_options(kPlainPeer, true)});
      s.expect({.flags = "A"});
      s.send(pattern(3000));
      for (std::uint32_t i = 0; i < 3; ++i)
        EXPECT_EQ(s.expect({.flags = "A", .seq = 1 + i * 1000}).ecn, kEcnNotEct);
      // Its marks and echoes mean nothing.
      s.receive({.flags = "AE", .ack = 1001, .payload = "x", .ecn = kEcnCe});
      s.advance(20ms);
      s.expect({.flags = "A", .ack = 2});
      EXPECT_EQ(s.counters().ecn_reductions.get(), 0u);
      EXPECT_EQ(s.counters().ecn_established.get(), 0u);
    }
  }
}

TEST(TcpEcn, C87_TwoLostSynAreFollowedByOneWithoutEcn) {
  TcpScript s(with(kClassic));
  EXPECT_EQ(s.open().flags, wire::kTcpSyn | wire::kTcpEce | wire::kTcpCwr);
  s.advance(1010ms);
  EXPECT_EQ(s.take().flags, wire::kTcpSyn | wire::kTcpEce | wire::kTcpCwr);
  s.advance(2010ms);
  EXPECT_EQ(s.take().flags, wire::kTcpSyn);
  EXPECT_EQ(s.counters().ecn_fallbacks.get(), 1u);
  // An answer to one of the first two comes late: no ECT from us (RFC 3168 6.1.1), but the peer may
  // mark what it sends, and gets its echo.
  s.receive_syn_ack(kEcnPeer);
  s.expect({.flags = "A"});
  s.send(pattern(500));
  EXPECT_EQ(s.expect({.flags = "A", .seq = 1}).ecn, kEcnNotEct);
  s.receive({.ack = 501, .payload = "marked", .ecn = kEcnCe});
  s.advance(20ms);
  s.expect({.flags = "AE", .ack = 7});
}

/// A listener's half: the peer opens.
class Passive {
 public:
  explicit Passive(const tcp::CongestionOptions& congestion) : s(with(congestion)), listener(3261) {
    s.engine().set_listener(&listener);
    s.local_port = 3261;
  }
  SentSegment syn(std::string_view flags) {
    s.inject_from({s.request().remote.address, TcpScript::kPeerPort}, 3261,
                  {.flags = flags, .seq = s.irs, .options = s.syn_options(kPlainPeer, false)},
                  true);
    for (int i = 0; i < 3; ++i) s.turn();
    const SentSegment answer = s.take();
    s.iss = answer.seq;
    return answer;
  }
  TcpScript s;
  sim::PortListener listener;
};

TEST(TcpEcn, C87_AnAnswerAgreesToAnOfferOnly) {
  constexpr auto kSynAck = wire::kTcpSyn | wire::kTcpAck;
  EXPECT_EQ(Passive(kClassic).syn("SEC").flags, kSynAck | wire::kTcpEce);
  EXPECT_EQ(Passive(kDctcp).syn("SEC").flags, kSynAck | wire::kTcpEce);
  EXPECT_EQ(Passive(kClassic).syn("S").flags, kSynAck);
  EXPECT_EQ(Passive(kClassic).syn("SE").flags, kSynAck);
  EXPECT_EQ(Passive({}).syn("SEC").flags, kSynAck);
  Passive p(kClassic);
  EXPECT_EQ(p.syn("SEC").ecn, kEcnNotEct);
  p.s.receive({.ack = 1});
  p.s.send(pattern(1000));
  EXPECT_EQ(p.s.expect({.flags = "A", .seq = 1}).ecn, kEcnEct0);
  // Whose second SYN offers nothing has given up.
  Passive fallen(kClassic);
  fallen.syn("SEC");
  EXPECT_EQ(fallen.syn("S").flags, kSynAck);
}

// --- What is marked
// --------------------------------------------------------------------------------------

TEST(TcpEcn, C87_EctOnNewDataAndOnNothingElse) {
  for (const tcp::CongestionOptions& congestion : {kClassic, kDctcp}) {
    TcpScript s(with(congestion));
    establish(s);
    EXPECT_EQ(s.counters().ecn_established.get(), 1u);
    s.send(pattern(2000));
    EXPECT_EQ(s.expect({.seq = 1}).ecn, kEcnEct0);
    EXPECT_EQ(s.expect({.seq = 1001}).ecn, kEcnEct0);
    s.receive({.ack = 1, .payload = pattern(2000)});
    EXPECT_EQ(s.expect({.flags = "A", .seq = 2001, .length = 0}).ecn, kEcnNotEct);
    s.advance(210ms);
    EXPECT_EQ(s.expect({.seq = 1, .length = 1000}).ecn, kEcnNotEct);  // a retransmission
    s.receive({.seq = 2001, .ack = 2001, .window = 0});
    s.discard();
    s.send(pattern(100, 2000));
    s.advance(2s);
    EXPECT_EQ(s.expect({.seq = 2001, .length = 1}).ecn, kEcnNotEct);  // a window probe
    s.discard();
    s.receive({.seq = 2001, .ack = 2001});
    s.advance(5s);
    s.discard();
    s.receive({.seq = 2001, .ack = 2101});
    s.engine().end_sending(s.id, s.clock.now());
    s.turn();
    EXPECT_EQ(s.expect({.flags = "FA", .seq = 2101, .length = 0}).ecn, kEcnNotEct);
  }
}

// --- The receiver
// ----------------------------------------------------------------------------------------

TEST(TcpEcn, C87_AMarkIsEchoedUntilTheSenderHasReduced) {
  TcpScript s(with(kClassic));
  establish(s);
  s.receive({.seq = 1, .payload = pattern(1000), .ecn = kEcnEct0});
  s.receive({.seq = 1001, .payload = pattern(1000), .ecn = kEcnEct0});
  s.expect({.flags = "A", .ack = 2001});
  s.receive({.seq = 2001, .payload = pattern(1000), .ecn = kEcnCe});
  s.receive({.seq = 3001, .payload = pattern(1000), .ecn = kEcnEct0});
  s.expect({.flags = "AE", .ack = 4001});
  // Every ACK has it, data and retransmissions too.
  s.send(pattern(10));
  s.expect({.flags = "AE", .seq = 1});
  s.receive({.seq = 4001, .ack = 11, .payload = pattern(2000), .ecn = kEcnEct0});
  s.expect({.flags = "AE", .ack = 6001});
  s.receive({.flags = "AC", .seq = 6001, .ack = 11, .payload = pattern(2000), .ecn = kEcnEct0});
  s.expect({.flags = "A", .ack = 8001});
  // CWR on a segment that is itself marked: that mark is new.
  s.receive({.flags = "AC", .seq = 8001, .ack = 11, .payload = pattern(2000), .ecn = kEcnCe});
  s.expect({.flags = "AE", .ack = 10'001});
  EXPECT_EQ(s.counters().ecn_marks_received.get(), 2u);
}

TEST(TcpEcn, C87_MarksOutsideTheWindowAndWithoutDataAreIgnored) {
  TcpScript s(with(kClassic));
  establish(s);
  s.receive({.seq = 1, .payload = pattern(2000)});
  s.expect({.flags = "A", .ack = 2001});
  s.receive({.seq = 1, .payload = pattern(1000), .ecn = kEcnCe});  // old data
  s.expect({.flags = "A", .ack = 2001});
  s.receive({.seq = 2001, .ecn = kEcnCe});  // a pure ACK
  s.receive({.seq = 2001, .payload = pattern(2000)});
  s.expect({.flags = "A", .ack = 4001});
}

TEST(TcpEcn, C87_OrdinarySegmentsStayOnTheFastPath) {
  TcpScript s(with(kClassic));
  establish(s);
  const std::uint64_t before = s.counters().segments_predicted.get();
  for (std::uint32_t i = 0; i < 10; ++i)
    s.receive({.seq = 1 + i * 1000, .payload = pattern(1000), .ecn = kEcnEct0});
  s.send(pattern(2000));
  s.receive({.seq = 10'001, .ack = 2001});
  EXPECT_EQ(s.counters().segments_predicted.get() - before, 11u);
  // With DCTCP a run of marks does, too: only its edges leave it.
  TcpScript d(with(kDctcp));
  establish(d);
  for (std::uint32_t i = 0; i < 10; ++i)
    d.receive({.seq = 1 + i * 1000, .payload = pattern(1000), .ecn = i < 5 ? kEcnEct0 : kEcnCe});
  EXPECT_EQ(d.counters().segments_predicted.get(), 9u);
}

TEST(TcpEcn, C87_DctcpReportsEveryByteWithItsMark) {
  TcpScript s(with(kDctcp));
  establish(s);
  // RFC 8257 3.2: where the mark changes, what came before is acknowledged by itself.
  s.receive({.seq = 1, .payload = pattern(500), .ecn = kEcnEct0});
  s.expect_silence();  // delayed
  s.receive({.seq = 501, .payload = pattern(500), .ecn = kEcnCe});
  s.expect({.flags = "A", .ack = 501});
  s.expect({.flags = "AE", .ack = 1001});
  s.receive({.seq = 1001, .payload = pattern(500), .ecn = kEcnCe});
  s.expect_silence();
  s.receive({.seq = 1501, .payload = pattern(500), .ecn = kEcnEct0});
  s.expect({.flags = "AE", .ack = 1501});
  s.expect({.flags = "A", .ack = 2001});
  // The same within one burst, and CWR makes no difference.
  s.inject({.seq = 2001, .payload = pattern(500), .ecn = kEcnCe});
  s.inject({.flags = "AC", .seq = 2501, .payload = pattern(500), .ecn = kEcnCe});
  s.inject({.seq = 3001, .payload = pattern(500), .ecn = kEcnEct0});
  s.turn();
  s.expect({.flags = "AE", .ack = 3001});
  s.expect({.flags = "A", .ack = 3501});
  s.expect_silence();
  EXPECT_EQ(s.counters().ecn_acks_merged.get(), 0u);
}

// --- The sender
// ------------------------------------------------------------------------------------------

TEST(TcpEcn, C87_OneCutInARoundTripAndCwrOnTheNextNewData) {
  TcpScript s(with(kClassic));
  establish(s);
  EXPECT_EQ(send_window(s).size(), 10u);
  // Ten segments are out, with 50,000 bytes waiting behind them.
  s.receive({.flags = "AE", .ack = 1001});
  EXPECT_EQ(s.counters().ecn_reductions.get(), 1u);
  for (std::uint32_t i = 2; i <= 5; ++i) {
    s.receive({.flags = "AE", .ack = 1 + i * 1000});  // the echo of the same window
    s.expect_silence();                               // five segments may be out, no more
  }
  s.receive({.flags = "AE", .ack = 6001});
  const SentSegment first = s.expect({.flags = "AC", .seq = 10'001, .length = 1000});
  EXPECT_EQ(first.ecn, kEcnEct0);
  s.receive({.flags = "AE", .ack = 7001});
  s.expect({.flags = "A", .seq = 11'001});  // CWR once
  for (std::uint32_t i = 8; i <= 10; ++i) s.receive({.flags = "AE", .ack = 1 + i * 1000});
  EXPECT_EQ(s.counters().ecn_reductions.get(), 1u);
  EXPECT_EQ(s.counters().ecn_echoes_received.get(), 10u);
  // The next window of data may be cut again.
  s.discard();
  s.receive({.flags = "AE", .ack = 11'001});
  EXPECT_EQ(s.counters().ecn_reductions.get(), 2u);
  EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
}

TEST(TcpEcn, C87_ALossAndItsEchoAreOneCutAndCwrTellsOfIt) {
  TcpScript s(with(kClassic));
  establish(s);
  send_window(s);
  for (int i = 0; i < 3; ++i) s.receive({.flags = "AE", .ack = 1});
  // The first duplicate with ECE cut the window; the loss that the third one shows is the same
  // congestion, seen by another sign: recovery starts from the window as it is.
  EXPECT_EQ(s.counters().ecn_reductions.get(), 1u);
  s.discard();
  s.receive({.flags = "AE", .ack = 10'001});
  EXPECT_EQ(s.counters().ecn_reductions.get(), 1u);
  ASSERT_NE(s.waiting(), 0u);
  s.expect({.flags = "AC", .seq = 10'001});
}

TEST(TcpEcn, C87_ATimeoutIsFollowedByCwr) {
  TcpScript s(with(kClassic));
  establish(s);
  s.send(pattern(1000));
  s.expect({.seq = 1});
  s.advance(210ms);
  EXPECT_EQ(s.expect({.flags = "A", .seq = 1}).ecn, kEcnNotEct);  // not on the copy
  s.receive({.ack = 1001});
  s.send(pattern(1000, 1000));
  EXPECT_EQ(s.expect({.flags = "AC", .seq = 1001}).ecn, kEcnEct0);
}

TEST(TcpEcn, C87_NoGrowthForAnAcknowledgmentWithEcho) {
  TcpScript s(with(kClassic));
  establish(s);
  send_window(s);
  s.receive({.flags = "AE", .ack = 10'001});
  std::size_t out = s.waiting();
  EXPECT_EQ(out, 5u);
  s.discard();
  for (std::uint32_t i = 1; i <= 5; ++i) s.receive({.flags = "A", .ack = 10'001 + i * 1000});
  EXPECT_EQ(s.waiting(), 6u);  // congestion avoidance: one segment for the window
}

// --- DCTCP's sender
// ---------------------------------------------------------------------------------------

TEST(TcpEcn, C87_DctcpAlphaFollowsTheMarks) {
  tcp::Dctcp d;
  EXPECT_EQ(d.alpha, 1u << 20);  // RFC 8257 3.3: one, until something is known
  double reference = 1;
  const auto window = [&](std::uint32_t acked, std::uint32_t marked) {
    if (marked != 0) d.on_ack(marked, true);
    d.on_ack(acked - marked, false);
    d.end_window();
    reference = reference * 15 / 16 + marked / static_cast<double>(acked) / 16;
    EXPECT_NEAR(d.alpha / double{1 << 20}, reference, 1e-4);
  };
  for (int i = 0; i < 40; ++i) window(100'000, 0);
  for (int i = 0; i < 40; ++i) window(100'000, 30'000);
  for (int i = 0; i < 100; ++i) window(100'000, 100'000);
  EXPECT_LE(d.alpha, 1u << 20);
  for (int i = 0; i < 400; ++i) window(100'000, 0);
  EXPECT_EQ(d.alpha, 0u);  // RFC 8257 4.2: it must be able to reach zero
  EXPECT_EQ(d.reduced(100'000), 100'000u);
  d.alpha = 1u << 19;
  EXPECT_EQ(d.reduced(100'000), 75'000u);
  d.alpha = 1u << 20;
  EXPECT_EQ(d.reduced(1u << 30), 1u << 29);
}

TEST(TcpEcn, C87_DctcpCutsByTheShareOfMarks) {
  TcpScript s(with(kDctcp));
  establish(s);
  // Windows without a mark, one segment each, bring alpha down from one: sixteen leave
  // (15/16)^16 = 0.36 or so.
  std::uint32_t next = 1;
  for (int i = 0; i < 17; ++i) {
    s.send(pattern(1000, next - 1));
    s.discard();
    next += 1000;
    s.receive({.ack = next});
  }
  const std::vector<SentSegment> out = send_window(s);
  const auto window = static_cast<std::uint32_t>(out.size()) * 1000;
  ASSERT_GE(window, 10'000u);
  // One mark in the window.
  s.receive({.flags = "AE", .ack = next + 1000});
  EXPECT_EQ(s.counters().ecn_reductions.get(), 1u);
  for (std::uint32_t at = 2000; at <= window; at += 1000) s.receive({.ack = next + at});
  std::uint32_t now_out = static_cast<std::uint32_t>(s.waiting()) * 1000;
  // cwnd (1 - alpha / 2) with alpha between 0.33 and 0.42: clearly more than half of it.
  EXPECT_GE(now_out, window * 3 / 4);
  EXPECT_LT(now_out, window);
  s.expect({.flags = "AC"});
}

TEST(TcpEcn, C87_DctcpAnswersALossLikeReno) {
  tcp::Congestion c;
  c.algorithm = CongestionAlgorithm::dctcp;
  c.cwnd = 100'000;
  c.dctcp.alpha = 1u << 17;  // an eighth
  c.on_congestion(100'000, 1000, tcp::CongestionSignal::ecn_echo);
  EXPECT_EQ(c.ssthresh, 93'750u);
  c.on_congestion(100'000, 1000);
  EXPECT_EQ(c.ssthresh, 50'000u);  // RFC 8257 3.5
}

TEST(TcpEcn, C87_ALostRetransmissionIsANewCongestion) {
  constexpr sim::PeerOffer kSackPeer{.mss = 1000, .sack = true, .timestamps = false, .ecn = true};
  TcpScript s(with(kClassic));
  s.open();
  s.advance(20ms);
  s.receive_syn_ack(kSackPeer);
  s.discard();
  s.send(pattern(20'000));
  s.advance(20ms);
  s.discard();
  s.receive({.sack = {{TcpSeq{1001}, TcpSeq{7001}}}});
  s.expect({.seq = 1, .length = 1000});
  s.expect({.flags = "AC", .seq = 10'001, .length = 1000});
  s.discard();
  const tcp::Congestion& congestion =
      tcp::EngineInspector::of(s.engine()).connections[s.id.slot].congestion;
  const std::uint32_t after_first = congestion.ssthresh;
  s.advance(20ms);
  s.receive({.sack = {{TcpSeq{10'001}, TcpSeq{11'001}}, {TcpSeq{1001}, TcpSeq{10'001}}}});
  s.expect({.seq = 1, .length = 1000});
  EXPECT_EQ(s.counters().retransmissions_lost.get(), 1u);
  // RFC 3168 6.1.2.
  EXPECT_LT(congestion.ssthresh, after_first);
}

}  // namespace
}  // namespace pollux
