// Large segments that the port cuts (TSO): what the wire sees of them is what single segments would
// have been, over IPv4 and IPv6, and no frame is more than the port takes.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "dataplane/wire/ipv4.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;

constexpr sim::PeerOffer kPeer{.mss = 1000, .timestamps = false};

sim::TcpHostOptions with_tso(sim::TcpHostOptions options, std::uint32_t bytes = 65'415,
                             std::uint8_t pieces = 16) {
  options.port.tx_checksum = true;
  options.port.tso_bytes_max = bytes;
  options.port.tso_segments_max = pieces;
  return options;
}
sim::TcpHostOptions with_tso() { return with_tso(TcpScript::default_options()); }

std::vector<SentSegment> take_all(TcpScript& s) {
  std::vector<SentSegment> sent;
  while (s.waiting() != 0) sent.push_back(s.take());
  return sent;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(TcpTso, C61_PshAndFinAreOnTheLastPartAlone) {
  for (const bool is_v6 : {false, true}) {
    TcpScript s(with_tso(is_v6 ? TcpScript::ipv6_options() : TcpScript::default_options()));
    s.establish(kPeer);
    const std::string text = pattern(5300);
    s.send(text);
    EXPECT_EQ(s.host.port.hits().tx_large, 1u);
    EXPECT_EQ(s.host.port.hits().tx_cut, 6u);
    for (std::uint32_t i = 0; i < 6; ++i) {
      const std::uint32_t length = i < 5 ? 1000 : 300;
      const SentSegment part = s.expect({.seq = 1 + i * 1000, .ack = 1, .length = length});
      EXPECT_EQ(part.flags, i < 5 ? wire::kTcpAck : wire::kTcpAck | wire::kTcpPsh) << i;
      EXPECT_EQ(part.payload, text.substr(i * 1000, length));
    }
    s.expect_silence();
    s.receive({.ack = 5301, .window = 0});
    s.send(pattern(2500, 5300));
    s.engine().end_sending(s.id, s.clock.now());
    s.turn();
    s.discard();
    s.receive({.ack = 5301});
    const std::vector<SentSegment> last = take_all(s);
    ASSERT_EQ(last.size(), 3u);
    EXPECT_EQ(last[0].flags, wire::kTcpAck);
    EXPECT_EQ(last[1].flags, wire::kTcpAck);
    EXPECT_EQ(last[2].flags, wire::kTcpAck | wire::kTcpPsh | wire::kTcpFin);
    EXPECT_EQ(s.host.port.hits().tx_large, 2u);
    EXPECT_EQ(s.counters().large_segments_sent.get(), 2u);
  }
}

TEST(TcpTso, AWindowThatEndsInsideASegmentIsNotFilledByOne) {
  TcpScript s(with_tso());
  s.establish({.mss = 1000, .window_scale = {}, .timestamps = false, .window = 4500});
  s.send(pattern(9000));
  const std::vector<SentSegment> sent = take_all(s);
  ASSERT_EQ(sent.size(), 4u);
  for (const SentSegment& part : sent) {
    EXPECT_EQ(part.payload.size(), 1000u);
    EXPECT_EQ(part.flags, wire::kTcpAck);  // more is queued: nothing is pushed
  }
  EXPECT_EQ(s.host.port.hits().tx_large, 1u);
}

TEST(TcpTso, C109_NoFrameIsMoreThanThePortTakes) {
  std::uint32_t cut = 3;
  for (const std::uint32_t bytes_most : {1999u, 4000u, 65'415u}) {
    for (const std::uint8_t pieces_most : {std::uint8_t{3}, std::uint8_t{16}}) {
      sim::TcpHostOptions options = with_tso(TcpScript::default_options(), bytes_most, pieces_most);
      options.port.tx_segments_max = 3;
      options.limits.send_descriptors = 512;
      TcpScript s(options);
      s.establish(kPeer);
      const std::string text = pattern(60'000);
      tcp::SendReference reference;
      // Pieces of one byte up to more than a segment, cut anywhere.
      for (std::size_t at = 0; at < text.size();) {
        cut = cut * 1'664'525 + 1'013'904'223;
        const std::size_t length =
            std::min<std::size_t>(text.size() - at, 1 + (cut >> 8) % (cut % 3 == 0 ? 12 : 1500));
        s.send_external(bytes_of(text).subspan(at, length), &reference);
        at += length;
      }
      std::string arrived;
      while (arrived.size() < text.size()) {
        s.turn();
        const std::vector<SentSegment> sent = take_all(s);
        ASSERT_FALSE(sent.empty());
        for (const SentSegment& part : sent) {
          ASSERT_GT(part.payload.size(), 0u);
          ASSERT_LE(part.payload.size(), 1000u);
          arrived += part.payload;
        }
        s.receive({.ack = 1 + static_cast<std::uint32_t>(arrived.size())});
      }
      EXPECT_EQ(arrived, text);
      EXPECT_EQ(reference.count, 0u);
      const sim::SimPortHits& hits = s.host.port.hits();
      EXPECT_LE(hits.pieces_most, 3u);
      EXPECT_LE(hits.large_pieces_most, pieces_most);
      EXPECT_LE(hits.large_bytes_most, bytes_most);
      EXPECT_GE(hits.tx_large, 3u);
      EXPECT_EQ(s.counters().segments_retransmitted.get(), 0u);
    }
  }
}

TEST(TcpTso, C109_ShortPiecesThatMakeNoLargeSegmentAreFewAgain) {
  sim::TcpHostOptions options = with_tso(TcpScript::default_options(), 65'415, 5);
  options.port.tx_segments_max = 3;
  TcpScript s(options);
  s.establish({.mss = 1400, .timestamps = false, .window = 0});
  const std::string text = pattern(6000);
  tcp::SendReference reference;
  for (std::size_t at = 0; at < text.size(); at += 300)
    s.send_external(bytes_of(text).subspan(at, 300), &reference);
  s.expect_silence();
  // Header and four pieces: 1200 bytes are less than a segment, so it is header and two.
  s.receive({.ack = 1});
  std::string arrived;
  for (const SentSegment& sent : take_all(s)) arrived += sent.payload;
  EXPECT_EQ(arrived, text);
  EXPECT_EQ(s.host.port.hits().tx_large, 0u);
  EXPECT_EQ(s.host.port.hits().pieces_most, 3u);
  s.receive({.ack = 6001});
  EXPECT_EQ(reference.count, 0u);
}

TEST(TcpTso, C109_PartsThatDriversTakeForAnAttackAreSentOneByOne) {
  // The floor of the MSS (C-09) and what lies just below 256 bytes: as many frames as segments.
  for (const std::uint16_t mss : std::to_array<std::uint16_t>({0, 1, 255, 256})) {
    TcpScript s(with_tso());
    s.establish({.mss = mss, .timestamps = false});
    s.send(pattern(600));
    EXPECT_EQ(s.host.port.hits().tx_large, mss == 256 ? 1u : 0u) << mss;
    std::size_t bytes = 0;
    for (const SentSegment& part : take_all(s)) bytes += part.payload.size();
    EXPECT_GT(bytes, 0u);
  }
}

TEST(TcpTso, OnlyOneSegmentSaysThatTheWindowWasReduced) {
  sim::TcpHostOptions options = with_tso();
  options.limits.congestion = {.algorithm = tcp::CongestionAlgorithm::newreno, .ecn = true};
  TcpScript s(options);
  s.establish({.mss = 1000, .timestamps = false, .ecn = true});
  const std::string text = pattern(60'000);
  tcp::SendReference reference;
  s.send_external(bytes_of(text), &reference);
  s.turn();
  ASSERT_EQ(take_all(s).size(), 10u);
  const std::uint64_t cut_before = s.host.port.hits().tx_cut;
  EXPECT_EQ(cut_before, 10u);
  s.receive({.flags = "AE", .ack = 10'001});
  const std::vector<SentSegment> sent = take_all(s);
  ASSERT_GE(sent.size(), 4u);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ((sent[i].flags & wire::kTcpCwr) != 0, i == 0) << i;
    EXPECT_EQ(sent[i].ecn, wire::kEcnEct0);
  }
  // The port was not asked to get this right: the segment with CWR went alone, the others did not.
  EXPECT_EQ(s.host.port.hits().tx_cut, cut_before + sent.size() - 1);
  s.receive({.flags = "A", .ack = 60'001});
}

TEST(TcpTso, PartsAreKnownOneByOneWhenSomeAreLost) {
  TcpScript s(with_tso(TcpScript::options_without_rack()));
  s.establish(kPeer);
  const std::string text = pattern(10'000);
  s.send(text);
  ASSERT_EQ(take_all(s).size(), 10u);
  EXPECT_EQ(s.host.port.hits().tx_large, 1u);
  // Parts 3 and 5 do not arrive.
  s.receive({.ack = 2001});
  s.receive({.ack = 2001, .sack = {{TcpSeq{3001}, TcpSeq{4001}}}});
  s.receive({.ack = 2001, .sack = {{TcpSeq{5001}, TcpSeq{10'001}}, {TcpSeq{3001}, TcpSeq{4001}}}});
  const std::vector<SentSegment> again = take_all(s);
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].payload, text.substr(2000, 1000));
  EXPECT_EQ(again[1].payload, text.substr(4000, 1000));
  EXPECT_EQ(s.host.port.hits().tx_large, 1u);
  s.receive({.ack = 10'001});
  s.expect_silence();
}

}  // namespace
}  // namespace pollux
