// Echo: RFC 792, RFC 1122 3.2.2.6. Errors about TCP: RFC 1122 3.2.2, RFC 5927 4.
#include "dataplane/net/icmp.hpp"

#include "dataplane/net/path_error.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

class IcmpTest : public NetTest {
 protected:
  static Frame ping(const Frame& message) {
    Ip ip;
    ip.protocol = 1;
    return to_us(ipv4(ip, message));
  }
  static Frame expected(const Frame& data) {
    Ip ip;
    ip.protocol = 1;
    ip.source = kOurIp;
    ip.destination = kPeerIp;
    ip.fragment = 0;
    return ethernet(kPeerMac, kOurMac, 0x0800, ipv4(ip, echo_request(data, 0)));
  }
};

TEST_F(IcmpTest, AnswersEchoWithTheSameData) {
  start();
  for (std::size_t size : {0, 1, 56, 57, 1472}) {
    deliver(ping(echo_request(pattern(size))));
    EXPECT_EQ(sent(), expected(pattern(size))) << size;
  }
}

// The sum of nothing but zeroes is +0, whose checksum is 0xffff; an update that goes on from -0
// gives 0, which no receiver verifies (RFC 1624 3 leaves that one case out).
TEST_F(IcmpTest, AnAnswerOfNothingButZeroesVerifies) {
  start();
  for (std::size_t zeroes : {4, 5, 60}) {
    deliver(ping(bytes({8, 0, 0xf7, 0xff}) + Frame(zeroes)));
    const auto reply = sent();
    ASSERT_TRUE(reply);
    const auto message = std::span<const std::byte>(*reply).subspan(34);
    EXPECT_EQ(message[0], std::byte{0});
    EXPECT_EQ(sim::naive_sum(message), 0xffff) << zeroes;
  }
}

// IEEE 802.3 3.2.3: a source is one station. An answer to a group would be a storm's first drop.
TEST_F(IcmpTest, AnswersNobodyWhoSaysHeIsAGroupOrNobody) {
  start();
  Ip ip;
  ip.protocol = 1;
  std::uint64_t dropped = 0;
  for (const Frame& source : {kBroadcastMac, bytes({1, 0, 0x5e, 0, 0, 1}), Frame(6)}) {
    deliver(ethernet(kOurMac, source, 0x0800, ipv4(ip, echo_request(pattern(8)))));
    EXPECT_EQ(sent(), std::nullopt);
    EXPECT_EQ(count(&Counters::drop_source_mac), ++dropped);
  }
}

TEST_F(IcmpTest, AnswersARequestThatCameInPieces) {
  sim::SimPortOptions options;
  options.scatter = true;
  start(options);
  for (std::size_t size = 0; size < 400; ++size) {
    deliver(ping(echo_request(pattern(size))));
    ASSERT_EQ(sent(), expected(pattern(size))) << size;
    run(1ms);
  }
  EXPECT_GT(port->hits().rx_scattered, 100u);
}

TEST_F(IcmpTest, AnswersAJumboRequestWithAChain) {
  sim::SimPortOptions options;
  options.mtu = 9000;
  start(options);
  // Around the places where a buffer of 2048 bytes is full to the brim.
  for (std::size_t size : {2005, 2006, 2007, 4053, 4054, 4055, 8972}) {
    deliver(ping(echo_request(pattern(size))));
    ASSERT_EQ(sent(), expected(pattern(size))) << size;
  }
  EXPECT_GT(port->hits().tx_segments, port->hits().tx_frames);
}

TEST_F(IcmpTest, DoesNotAnswerWhatDoesNotFit) {
  sim::SimPortOptions options;
  options.mtu = 9000;
  options.tx_segments_max = 3;
  start(options);
  deliver(ping(echo_request(pattern(8972))));
  EXPECT_EQ(sent(), std::nullopt);
  EXPECT_EQ(count(&Counters::drop_icmp_size), 1u);
}

TEST_F(IcmpTest, LimitsTheRate) {
  start();
  std::size_t answered = 0;
  for (int i = 0; i < 200; ++i) {
    wire.send(1, ping(echo_request(pattern(8))));
    wire.advance(wire.now() + 5us);
    receive();
    while (sent()) ++answered;
  }
  EXPECT_GE(answered, 64u);
  EXPECT_LE(answered, 80u);
  EXPECT_EQ(count(&Counters::drop_icmp_rate), 200 - answered);
  run(1s);
  deliver(ping(echo_request(pattern(8))));
  EXPECT_TRUE(sent().has_value());
}

