// Option bytes, good and bad.
#include <gtest/gtest.h>

#include <vector>

#include "dataplane/tcp/flow_table.hpp"
#include "dataplane/tcp/reassembly.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using wire::OptionsVerdict;
using wire::TcpOptions;

OptionsVerdict parse(const std::vector<std::uint8_t>& bytes, TcpOptions& options) {
  return wire::parse_tcp_options(std::as_bytes(std::span(bytes)), options);
}

TEST(TcpOptions, C06_UnknownKindsArePassedOver) {
  for (int kind = 9; kind < 254; ++kind) {
    TcpOptions options;
    EXPECT_EQ(parse({static_cast<std::uint8_t>(kind), 5, 1, 2, 3, 2, 4, 5, 180}, options),
              OptionsVerdict::good);
    EXPECT_EQ(options.mss, 1460);
  }
}

TEST(TcpOptions, C07_WrongLengthsAreRefusedInBoundedWork) {
  for (int kind = 2; kind < 256; ++kind) {
    for (const int length : {0, 1, 39, 255}) {
      TcpOptions options;
      EXPECT_EQ(parse({1, static_cast<std::uint8_t>(kind), static_cast<std::uint8_t>(length), 0, 0},
                      options),
                OptionsVerdict::bad_length);
    }
    TcpOptions options;
    EXPECT_EQ(parse({1, 1, 1, static_cast<std::uint8_t>(kind)}, options),
              OptionsVerdict::bad_length);
  }
  TcpOptions options;
  for (const auto& bytes : std::vector<std::vector<std::uint8_t>>{{2, 3, 1},
                                                                  {3, 4, 1, 1},
                                                                  {4, 3, 0},
                                                                  {5, 2},
                                                                  {5, 9, 0, 0, 0, 0, 0, 0, 0},
                                                                  {8, 6, 0, 0, 0, 0},
                                                                  // One byte over the end.
                                                                  {2, 4, 5},
                                                                  {3, 3},
                                                                  {1, 8, 10, 0, 0, 0, 0, 0, 0, 0},
                                                                  {99, 5, 1, 1}})
    EXPECT_EQ(parse(bytes, options), OptionsVerdict::bad_length);
}

TEST(TcpOptions, C07_ASegmentWithBadOptionsIsDroppedAndCounted) {
  sim::TcpScript s;
  s.establish();
  s.receive({.payload = "data", .options = std::vector<std::uint8_t>{8, 0, 0, 0}});
  s.expect_silence();
  EXPECT_EQ(s.counters().dropped_bad_options.get(), 1u);
  EXPECT_EQ(s.engine().readable(s.id), 0u);
}

TEST(TcpOptions, C08_UnalignedTimestampsCountAsAligned) {
  sim::TcpScript s;
  s.establish();
  std::vector<std::uint8_t> options = {8, 10};
  for (int shift = 24; shift >= 0; shift -= 8)
    options.push_back(static_cast<std::uint8_t>(s.peer_timestamp() >> shift));
  for (int i = 0; i < 4; ++i) options.push_back(0);
  s.receive({.payload = "data", .options = options});
  EXPECT_EQ(s.read(), "data");
  // As long as the aligned form, and something else.
  options = {8, 10};
  const std::uint32_t tsval = s.peer_timestamp() + 7;
  for (int shift = 24; shift >= 0; shift -= 8)
    options.push_back(static_cast<std::uint8_t>(tsval >> shift));
  for (int i = 0; i < 6; ++i) options.push_back(0);
  s.advance(20ms);
  s.discard();
  s.receive({.seq = 5, .payload = "more", .options = options});
  EXPECT_EQ(s.read(), "more");
  s.advance(20ms);
  EXPECT_EQ(s.take().options.tsecr, tsval);
}

TEST(TcpOptions, C09_MssExtremesAreClamped) {
  for (const std::uint16_t mss : std::to_array<std::uint16_t>({0, 1, 47, 65535})) {
    sim::TcpScript s;
    s.establish({.mss = mss, .timestamps = false});
    s.send(sim::pattern(2000));
    const auto length = s.take().payload.size();
    EXPECT_GE(length, 64u);
    EXPECT_LE(length, 1460u);
  }
}

TEST(TcpOptions, SynOptionsAreWrittenAsRead) {
  std::array<std::byte, 40> bytes;
  const std::size_t n = wire::write_syn_options(bytes.data(), {.mss = 8960,
                                                               .window_scale_offered = true,
                                                               .sack_permitted = true,
                                                               .timestamps = true,
                                                               .window_scale = 5,
                                                               .tsval = 1,
                                                               .tsecr = 2});
  EXPECT_EQ(n, 20u);
  TcpOptions options;
  ASSERT_EQ(wire::parse_tcp_options(std::span(bytes).first(n), options), OptionsVerdict::good);
  EXPECT_TRUE(options.sack_permitted && options.has_timestamps && options.has_window_scale);
  EXPECT_EQ(options.mss, 8960);
  EXPECT_EQ(options.window_scale, 5);
  EXPECT_EQ(options.tsecr, 2u);
}

TEST(TcpFlowTable, FindsAllThatIsLeftAfterErasing) {
  tcp::FlowTable table(64, {3, 4});
  std::vector<std::uint32_t> hashes(64);
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    for (std::uint32_t slot = 0; slot < 64; ++slot) {
      hashes[slot] = random.below(16) * 8;  // long chains on purpose
      table.insert(hashes[slot], slot);
    }
    for (std::uint32_t gone = 0; gone < 64; ++gone) {
      table.erase(hashes[gone], gone);
      for (std::uint32_t slot = gone + 1; slot < 64; ++slot)
        ASSERT_EQ(table.find(hashes[slot], [slot](std::uint32_t s) { return s == slot; }), slot);
    }
  }
}

}  // namespace
}  // namespace pollux
