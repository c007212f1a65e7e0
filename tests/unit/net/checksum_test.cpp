// The chained Internet checksum against a plain sum over the joined bytes.
#include "dataplane/wire/checksum.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/base/random.hpp"
#include "tests/support/frame_checksum.hpp"

namespace pollux::wire {
namespace {

std::vector<std::byte> random_bytes(Random& random, std::size_t size) {
  std::vector<std::byte> out(size);
  for (auto& b : out) b = static_cast<std::byte>(random.next());
  return out;
}

TEST(InternetSum, OfTheExampleOfRfc1071) {
  const std::uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  InternetSum sum;
  sum.add(std::as_bytes(std::span(data)));
  EXPECT_EQ(sum.folded(), 0xddf2);
  EXPECT_EQ(sum.checksum().get(), 0x220d);
}

TEST(InternetSum, OfAnIpv4HeaderWithItsChecksumVerifies) {
  const std::uint8_t data[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                               0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
  InternetSum sum;
  sum.add(std::as_bytes(std::span(data)));
  EXPECT_TRUE(sum.verifies());
}

TEST(InternetSum, EqualsTheNaiveSumForEveryLengthAndAlignment) {
  Random random(1);
  const auto data = random_bytes(random, 300);
  for (std::size_t offset = 0; offset < 9; ++offset)
    for (std::size_t length = 0; length + offset <= data.size(); ++length) {
      const auto piece = std::span(data).subspan(offset, length);
      InternetSum sum;
      sum.add(piece);
      ASSERT_EQ(sum.folded(), sim::naive_sum(piece)) << offset << " " << length;
    }
}

TEST(InternetSum, C108_EqualsTheNaiveSumHoweverTheBytesAreCut) {
  Random random(2);
  std::size_t odd_middle_pieces = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto data = random_bytes(random, 1 + random.below(3000));
    InternetSum sum;
    for (std::size_t at = 0; at < data.size();) {
      const std::size_t n = std::min<std::size_t>(data.size() - at, random.below(400));
      sum.add(std::span(data).subspan(at, n));
      at += n;
      odd_middle_pieces += n % 2 != 0 && at < data.size();
    }
    ASSERT_EQ(sum.folded(), sim::naive_sum(data)) << "round " << round;
  }
  EXPECT_GT(odd_middle_pieces, 5000u);
}

TEST(InternetSum, LosesNoCarryOverLongRunsOfOnes) {
  const std::vector<std::byte> data(9'000'001, std::byte{0xff});
  InternetSum sum;
  sum.add(data);
  EXPECT_EQ(sum.folded(), sim::naive_sum(data));
}

TEST(InternetSum, OfAPseudoHeaderEqualsTheNaiveSum) {
  const std::uint8_t pseudo[] = {10, 99, 0, 1, 10, 99, 0, 2, 0, 6, 0x12, 0x35};
  const auto sum = InternetSum::pseudo_header(Be32(0x0a63'0001), Be32(0x0a63'0002), 6, 0x1235);
  EXPECT_EQ(sum.folded(), sim::naive_sum(std::as_bytes(std::span(pseudo))));
}

TEST(UpdateChecksum, EqualsComputingItAnew) {
  Random random(3);
  for (int round = 0; round < 20000; ++round) {
    auto data = random_bytes(random, 40);
    InternetSum before;
    before.add(data);
    const std::size_t at = random.below(20) * 2;
    const auto old_word = load<Be16>(data.data() + at);
    const Be16 new_word(static_cast<std::uint16_t>(random.next()));
    store(data.data() + at, new_word);
    InternetSum after;
    after.add(data);
    ASSERT_EQ(update_checksum(before.checksum(), old_word, new_word).get(), after.checksum().get());
  }
}

}  // namespace
}  // namespace pollux::wire
