// A worker that did not get to run for seconds: what has arrived meanwhile is read before its
// timers are believed.
#include <gtest/gtest.h>

#include "dataplane/tcp/counters.hpp"
#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

TEST(StalledWorker, C69_TheAckBehindManyFramesIsReadBeforeAnyTimer) {
  Options options;
  options.timeouts.ping_interval = 600s;
  Script s(options);
  s.wire().set_paused(1, true);
  // More than one burst of something else lies before the acknowledgment.
  sim::Frame other(60);
  other[0] = std::byte{0xff};
  other[12] = std::byte{0x88};
  for (int i = 0; i < 500; ++i) s.wire().send(1, other);
  const std::size_t command = s.submit(read(1024));
  const Pdu request = s.expect_command(command);
  s.wire().set_paused(1, false);
  s.wire().advance(s.wire().now() + 5s);  // and nobody polls
  s.run_for(1ms);
  const tcp::Counters& tcp = s.worker().engine(0).counters();
  EXPECT_EQ(tcp.timeouts.get(), 0u);
  EXPECT_EQ(tcp.segments_retransmitted.get(), 0u);
  EXPECT_EQ(tcp.tail_probes_sent.get(), 0u);
  EXPECT_FALSE(s.lost());
  s.receive(data_in(request.itt(), 0, 0, pattern(1024, 99)).status(0));
  s.expect_completion(command, POLLUX_OK);
  s.expect_alive();
}

}  // namespace
}  // namespace pollux::script