TEST_F(IcmpTest, DropsWrongChecksumsAndCountsTheRest) {
  start();
  Frame bad = echo_request(pattern(9));
  bad.back() ^= std::byte{1};
  deliver(ping(bad));
  EXPECT_EQ(count(&Counters::drop_icmp_checksum), 1u);
  deliver(ping(Frame(7)));
  EXPECT_EQ(count(&Counters::drop_icmp_malformed), 1u);
  deliver(ping(echo_request(pattern(28), 3)));
  EXPECT_EQ(count(&Counters::icmp_unreachable_in), 1u);
  deliver(ping(echo_request(pattern(28), 13)));
  EXPECT_EQ(count(&Counters::icmp_other_in), 1u);
  EXPECT_EQ(sent(), std::nullopt);
}

/// A packet of ours as a router quotes it: its checksum and TTL are nobody's business any more.
Frame quoted_packet(const Ip& changed = {}, std::size_t tcp_bytes = 8) {
  Ip ip = changed;
  std::swap(ip.source, ip.destination);
  if (ip.total_length < 0) ip.total_length = 1500;
  ip.good_checksum = false;
  const Frame ports = be16(50'001) + be16(3260) + be32(0x0102'0304) + be32(0x0506'0708);
  return ipv4(ip, Frame(ports.begin(), ports.begin() + static_cast<std::ptrdiff_t>(tcp_bytes)));
}
Frame icmp_error(int type, int code, const Frame& quote, std::uint32_t mtu = 0) {
  Frame message = bytes({type, code}) + be16(0) + be16(0) + be16(mtu) + quote;
  put16(message, 2, 0xffffu ^ sim::naive_sum(message));
  return message;
}

TEST_F(IcmpTest, AnErrorAboutTcpOfOursReachesTcpWithWhatItQuotes) {
  struct Row {
    int type, code;
    PathErrorKind kind;
    Counter Counters::*counter;
  };
  const Row rows[] = {
      {3, 0, PathErrorKind::soft_unreachable, &Counters::icmp_unreachable_in},
      {3, 1, PathErrorKind::soft_unreachable, &Counters::icmp_unreachable_in},
      {3, 2, PathErrorKind::hard_unreachable, &Counters::icmp_unreachable_in},
      {3, 3, PathErrorKind::hard_unreachable, &Counters::icmp_unreachable_in},
      {3, 4, PathErrorKind::packet_too_big, &Counters::icmp_unreachable_in},
      {3, 5, PathErrorKind::soft_unreachable, &Counters::icmp_unreachable_in},
      {3, 13, PathErrorKind::soft_unreachable, &Counters::icmp_unreachable_in},
      {3, 255, PathErrorKind::soft_unreachable, &Counters::icmp_unreachable_in},
      {4, 0, PathErrorKind::source_quench, &Counters::icmp_source_quench_in},
      {11, 0, PathErrorKind::time_exceeded, &Counters::icmp_time_exceeded_in},
      {12, 0, PathErrorKind::parameter_problem, &Counters::icmp_parameter_problem_in},
  };
  sim::SimPortOptions options;
  options.scatter = true;
  start(options);
  std::array<PathError, 4> errors;
  Ip with_options;
  with_options.options = Frame(40, std::byte{1});
  for (const Row& row : rows)
    for (const Frame& quote :
         {quoted_packet(), quoted_packet({}, 12) + pattern(500), quoted_packet(with_options)}) {
      const auto before = count(row.counter);
      Ip outer;
      outer.protocol = 1;
      outer.source = 0xc633'6401;  // a router somewhere
      if (quote.size() > 500) outer.options = Frame(40, std::byte{1});
      deliver(to_us(ipv4(outer, icmp_error(row.type, row.code, quote, 1400))));
      EXPECT_EQ(count(row.counter), before + 1);
      ASSERT_EQ(interface->take_path_errors(errors), 1u) << row.type << ' ' << row.code;
      EXPECT_EQ(errors[0].kind, row.kind);
      EXPECT_EQ(errors[0].mtu, row.kind == PathErrorKind::packet_too_big ? 1400 : errors[0].mtu);
      EXPECT_EQ(errors[0].quoted_bytes, 1500);
      EXPECT_EQ(errors[0].source, IpAddress::from_v4_host(kOurIp));
      EXPECT_EQ(errors[0].destination, IpAddress::from_v4_host(kPeerIp));
      EXPECT_EQ(errors[0].source_port, 50'001);
      EXPECT_EQ(errors[0].destination_port, 3260);
      EXPECT_EQ(errors[0].sequence, 0x0102'0304u);
    }
  EXPECT_EQ(sent(), std::nullopt) << "RFC 1122 3.2.2: no answer to an error";
}

TEST_F(IcmpTest, EveryErrorThatQuotesNoTcpOfOursIsDroppedWithAReason) {
  start();
  const auto with = [](auto change) {
    Ip ip;
    change(ip);
    return quoted_packet(ip);
  };
  struct Row {
    const char* what;
    Frame quote;
    Counter Counters::*counter;
  };
  const Row rows[] = {
      {"nothing", {}, &Counters::drop_icmp_quote_short},
      {"19 bytes", Frame(19, std::byte{0x45}), &Counters::drop_icmp_quote_short},
      {"no TCP", quoted_packet({}, 0), &Counters::drop_icmp_quote_short},
      {"7 bytes of TCP", quoted_packet({}, 7), &Counters::drop_icmp_quote_short},
      {"options cut off", with([](Ip& ip) { ip.ihl = 15; }), &Counters::drop_icmp_quote_short},
      {"version", with([](Ip& ip) { ip.version = 6; }), &Counters::drop_icmp_quote_malformed},
      {"IHL 4", with([](Ip& ip) { ip.ihl = 4; }), &Counters::drop_icmp_quote_malformed},
      {"IHL 0", with([](Ip& ip) { ip.ihl = 0; }), &Counters::drop_icmp_quote_malformed},
      {"length", with([](Ip& ip) { ip.total_length = 27; }), &Counters::drop_icmp_quote_malformed},
      {"offset", with([](Ip& ip) { ip.fragment = 1; }), &Counters::drop_icmp_quote_malformed},
      {"MF", with([](Ip& ip) { ip.fragment = 0x2000; }), &Counters::drop_icmp_quote_malformed},
      {"UDP", with([](Ip& ip) { ip.protocol = 17; }), &Counters::drop_icmp_quote_foreign},
      {"ICMP", with([](Ip& ip) { ip.protocol = 1; }), &Counters::drop_icmp_quote_foreign},
      // quoted_packet() turns them round.
      {"from another", with([](Ip& ip) { ip.destination = kGatewayIp; }),
       &Counters::drop_icmp_quote_foreign},
      {"to us", with([](Ip& ip) { ip.source = kOurIp; }), &Counters::drop_icmp_quote_foreign},
      {"to all", with([](Ip& ip) { ip.source = 0xffff'ffff; }), &Counters::drop_icmp_quote_foreign},
      {"to a group", with([](Ip& ip) { ip.source = 0xe000'0001; }),
       &Counters::drop_icmp_quote_foreign},
  };
  std::array<PathError, 4> errors;
  for (const Row& row : rows)
    for (int type : {3, 4, 11, 12}) {
      const auto before = count(row.counter);
      deliver(ping(icmp_error(type, 4, row.quote)));
      EXPECT_EQ(count(row.counter), before + 1) << row.what;
      EXPECT_EQ(interface->take_path_errors(errors), 0u) << row.what;
    }
  // What is wrong with the message itself.
  Frame bad = icmp_error(3, 4, quoted_packet());
  bad.back() ^= std::byte{1};
  deliver(ping(bad));
  EXPECT_EQ(count(&Counters::drop_icmp_checksum), 1u);
  deliver(ping(Frame(7)));
  EXPECT_EQ(count(&Counters::drop_icmp_malformed), 1u);
  deliver(ping(icmp_error(5, 1, quoted_packet())));
  EXPECT_EQ(count(&Counters::icmp_redirect_in), 1u);
  for (std::uint32_t source : {0xffff'ffffu, 0x0a63'00ffu, 0xe000'0001u, 0u}) {
    Ip ip;
    ip.protocol = 1;
    ip.source = source;
    deliver(to_us(ipv4(ip, icmp_error(3, 4, quoted_packet()))));
  }
  EXPECT_EQ(count(&Counters::drop_ip_source), 4u);
  EXPECT_EQ(interface->take_path_errors(errors), 0u);
  EXPECT_EQ(sent(), std::nullopt);
}

TEST_F(IcmpTest, AFloodOfErrorsIsBoundedAndCounted) {
  start();
  for (std::size_t i = 0; i < PathErrorQueue::kErrors + 5; ++i)
    deliver(ping(icmp_error(3, 1, quoted_packet())));
  EXPECT_EQ(count(&Counters::drop_path_error_full), 5u);
  std::array<PathError, 7> errors;
  std::size_t taken = 0;
  while (const std::size_t n = interface->take_path_errors(errors)) taken += n;
  EXPECT_EQ(taken, PathErrorQueue::kErrors);
  deliver(ping(icmp_error(3, 1, quoted_packet())));
  EXPECT_EQ(interface->take_path_errors(errors), 1u);
}

TEST_F(IcmpTest, DropsWhenThereIsNoBuffer) {
  start();
  wire.send(1, ping(echo_request(pattern(9))));
  wire.advance(wire.now() + 1ms);
  memory.set_limit(1);  // the received frame
  receive();
  memory.set_limit(4096);
  EXPECT_EQ(sent(), std::nullopt);
  EXPECT_EQ(count(&Counters::drop_reply_no_buffer), 1u);
}

}  // namespace
}  // namespace pollux::net::test
