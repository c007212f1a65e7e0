// How much leaves at once when a window opens wide. Read first: RFC 5681 4.1.
#include <gtest/gtest.h>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::TcpScript;

constexpr std::uint32_t kMebibyte = 1 << 20;

std::span<const std::byte> one_mebibyte() {
  static const std::vector<std::byte> bytes(kMebibyte);
  return bytes;
}

/// Takes what waits and counts its payload.
std::uint32_t take_bytes(TcpScript& s) {
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  return bytes;
}

/// A ring that takes a mebibyte at once: the engine alone is to decide.
sim::TcpHostOptions wide_ring() {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.tx_ring_segments = 1 << 16;
  return options;
}

/// Sends flights as large as the congestion window and answers each when it is out: the window
/// grows beyond a mebibyte. Returns the next number to be sent; nothing is queued.
std::uint32_t warm_up(TcpScript& s, std::uint16_t window) {
  std::uint32_t seq = 1;
  std::uint32_t acked = 1;
  for (int round = 0; round < 9; ++round) {
    for (int i = 0; i < 64; ++i)
      s.engine().send_external(s.id, one_mebibyte().data(), 32 * 1024, s.host.memory.tracker(0),
                               nullptr);
    const std::uint32_t end = seq + 2 * kMebibyte;
    for (int turns = 0; acked != end && turns < 20'000; ++turns) {
      // An acknowledgment for every 16 KiB: the window grows a little with each.
      acked += std::min(16u * 1024, seq - acked);
      s.receive({.ack = acked, .window = window});
      seq += take_bytes(s);
      if (acked == seq) s.advance(1ms);
      seq += take_bytes(s);
    }
    s.advance(1ms);
  }
  return seq;
}

TEST(TcpPacing, C88_AWindowThatOpensWideLeavesInBursts) {
  TcpScript s(wide_ring());
  s.establish({.window_scale = 7, .window = 0xffff});
  const std::uint32_t seq = warm_up(s, 0xffff);
  s.receive({.ack = seq, .window = 0});
  s.engine().send_external(s.id, one_mebibyte().data(), kMebibyte, s.host.memory.tracker(0),
                           nullptr);
  s.turn();
  s.expect_silence();
  s.receive({.ack = seq, .window = 0x2000});  // 1 MiB at once
  std::uint32_t total = 0;
  int passes = 0;
  for (std::uint32_t sent = take_bytes(s); sent != 0 && passes < 100; sent = take_bytes(s)) {
    EXPECT_LE(sent, 64u * 1024);
    total += sent;
    ++passes;
    s.turn();
  }
  EXPECT_EQ(total, kMebibyte);
  EXPECT_GE(passes, 16);
}

TEST(TcpPacing, C88_TheBurstIsConfiguredAndAtLeastOneJumboSegment) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.port.mtu = 9000;
  options.limits.burst_bytes = 4096;
  TcpScript s(options);
  s.establish({.mss = 8960, .window_scale = 7, .timestamps = false});
  s.engine().send_external(s.id, one_mebibyte().data(), 64'000, s.host.memory.tracker(0), nullptr);
  std::uint32_t total = 0;
  while (total < 64'000) {
    s.turn();  // one pass
    const std::uint32_t sent = take_bytes(s);
    EXPECT_EQ(sent, std::min(8960u, 64'000 - total));
    if (sent == 0) break;
    total += sent;
    s.inject({.ack = 1 + total});
  }
  EXPECT_EQ(total, 64'000u);
}

TEST(TcpPacing, C88_OneConnectionLeavesTurnsToOthers) {
  TcpScript s(wide_ring());
  s.establish();
  const std::uint32_t seq = warm_up(s, 0xffff);
  const tcp::ConnectionId first = s.id;
  const std::uint32_t first_port = s.local_port;
  s.open();
  s.receive_syn_ack();
  s.expect({.flags = "A"});
  s.engine().send_external(first, one_mebibyte().data(), kMebibyte, s.host.memory.tracker(0),
                           nullptr);
  s.engine().send_inline(s.id, std::as_bytes(std::span("small", 5)));
  s.turn();
  std::uint32_t of_first = 0;
  std::uint32_t of_second = 0;
  while (s.waiting() != 0) {
    const sim::SentSegment sent = s.take();
    (sent.source_port == first_port ? of_first : of_second) +=
        static_cast<std::uint32_t>(sent.payload.size());
  }
  EXPECT_EQ(seq, 18 * kMebibyte + 1);
  EXPECT_LE(of_first, 64u * 1024);
  EXPECT_GT(of_first, 60u * 1024);
  EXPECT_EQ(of_second, 5u);
}

}  // namespace
}  // namespace pollux
