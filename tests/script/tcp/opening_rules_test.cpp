// The rest of what an opening promises: each clause that the scripts of handshake_test.cpp leave
// open, from the bytes of the SYN to how long one is repeated.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/net/counters.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::Frame;
using sim::pattern;
using sim::PeerOffer;
using sim::SentSegment;
using sim::TcpScript;
using tcp::State;

std::uint32_t take_bytes(TcpScript& s) {
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  return bytes;
}

sim::TcpHostOptions with_window(std::uint32_t bytes) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.receive_window_bytes = bytes;
  return options;
}

// --- What the SYN says
// -----------------------------------------------------------------------------------

TEST(TcpOpeningRules, C01_TheMssIsTheMtuLessTheHeadersAlone) {
  for (const bool v6 : {false, true})
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
      sim::TcpHostOptions options = v6 ? TcpScript::ipv6_options() : TcpScript::default_options();
      options.port.mtu = mtu;
      TcpScript s(options);
      // RFC 6691 2: no options are taken off.
      EXPECT_EQ(s.open().options.mss, mtu - (v6 ? 60 : 40));
    }
}

TEST(TcpOpeningRules, C01_TheOptionsEndOnAWordAndWhatFollowsTheLastIsZero) {
  TcpScript s;
  std::vector<std::byte> options;
  s.wire.watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
    const Frame copy(frame.begin(), frame.end());
    const sim::TcpFrame at = sim::dissect(copy);
    if (from == 0 && at.valid)
      options.assign(frame.begin() + static_cast<std::ptrdiff_t>(at.tcp + 20),
                     frame.begin() + static_cast<std::ptrdiff_t>(at.payload));
  });
  s.open();
  ASSERT_FALSE(options.empty());
  EXPECT_LE(options.size(), 40u);
  EXPECT_EQ(options.size() % 4, 0u);
  std::size_t i = 0;
  while (i < options.size() && options[i] != std::byte{0})
    i += options[i] == std::byte{1} ? 1 : std::to_integer<std::size_t>(options[i + 1]);
  ASSERT_LE(i, options.size());
  for (; i < options.size(); ++i) EXPECT_EQ(options[i], std::byte{0});
}

TEST(TcpOpeningRules, C02_WithoutTheOptionNoWindowIsScaled) {
  TcpScript s;
  s.establish({.mss = {}, .window_scale = {}, .sack = false, .timestamps = false, .window = 1000});
  s.send(pattern(5000));
  const std::uint32_t sent = take_bytes(s);
  EXPECT_LE(sent, 1000u);
  EXPECT_GE(sent, 536u);
  // Ours is 1 MiB, which does not fit the field.
  s.receive({.window = 1000, .payload = pattern(536)});
  s.receive({.seq = 537, .window = 1000, .payload = pattern(536, 536)});
  s.expect({.flags = "A", .ack = 1073, .window = 0xffff});
}

