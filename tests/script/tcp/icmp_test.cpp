// ICMP errors about segments of ours, and paths that carry less than the link.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "dataplane/tcp/path_mtu.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::Frame;
using sim::pattern;
using sim::TcpScript;
using tcp::EndReason;
using tcp::State;

constexpr sim::PeerOffer kPlain{
    .mss = 1460, .window_scale = {}, .sack = false, .timestamps = false};

constexpr unsigned kUnreachable = 3;
constexpr unsigned kSourceQuench = 4;
constexpr unsigned kTimeExceeded = 11;
constexpr unsigned kParameterProblem = 12;

struct IcmpError {
  unsigned type = kUnreachable;
  unsigned code = 0;
  std::uint32_t seq = 0;  ///< quoted, relative
  unsigned mtu = 0;
  unsigned quoted_bytes = 1500;
  unsigned port_shift = 0;  ///< quotes another connection
};

void put16(Frame& frame, std::size_t at, std::uint32_t value) {
  store(&frame[at], Be16{static_cast<std::uint16_t>(value)});
}

/// A router's message about a segment of the script's connection, and a turn.
void receive_error(TcpScript& s, const IcmpError& error) {
  constexpr std::size_t kIp = 14, kIcmp = 34, kQuote = 42, kTcp = 62;
  Frame frame(kTcp + 8);
  const auto bytes = [&frame](std::size_t at, std::initializer_list<int> values) {
    for (int value : values) frame[at++] = static_cast<std::byte>(value);
  };
  bytes(0, {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0});
  bytes(kIp, {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 99, 0, 254, 10, 99, 0, 1});
  put16(frame, kIp + 2, static_cast<std::uint32_t>(frame.size() - kIp));
  sim::write_ip_checksum(frame);
  bytes(kIcmp, {static_cast<int>(error.type), static_cast<int>(error.code)});
  put16(frame, kIcmp + 6, error.mtu);
  bytes(kQuote, {0x45, 0, 0, 0, 0, 0, 0x40, 0, 63, 6, 0, 0, 10, 99, 0, 1, 10, 99, 0, 2});
  put16(frame, kQuote + 2, error.quoted_bytes);
  put16(frame, kTcp, s.local_port + error.port_shift);
  put16(frame, kTcp + 2, TcpScript::kPeerPort);
  store(&frame[kTcp + 4], Be32{s.iss + error.seq});
  put16(frame, kIcmp + 2, 0xffffu ^ sim::naive_sum(std::span(frame).subspan(kIcmp)));
  s.wire.send(1, std::move(frame));
  s.turn();
  s.turn();
}

