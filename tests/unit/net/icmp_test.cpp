// Echo: RFC 792, RFC 1122 3.2.2.6.
#include "dataplane/net/icmp.hpp"

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