TEST(TcpOpeningRules, C03_WindowsOfOurSynAndSynAckAreNotScaled) {
  for (const std::uint32_t window : {4096u, 65'535u, 200'000u}) {
    const std::uint32_t shift = window > 65'535 ? 2 : 0;
    TcpScript s(with_window(window));
    EXPECT_EQ(s.open().window, std::min(window, 65'535u));
    s.receive_syn_ack();
    s.expect({.flags = "A", .window = window >> shift});

    TcpScript passive(with_window(window));
    sim::PortListener listener(860);
    passive.engine().set_listener(&listener);
    passive.local_port = 860;
    passive.inject({.flags = "S", .seq = 0, .options = passive.syn_options({}, false)});
    for (int i = 0; i < 3; ++i) passive.turn();
    const SentSegment answer = passive.take();
    EXPECT_EQ(answer.flags, wire::kTcpSyn | wire::kTcpAck);
    EXPECT_EQ(answer.window, std::min(window, 65'535u));
  }
}

TEST(TcpOpeningRules, C04_EveryShiftAbove14IsUsedAs14AndCounted) {
  for (int shift = 13; shift < 256; ++shift) {
    sim::TcpHostOptions options = TcpScript::default_options();
    options.port.mtu = 9000;
    TcpScript s(options);
    s.establish(
        {.mss = 8960, .window_scale = static_cast<std::uint8_t>(shift), .timestamps = false});
    EXPECT_EQ(s.counters().window_scale_clamped.get(), shift > 14 ? 1u : 0u) << shift;
    // The congestion window is wider than 1 << 14, and a segment than 1 << 13.
    s.send(pattern(17'920));
    s.receive({.ack = 1 + take_bytes(s), .window = 1});
    s.send(pattern(40'000));
    EXPECT_EQ(take_bytes(s), shift == 13 ? 0u : 8960u) << shift;
  }
}

TEST(TcpOpeningRules, C05_SackPermittedLaterChangesNothing) {
  TcpScript s;
  s.establish({.sack = false, .timestamps = false});
  s.receive({.options = std::vector<std::uint8_t>{4, 2, 0, 0}});
  s.receive({.seq = 101, .payload = "x"});
  EXPECT_EQ(s.expect({.flags = "A", .ack = 1}).option_bytes, 0u);
}

TEST(TcpOpeningRules, C08_TimestampsAtEveryOffsetAreEchoedAlike) {
  for (int pad = 0; pad < 10; ++pad) {
    TcpScript s;
    s.establish();
    const std::uint32_t stamp = s.peer_timestamp() + 77;
    std::vector<std::uint8_t> options(static_cast<std::size_t>(pad), 1);
    options.insert(options.end(), {8, 10});
    for (int shift = 24; shift >= 0; shift -= 8)
      options.push_back(static_cast<std::uint8_t>(stamp >> shift));
    for (int shift = 24; shift >= 0; shift -= 8)
      options.push_back(static_cast<std::uint8_t>(s.tsval_seen >> shift));
    s.receive({.payload = "data", .options = options});
    EXPECT_EQ(s.read(), "data");
    s.advance(20ms);
    EXPECT_EQ(s.expect({.flags = "A", .ack = 5}).options.tsecr, stamp) << pad;
  }
}

TEST(TcpOpeningRules, C09_DataGetsThroughWhateverTheMss) {
  for (const std::uint16_t mss : std::to_array<std::uint16_t>({0, 1, 47, 65535})) {
    TcpScript s;
    s.establish({.mss = mss});
    const std::string data = pattern(4000);
    s.send(data);
    std::string got;
    for (int turns = 0; turns < 200 && got.size() < data.size(); ++turns) {
      while (s.waiting() != 0) {
        const SentSegment sent = s.take();
        EXPECT_LE(sent.payload.size(), 1448u);
        if (sent.seq - s.iss - 1 == got.size()) got += sent.payload;
      }
      s.receive({.ack = 1 + static_cast<std::uint32_t>(got.size())});
    }
    EXPECT_TRUE(got == data) << mss;
  }
}

// --- How long, and how often
// -----------------------------------------------------------------------------------

TEST(TcpOpeningRules, C12_C63_ASynIsGivenUpAfterThreeMinutesUnlessTheOwnerAsksForLess) {
  EXPECT_GE(tcp::OpenRequest{}.connect_timeout, 180s);  // RFC 9293 3.8.3 MUST-23
  TcpScript s;
  s.open();
  s.advance(179s);
  EXPECT_EQ(s.state(), State::syn_sent);
  s.advance(2s);
  EXPECT_EQ(s.engine().end_reason(s.id), tcp::EndReason::connect_timeout);
}

TEST(TcpOpeningRules, C15_AFloodOfSynAcksIsAnsweredWithinABound) {
  TcpScript s;
  s.establish();
  for (int i = 0; i < 1000; ++i) s.receive({.flags = "SA", .seq = 0, .ack = 1});
  EXPECT_LE(s.waiting(), 16u);
  EXPECT_EQ(s.state(), State::established);
}

TEST(TcpOpeningRules, C17_TheNextOfATupleIsHigherByTheClockAndEachProcessHasItsKey) {
  std::set<std::uint32_t> firsts;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    sim::TcpHostOptions options = TcpScript::default_options();
    options.seed = seed;
    TcpScript s(options);
    s.places_iss = false;
    tcp::OpenRequest request = s.request();
    request.local_port = 50'000;
    const SentSegment first = s.open(request);
    firsts.insert(first.seq >> 12);
    s.engine().abort(s.id, s.clock.now());
    s.engine().release(s.id);
    s.advance(100ms);
    s.discard();
    const SentSegment second = s.open(request);
    // One for every 4 microseconds (RFC 6528 3).
    EXPECT_EQ(second.seq - first.seq, (second.at - first.at) / 4us);
  }
  EXPECT_EQ(firsts.size(), 8u);
}

// --- Checksums
// -----------------------------------------------------------------------------------

TEST(TcpOpeningRules, C19_ABadTcpOrIpSumIsDroppedUnseenWhateverThePortDoes) {
  for (const sim::RxChecksum mode : {sim::RxChecksum::unknown, sim::RxChecksum::verified})
    for (const bool bad_ip : {false, true}) {
      sim::TcpHostOptions options = TcpScript::default_options();
      options.port.rx_checksum = mode;
      Frame frame;
      TcpScript s(options);
      s.establish();
      if (bad_ip) {
        s.wire.watch([&frame](std::size_t from, Instant, std::span<const std::byte> bytes) {
          if (from == 1) frame.assign(bytes.begin(), bytes.end());
        });
        s.receive({.payload = "fine"});
        EXPECT_EQ(s.read(), "fine");
        ASSERT_FALSE(frame.empty());
        frame[14 + 10] ^= std::byte{0x20};
        s.wire.send(1, std::move(frame));
      } else {
        s.inject({.payload = "data", .bad_checksum = true});
      }
      s.turn();
      s.advance(100ms);
      EXPECT_EQ(s.engine().readable(s.id), 0u);
      const net::Counters& counters = s.host.interface.counters();
      EXPECT_EQ((bad_ip ? counters.drop_ip_checksum : counters.drop_tcp_checksum).get(), 1u);
      if (!bad_ip) s.expect_silence();
    }
}

}  // namespace
}  // namespace pollux
