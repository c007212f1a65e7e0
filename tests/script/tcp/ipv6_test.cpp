// The conversations of TCP over IPv6: what differs from IPv4 (headers, MSS, checksum, source) and
// that nothing else does.
#include <gtest/gtest.h>

#include <cstring>

#include "dataplane/net/counters.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux::sim {
namespace {

struct TcpIpv6 : ::testing::Test {
  TcpScript s{TcpScript::ipv6_options()};
};

TEST_F(TcpIpv6, C01_OffersAnMssThatLeavesRoomForTheLongerHeader) {
  const SentSegment syn = s.open();
  EXPECT_EQ(syn.options.mss, 1440);
}

TEST_F(TcpIpv6, C02_ABareSynAckLeaves1220AndNoOptions) {
  s.open();
  s.receive({.flags = "SA", .seq = 0, .ack = 1, .options = std::vector<std::uint8_t>{}});
  s.expect({.flags = "A", .seq = 1, .ack = 1, .length = 0, .window = 0xffff});
  const std::string data = pattern(3000);
  s.send(data);
  s.expect({.flags = "A", .seq = 1, .length = 1220});
  s.expect({.flags = "A", .seq = 1221, .length = 1220});
  const SentSegment last = s.expect({.flags = "PA", .seq = 2441, .length = 560});
  EXPECT_EQ(last.option_bytes, 0u);  // neither timestamps nor SACK ever
  s.receive({.seq = 100, .ack = 3001, .payload = "early"});
  EXPECT_EQ(s.take().option_bytes, 0u);
}

TEST_F(TcpIpv6, DataGoesBothWaysWithRightChecksums) {
  s.establish();
  const std::string data = pattern(4000);
  s.send(data);
  // 1500 less 40, 20 and 12 of timestamps.
  s.expect({.seq = 1, .length = 1428, .payload = std::string_view(data).substr(0, 1428)});
  s.expect({.seq = 1429, .length = 1428});
  s.expect({.seq = 2857, .length = 1144});
  s.receive({.seq = 1, .ack = 4001, .payload = pattern(1001)});
  EXPECT_EQ(s.read(), pattern(1001));
}

TEST_F(TcpIpv6, AWrongChecksumIsDroppedUnseen) {
  s.establish();
  s.receive({.seq = 1, .ack = 1, .payload = "x", .bad_checksum = true});
  s.expect_silence();
  EXPECT_EQ(s.host.interface.counters().drop_tcp_checksum.get(), 1u);
}

TEST_F(TcpIpv6, TheLostSegmentComesAgain) {
  s.establish();
  s.send(pattern(1000));
  s.expect({.seq = 1, .length = 1000});
  s.advance(1500ms);
  s.expect({.seq = 1, .length = 1000, .payload = pattern(1000)});
}

TEST_F(TcpIpv6, ClosesInOrder) {
  s.establish();
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1, .ack = 1});
  s.receive({.flags = "A", .seq = 1, .ack = 2});
  s.receive({.flags = "FA", .seq = 1, .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.state(), tcp::State::time_wait);
}

TEST_F(TcpIpv6, AnUnknownTupleIsAnsweredWithReset) {
  s.establish();
  s.inject_from({s.peers, 5555}, 4444, {.flags = "S", .seq = 77}, true);
  s.turn();
  const SentSegment reset = s.take();
  EXPECT_EQ(reset.flags, wire::kTcpRst | wire::kTcpAck);
  EXPECT_EQ(reset.ack, 78u);
}

TEST_F(TcpIpv6, ASilentNeighbourFailsTheConnectWithinSeconds) {
  s.peer_answers_arp = false;
  ASSERT_EQ(s.engine().open(s.request(), s.clock.now(), s.id), tcp::OpenError::none);
  s.turn();
  s.advance(2900ms);
  EXPECT_EQ(s.state(), tcp::State::syn_sent);
  s.advance(200ms);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::host_unreachable);
}

TEST_F(TcpIpv6, WhatIsForAnotherAddressOfOursIsNotForThisConnection) {
  s.establish();
  const net::IpAddress link_local = s.host.interface.source_for(
      net::IpAddress{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}});
  ASSERT_TRUE(link_local.is_link_local());
  const net::IpAddress ours = s.ours;
  s.ours = link_local;
  s.receive({.flags = "PA", .seq = 1, .ack = 1, .payload = "forged"});
  EXPECT_EQ(s.take().flags, wire::kTcpRst);
  s.ours = ours;
  EXPECT_EQ(s.state(), tcp::State::established);
  EXPECT_EQ(s.read(), "");
}