/// Establishes, and puts ten segments of 1460 bytes in flight.
void send_ten(TcpScript& s, const sim::PeerOffer& offer = kPlain) {
  s.establish(offer);
  s.send(pattern(20'000));
  for (std::uint32_t i = 0; i < 10; ++i) s.expect({.seq = 1 + i * 1460, .length = 1460});
  s.expect_silence();
}

// --- Errors that are noted, obeyed or ignored
// --------------------------------------------------------------------------------------------

TEST(TcpIcmp, C28_SoftErrorsEndNothing) {
  TcpScript opening;
  opening.open();
  std::uint64_t noted = 0;
  for (unsigned code : {0u, 1u, 5u, 9u, 13u}) {
    receive_error(opening, {.code = code});
    EXPECT_EQ(opening.counters().soft_unreachable.get(), ++noted);
  }
  receive_error(opening, {.type = kTimeExceeded});
  receive_error(opening, {.type = kParameterProblem});
  EXPECT_EQ(opening.counters().soft_unreachable.get(), noted + 2);
  EXPECT_EQ(opening.state(), State::syn_sent);
  opening.receive_syn_ack(kPlain);
  EXPECT_EQ(opening.state(), State::established);

  TcpScript s;
  send_ten(s);
  for (unsigned code : {0u, 1u, 5u}) receive_error(s, {.code = code, .seq = 1});
  EXPECT_EQ(s.counters().soft_unreachable.get(), 3u);
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.events() & tcp::kEnded, 0u);
  s.receive({.ack = 14'601});
  s.expect({.seq = 14'601, .length = 1460});
}

TEST(TcpIcmp, AConnectThatTimesOutTellsThatTheHostWasUnreachable) {
  for (bool noted : {false, true}) {
    TcpScript s;
    s.open({.remote = s.request().remote, .connect_timeout = 15s});
    if (noted) receive_error(s, {.code = 1});
    s.advance(15'100ms);
    EXPECT_EQ(s.state(), State::closed);
    EXPECT_EQ(s.engine().end_reason(s.id),
              noted ? EndReason::host_unreachable : EndReason::connect_timeout);
  }
}

TEST(TcpIcmp, C29_HardErrorsEndAHandshake) {
  for (unsigned code : {2u, 3u, 4u}) {
    TcpScript s;
    s.open();
    // Not about the SYN: its number and the next, and another port.
    receive_error(s, {.code = code, .seq = 0xffff'ffff});
    receive_error(s, {.code = code, .seq = 1});
    EXPECT_EQ(s.counters().ignored_path_error_stale.get(), 2u);
    receive_error(s, {.code = code, .seq = 0, .port_shift = 1});
    EXPECT_EQ(s.counters().ignored_path_error_no_connection.get(), 1u);
    ASSERT_EQ(s.state(), State::syn_sent) << code;
    s.events();
    receive_error(s, {.code = code, .seq = 0});
    EXPECT_EQ(s.events(), tcp::kEnded);
    EXPECT_EQ(s.engine().end_reason(s.id),
              code == 4 ? EndReason::host_unreachable : EndReason::refused);
    EXPECT_EQ(s.counters().hard_unreachable.get(), 1u);
  }
}

TEST(TcpIcmp, C29_HardErrorsDoNothingToAConnectionThatStands) {
  TcpScript s;
  send_ten(s);
  for (unsigned code : {2u, 3u}) {
    receive_error(s, {.code = code, .seq = 1});
    receive_error(s, {.code = code, .seq = 14'600});
  }
  EXPECT_EQ(s.counters().ignored_hard_unreachable.get(), 4u);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1500});  // nothing that is smaller
  for (unsigned code : {2u, 3u, 4u}) {
    receive_error(s, {.code = code, .seq = 0, .mtu = 600});
    receive_error(s, {.code = code, .seq = 14'601, .mtu = 600});
  }
  EXPECT_EQ(s.counters().ignored_path_error_stale.get(), 6u);
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1460u);
  s.receive({.ack = 14'601});
  s.expect({.seq = 14'601});
}

TEST(TcpIcmp, C30_SourceQuenchIsIgnored) {
  TcpScript s;
  s.establish(kPlain);
  s.send(pattern(1460));
  s.expect({.seq = 1, .length = 1460});
  receive_error(s, {.type = kSourceQuench, .seq = 1});
  EXPECT_EQ(s.counters().ignored_source_quench.get(), 1u);
  // The window is as it was: nine segments more.
  s.send(pattern(20'000, 1460));
  for (std::uint32_t i = 1; i < 10; ++i) s.expect({.seq = 1 + i * 1460, .length = 1460});
  s.expect_silence();
}

// --- A segment was too big
// -------------------------------------------------------------------------------------------------

TEST(TcpIcmp, C94_ATooBigSegmentIsResentSmallerAtOnceAndTheWindowStays) {
  TcpScript s;
  send_ten(s);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1000});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 960u);
  // cwnd is still 14600: each leaves again in two pieces in the same turn, but for the last piece,
  // for which a full segment would have to fit.
  for (std::uint32_t at = 0; at < 14'600; at += 1460) {
    EXPECT_TRUE(s.expect({.seq = 1 + at, .length = 960}).payload == pattern(960, at));
    if (at == 9 * 1460) break;
    EXPECT_TRUE(s.expect({.seq = 961 + at, .length = 500}).payload == pattern(500, at + 960));
  }
  s.expect_silence();
  // The other nine have been refused as well: nothing goes out a third time.
  for (std::uint32_t i = 1; i < 10; ++i)
    receive_error(s, {.code = 4, .seq = 1 + i * 1460, .mtu = 1000});
  s.expect_silence();
  EXPECT_EQ(s.counters().path_mtu_lowered.get(), 1u);
  EXPECT_EQ(s.counters().ignored_packet_too_big.get(), 9u);
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
  s.receive({.ack = 14'101});
  s.expect({.seq = 14'101, .length = 500});
  s.expect({.seq = 14'601, .length = 960});
}

TEST(TcpIcmp, C94_OnlyWhatCameBehindTheQuotedSegmentIsResent) {
  TcpScript s;
  send_ten(s, {.mss = 1460, .window_scale = {}, .sack = true, .timestamps = false});
  // The route has changed in the midst of the flight.
  receive_error(s, {.code = 4, .seq = 1 + 8 * 1460, .mtu = 1000});
  s.expect({.seq = 1 + 8 * 1460, .length = 960});
  s.expect({.seq = 1 + 8 * 1460 + 960, .length = 500});
  s.expect({.seq = 1 + 9 * 1460, .length = 960});
  s.discard();
  s.receive({.ack = 14'601});
  EXPECT_EQ(s.counters().timeouts.get(), 0u);
  EXPECT_EQ(s.counters().fast_recoveries.get(), 0u);
}

TEST(TcpIcmp, C94_TheMtuNeverRisesByAMessageAndHasAFloor) {
  TcpScript s;
  send_ten(s);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 9000});
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1500});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1460u);
  s.expect_silence();
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1000});
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1400});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 960u);
  for (unsigned mtu : {551u, 67u, 1u}) receive_error(s, {.code = 4, .seq = 1, .mtu = mtu});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 512u) << "552 bytes, as stated in path_mtu.cpp";
  EXPECT_EQ(s.counters().path_mtu_lowered.get(), 2u);
  EXPECT_EQ(s.counters().ignored_packet_too_big.get(), 5u);
}

TEST(TcpIcmp, C94_ARouterThatNamesNoMtuLowersByAPlateauForEachSizeRefused) {
  TcpScript s;
  send_ten(s);
  for (int i = 0; i < 10; ++i) receive_error(s, {.code = 4, .seq = 1, .mtu = 0});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1452u);
  EXPECT_EQ(s.counters().path_mtu_lowered.get(), 1u);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 0, .quoted_bytes = 1492});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 966u);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 0, .quoted_bytes = 28});
  EXPECT_EQ(s.engine().segment_bytes(s.id), 512u);
}

TEST(TcpIcmp, C53_OptionsAreTakenOffThePathMtuToo) {
  TcpScript s;
  s.establish();  // with timestamps and SACK
  s.send(pattern(5000));
  s.discard();
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1000});
  while (s.waiting() != 0) {
    const sim::SentSegment sent = s.take();
    EXPECT_LE(40 + sent.option_bytes + sent.payload.size(), 1000u);
  }
  EXPECT_EQ(s.engine().segment_bytes(s.id), 948u);
}

TEST(TcpIcmp, AMessageIsForgottenAfterTenMinutesAndSharedUntilThen) {
  TcpScript s;
  send_ten(s);
  receive_error(s, {.code = 4, .seq = 1, .mtu = 1000});
  s.receive({.ack = 14'601});
  s.receive({.ack = 20'001});
  s.discard();
  const tcp::ConnectionId first = s.id;
  // Another connection starts where this one has got to, and still takes what the link takes.
  EXPECT_EQ(s.open().options.mss, 1460);
  s.receive_syn_ack(kPlain);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 960u);
  EXPECT_EQ(s.engine().segment_bytes(first), 960u);
  s.engine().abort(s.id, s.clock.now());
  s.engine().release(s.id);
  s.turn();
  s.discard();
  s.clock.advance(599s);
  s.turn();
  EXPECT_EQ(s.engine().segment_bytes(first), 960u);
  s.clock.advance(2s);
  s.turn();
  EXPECT_EQ(s.engine().segment_bytes(first), 1460u);
  EXPECT_EQ(s.counters().path_mtu_raised.get(), 1u);
}

TEST(TcpIcmp, ATableOfPathsThatIsFullGivesUpTheOldest) {
  tcp::PathMtuCache cache;
  Instant now{1000s};
  const auto host = [](std::uint32_t i) { return net::IpAddress::from_v4_host(0x0a63'0100 + i); };
  for (std::uint32_t i = 0; i <= tcp::PathMtuCache::kEntries; ++i) {
    cache.lower(host(i), static_cast<std::uint16_t>(1000 + i), now);
    now += 1s;
  }
  Instant until = kNever;
  EXPECT_EQ(cache.find(host(0), now, until), tcp::PathMtuCache::kUnknown);
  EXPECT_EQ(until, kNever);
  EXPECT_EQ(cache.find(host(1), now, until), 1001);
  EXPECT_EQ(until, Instant{1001s} + tcp::PathMtuCache::kLifetime);
  cache.lower(host(1), 1400, now);
  EXPECT_EQ(cache.find(host(1), now, until), 1001) << "never raised";
  EXPECT_EQ(cache.find(host(1), now + tcp::PathMtuCache::kLifetime, until),
            tcp::PathMtuCache::kUnknown);
}

// --- Full segments vanish in silence
// ---------------------------------------------------------------------------------------------

TEST(TcpIcmp, C96_FullSegmentsThatVanishAreTriedSmaller) {
  TcpScript s;
  s.establish(kPlain);
  s.send(pattern(1000));
  s.expect({.length = 1000});
  s.receive({.ack = 1001});  // a small one got through
  s.send(pattern(20'000, 1000));
  s.discard();
  s.advance(250ms);
  s.expect({.seq = 1001, .length = 1460});  // one timeout proves nothing
  s.expect_silence();
  s.advance(400ms);
  EXPECT_TRUE(s.expect({.seq = 1001, .length = 1240}).payload == pattern(1240, 1000));
  EXPECT_EQ(s.counters().black_hole_probes.get(), 1u);
  EXPECT_EQ(s.counters().timeouts.get(), 2u);
  // That gets through, and so does what follows in the same size.
  std::uint32_t ack = 2241;
  while (ack < 21'001) {
    s.receive({.ack = ack});
    ASSERT_NE(s.waiting(), 0u);
    while (s.waiting() != 0) {
      const sim::SentSegment sent = s.take();
      EXPECT_LE(sent.payload.size(), 1240u);
      ack = std::max<std::uint32_t>(
          ack, sent.seq - s.iss + static_cast<std::uint32_t>(sent.payload.size()));
    }
  }
  s.receive({.ack = ack});
  EXPECT_EQ(s.counters().timeouts.get(), 2u);
  // An outage looks the same: the full size is tried again soon, the second time after long.
  s.clock.advance(30s);
  s.turn();
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1460u);
  s.send(pattern(1460));
  s.advance(4s);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 536u);
  s.discard();
  s.receive({.ack = ack + 1460});
  s.clock.advance(590s);
  s.turn();
  EXPECT_EQ(s.engine().segment_bytes(s.id), 536u);
  s.clock.advance(10s);
  s.turn();
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1460u);
}

TEST(TcpIcmp, C96_AnOutageRestoresTheSize) {
  TcpScript s;
  send_ten(s);
  s.advance(13s);
  // Timeouts at 0.2, 0.6, 1.4, 3, 6.2 and 12.6 seconds. What has been cut stays so.
  for (std::uint32_t length : {1460, 1240, 984, 536, 536, 536})
    s.expect({.seq = 1, .length = length});
  s.expect_silence();
  EXPECT_EQ(s.counters().black_hole_probes.get(), 3u);
  EXPECT_EQ(s.counters().black_holes_disproved.get(), 1u);
  EXPECT_EQ(s.engine().segment_bytes(s.id), 1460u);
}

TEST(TcpIcmp, C96_AJumboPathIsTriedAtTheSizeOfEthernetFirst) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.mtu = 9000;
  TcpScript s(options);
  s.establish({.mss = 8960, .window_scale = {}, .timestamps = false});
  s.send(pattern(8960));
  s.advance(2s);
  std::vector<std::size_t> lengths;
  while (s.waiting() != 0) lengths.push_back(s.take().payload.size());
  // The segment, a tail probe, two timeouts.
  ASSERT_GE(lengths.size(), 4u);
  EXPECT_EQ(lengths[2], 8960u);
  EXPECT_EQ(lengths[3], 1460u);
}

TEST(TcpIcmp, SmallSegmentsAndClosedWindowsAreNoReasonToSuspectThePath) {
  TcpScript small;
  small.establish(kPlain);
  small.send(pattern(1459));
  small.advance(7s);
  EXPECT_GE(small.counters().timeouts.get(), 4u);
  EXPECT_EQ(small.counters().black_hole_probes.get(), 0u);
  TcpScript closed;
  send_ten(closed);
  closed.receive({.ack = 1461, .window = 0});
  closed.advance(7s);
  EXPECT_EQ(closed.counters().black_hole_probes.get(), 0u);
}

// --- Neighbours as TCP sees them
// ---------------------------------------------------------------------------------

constexpr platform::MacAddress kNewMac{2, 0, 0, 0, 0, 7};

/// The peer (or who has taken its address over) announces itself.
void gratuitous_arp(TcpScript& s, const platform::MacAddress& mac) {
  Frame frame(42);
  std::fill(frame.begin(), frame.begin() + 6, std::byte{0xff});
  std::memcpy(&frame[6], mac.data(), 6);
  const unsigned char fixed[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  std::memcpy(&frame[12], fixed, sizeof fixed);
  std::memcpy(&frame[22], mac.data(), 6);
  const unsigned char address[] = {10, 99, 0, 2};
  std::memcpy(&frame[28], address, 4);
  std::memcpy(&frame[38], address, 4);
  s.wire.send(1, std::move(frame));
  s.turn();
}

TEST(TcpNeighbour, C99_DataWaitsInTheQueueUntilTheNeighbourIsKnownAgain) {
  TcpScript s;
  s.establish(kPlain);
  s.peer_answers_arp = false;
  s.advance(70s);  // the entry has aged, and nobody has answered
  s.send("first");
  s.send("newest");
  s.advance(1s);
  s.expect_silence();
  EXPECT_EQ(s.state(), State::established) << "an established connection is not told";
  EXPECT_EQ(s.events() & tcp::kEnded, 0u);
  gratuitous_arp(s, {2, 0, 0, 0, 0, 2});
  s.turn();
  s.expect({.seq = 1, .payload = "firstnewest"});
}

TEST(TcpNeighbour, C99_OnlyConnectsFailWhenTheNeighbourIsSilent) {
  TcpScript s;
  s.establish(kPlain);
  const tcp::ConnectionId standing = s.id;
  s.peer_answers_arp = false;
  s.advance(61s);
  tcp::ConnectionId opening;
  EXPECT_EQ(s.engine().open(s.request(), s.clock.now(), opening), tcp::OpenError::none);
  s.advance(8s);
  EXPECT_EQ(s.engine().end_reason(opening), EndReason::host_unreachable);
  EXPECT_EQ(s.engine().state(standing), State::established);
}

TEST(TcpNeighbour, C99_WhatIsQueuedOutlastsASilentNeighbour) {
  TcpScript s;
  s.establish(kPlain);
  s.peer_answers_arp = false;
  s.advance(66s);  // the entry has been asked for again and given up
  s.send("late");
  s.advance(10s);
  EXPECT_EQ(s.state(), State::established);
  s.discard();
  s.peer_answers_arp = true;
  s.advance(30s);
  EXPECT_EQ(s.state(), State::established);
  s.expect({.seq = 1, .payload = "late"});
}

TEST(TcpNeighbour, C100_TheNextPacketGoesWhereTheAddressHasMoved) {
  TcpScript s;
  s.establish(kPlain);
  platform::MacAddress to{};
  s.wire.watch([&to](std::size_t from, Instant, std::span<const std::byte> frame) {
    if (from == 0) std::memcpy(to.data(), frame.data(), to.size());
  });
  s.send("a");
  s.expect({.payload = "a"});
  EXPECT_EQ(to, (platform::MacAddress{2, 0, 0, 0, 0, 2}));
  gratuitous_arp(s, kNewMac);
  s.send("b");
  s.expect({.payload = "b"});
  EXPECT_EQ(to, kNewMac);
}

}  // namespace
}  // namespace pollux
