// A segment that lies in several packet buffers, as large frames do: each piece may meet what waits
// out of order on its own.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;

TEST(TcpPieces, APieceBehindTheOneThatFilledTheHoleIsTrimmedToo) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.memory.buffer_bytes = 512;
  TcpScript tcp(options);
  tcp.establish();
  const std::string bytes = pattern(2000);
  tcp.receive({.seq = 401, .payload = bytes.substr(400, 600)});
  tcp.expect({.ack = 1});
  // Its first piece fills the hole, what waited is then in order, and the second piece lies in
  // that.
  tcp.receive({.seq = 1, .payload = bytes.substr(0, 1400)});
  tcp.expect({.ack = 1401});
  tcp.receive({.seq = 1501, .payload = bytes.substr(1500, 100)});
  const sim::SentSegment ack = tcp.expect({.ack = 1401});
  ASSERT_EQ(ack.options.sack_count, 1);
  EXPECT_EQ(ack.options.sack[0].right.raw() - ack.options.sack[0].left.raw(), 100u);
  tcp.receive({.seq = 1401, .payload = bytes.substr(1400, 100)});
  tcp.expect({.ack = 1601});
  EXPECT_EQ(tcp.read(), bytes.substr(0, 1600));
}

}  // namespace
}  // namespace pollux