/// A router's Packet Too Big about the segment at `seq` of the script's connection, and two turns.
void receive_too_big(TcpScript& s, std::uint32_t seq, std::uint32_t mtu) {
  constexpr std::size_t kIp = 14, kIcmp = 54, kQuote = 62, kTcp = 102;
  Frame frame(kTcp + 8);
  const std::uint8_t ethernet[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60};
  std::memcpy(frame.data(), ethernet, sizeof ethernet);
  store(&frame[kIp + 4], Be16{static_cast<std::uint16_t>(frame.size() - kIcmp)});
  frame[kIp + 6] = std::byte{58};
  frame[kIp + 7] = std::byte{64};
  std::memcpy(&frame[kIp + 8], s.peers.bytes.data(), 16);
  frame[kIp + 23] = std::byte{0xfe};  // a router of the same network
  std::memcpy(&frame[kIp + 24], s.ours.bytes.data(), 16);
  frame[kIcmp] = std::byte{2};
  store(&frame[kIcmp + 4], Be32{mtu});
  frame[kQuote] = std::byte{0x60};
  store(&frame[kQuote + 4], Be16{1460});
  frame[kQuote + 6] = std::byte{6};
  std::memcpy(&frame[kQuote + 8], s.ours.bytes.data(), 16);
  std::memcpy(&frame[kQuote + 24], s.peers.bytes.data(), 16);
  store(&frame[kTcp], Be16{s.local_port});
  store(&frame[kTcp + 2], Be16{TcpScript::kPeerPort});
  store(&frame[kTcp + 4], Be32{s.iss + seq});
  const auto length = static_cast<std::uint32_t>(frame.size() - kIcmp);
  const std::span<const std::byte> bytes = frame;
  const std::uint16_t sum =
      naive_sum(bytes.subspan(kIcmp), naive_sum(bytes.subspan(kIp + 8, 32), 58 + length));
  store(&frame[kIcmp + 2], Be16{static_cast<std::uint16_t>(~sum)});
  s.wire.send(1, std::move(frame));
  s.turn();
  s.turn();
}

TEST_F(TcpIpv6, C95_APathBelow1280IsNotBelievedAndAnyOtherIs) {
  s.establish({.timestamps = false});
  s.send(pattern(20'000));
  s.expect({.seq = 1, .length = 1440});
  s.discard();
  for (const std::uint32_t mtu : {0u, 68u, 576u, 1279u}) receive_too_big(s, 1, mtu);
  EXPECT_EQ(s.host.interface.counters().drop_icmp6_mtu.get(), 4u);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1440u);
  s.expect_silence();
  receive_too_big(s, 1, 1280);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1220u);
  s.expect({.seq = 1, .length = 1220});
}

TEST(TcpFlowMarks, EveryPacketCarriesTheDscpAndTheFlowItsLabel) {
  for (const bool v6 : {false, true}) {
    TcpHostOptions options = v6 ? TcpScript::ipv6_options() : TcpScript::default_options();
    options.config.dscp = 0x1a;  // AF31
    TcpScript s{options};
    std::vector<std::uint32_t> words;
    s.wire.watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
      if (from == 0 && frame[12] != std::byte{0x08} && v6)
        words.push_back(load<Be32>(frame.data() + 14).get());
      if (from == 0 && frame[12] == std::byte{0x08} && frame[13] == std::byte{0} && !v6)
        words.push_back(std::to_integer<std::uint32_t>(frame[15]) << 20);
    });
    s.establish();
    s.send(pattern(100));
    ASSERT_GE(words.size(), 3u);
    for (const std::uint32_t word : words) EXPECT_EQ(word >> 22 & 0x3f, 0x1au);
    if (!v6) continue;
    EXPECT_NE(words.back() & 0xf'ffff, 0u);
    EXPECT_EQ(words.back() & 0xf'ffff, words[words.size() - 2] & 0xf'ffff);
  }
}

}  // namespace
}  // namespace pollux::sim
