// Shares of a whole, and what is said when nothing was measured.
#include "control/ratio.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace pollux {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Ratio, NothingToDivideByIsZero) {
  EXPECT_DOUBLE_EQ(ratio(3, 4), 0.75);
  EXPECT_DOUBLE_EQ(ratio(3, 0), 0.0);
}

TEST(Ratio, AWholeIsSpreadAsThePartsAre) {
  EXPECT_THAT(spread(200, std::array<std::uint64_t, 3>{1, 0, 3}), ElementsAre(50.0, 0.0, 150.0));
  EXPECT_THAT(spread(200, std::array<std::uint64_t, 2>{0, 0}), ElementsAre(0.0, 0.0));
  EXPECT_THAT(spread(200, {}), IsEmpty());
}

}  // namespace
}  // namespace pollux
