// Which segments may change the send window, where a retransmission of the peer and a window of a
// SYN are easily misread.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;

TEST(TcpSendWindow, C55_AHigherAckInARetransmissionBringsItsWindow) {
  TcpScript tcp;
  tcp.establish({.window_scale = 0, .window = 4000});
  tcp.send(pattern(8000));
  for (std::uint32_t seq : {1u, 1449u}) tcp.expect({.seq = seq, .length = 1448});
  tcp.discard();
  // The peer's first segment is lost, its second arrives: snd_wl1 is that one's.
  tcp.receive({.seq = 101, .ack = 1, .window = 4000, .payload = "behind the hole"});
  tcp.discard();
  // It sends the first again, when all has arrived there and little room is left.
  tcp.receive({.seq = 1, .ack = 2897, .window = 1104, .payload = pattern(100)});
  while (tcp.waiting() != 0) {
    const sim::SentSegment sent = tcp.take();
    const std::uint32_t end = sent.seq - tcp.iss + static_cast<std::uint32_t>(sent.payload.size());
    EXPECT_LE(end, 2897u + 1104u);
  }
}

TEST(TcpSendWindow, C03_TheWindowOfASynAckAfterASimultaneousOpenIsNotScaled) {
  TcpScript tcp;
  tcp.open();
  // The SYNs cross; the peer's comes again with the ACK of ours and a small window.
  const sim::PeerOffer offer{.window_scale = 7, .window = 2000};
  tcp.receive(
      {.flags = "S", .seq = 0, .ack = 0, .window = 2000, .options = tcp.syn_options(offer, false)});
  tcp.timestamps_on = true;
  tcp.expect({.flags = "SA"});
  tcp.receive(
      {.flags = "SA", .seq = 0, .ack = 1, .window = 2000, .options = tcp.syn_options(offer, true)});
  tcp.discard();
  ASSERT_EQ(tcp.state(), tcp::State::established);
  tcp.send(pattern(8000));
  tcp.turn();
  std::uint32_t sent = 0;
  while (tcp.waiting() != 0) sent += static_cast<std::uint32_t>(tcp.take().payload.size());
  EXPECT_LE(sent, 2000u);
  EXPECT_NE(sent, 0u);
}

}  // namespace
}  // namespace pollux
