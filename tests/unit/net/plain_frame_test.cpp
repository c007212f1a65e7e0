// Frames of the plain form are read on a short way of their own. Whatever comes by, it must say
// what the long way says, which takes every frame that comes in pieces.
#include <vector>

#include "dataplane/base/random.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {
namespace {

class Host final : public NetTest {
 public:
  using NetTest::count;
  using NetTest::deliver;
  using NetTest::interface;
  using NetTest::memory;
  using NetTest::start;

 private:
  void TestBody() override {}
};

/// A frame of the plain form with up to three of its header's bytes changed.
Frame mutated(Random& random) {
  Ip ip;
  const std::uint32_t kind = random.below(8);
  if (kind == 0) ip.source = static_cast<std::uint32_t>(random.next());
  if (kind == 1) ip.source = 0;
  const std::size_t words = random.below(11);
  Frame frame = to_us(ipv4(ip, tcp(ip, pattern(random.below(64)), words)));
  frame.resize(frame.size() + random.below(8));
  for (std::uint32_t changes = random.below(4); changes != 0; --changes)
    frame[random.below(54)] = static_cast<std::byte>(random.below(4) == 0 ? 0 : random.next());
  if (random.below(8) == 0) frame.resize(random.below(static_cast<std::uint32_t>(frame.size())));
  return frame;
}

TEST(PlainFrame, GoesTheShortWayAsItGoesTheLongOne) {
  Host plain;
  Host cut;
  plain.start({.rx_checksum = sim::RxChecksum::assumed_good});
  cut.start({.rx_checksum = sim::RxChecksum::assumed_good, .scatter = true});
  Random random{7};
  std::size_t taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Frame frame = mutated(random);
    if (frame.size() < 14) continue;
    const auto a = plain.deliver(frame);
    const auto b = cut.deliver(frame);
    ASSERT_EQ(a.size(), b.size()) << i;
    for (const auto& row : kCounterDescriptions) {
      if (row.counter == &Counters::rx_pulled_up) continue;
      ASSERT_EQ(plain.count(row.counter), cut.count(row.counter)) << i << ' ' << row.name;
    }
    if (a.empty()) continue;
    ++taken;
    ASSERT_EQ(a[0].source, b[0].source) << i;
    ASSERT_EQ(a[0].destination, b[0].destination) << i;
    ASSERT_EQ(a[0].ecn, b[0].ecn) << i;
    ASSERT_EQ(a[0].header, b[0].header) << i;
    ASSERT_EQ(a[0].data, b[0].data) << i;
  }
  EXPECT_GT(taken, 5'000u);
  EXPECT_LT(taken, 15'000u);
}

TEST(PlainFrame, FromNobodyIsDroppedAlsoAsTheFirst) {
  Host host;
  host.start({.rx_checksum = sim::RxChecksum::assumed_good});
  Ip ip;
  ip.source = 0;
  EXPECT_TRUE(host.deliver(to_us(ipv4(ip, tcp(ip, pattern(20))))).empty());
  EXPECT_EQ(host.count(&Counters::drop_ip_source), 1u);
}

}  // namespace
}  // namespace pollux::net::test
