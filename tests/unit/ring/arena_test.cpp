// The client's arena: extents never overlap, and all of it comes back as one.
#include "control/client/arena.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pollux::client {
namespace {

TEST(Arena, ExtentsNeverOverlapAndEverythingComesBack) {
  constexpr std::uint64_t kBytes = 65536;
  Arena arena(kBytes, 64);
  struct Extent {
    std::uint64_t offset, bytes;
  };
  std::vector<Extent> taken;
  std::mt19937 random(5);
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t bytes = Arena::rounded(random() % 4000 + 1);
    if (taken.size() < 64 && random() % 2 == 0) {
      if (const auto offset = arena.take(bytes)) {
        ASSERT_LE(*offset + bytes, kBytes);
        for (const Extent& other : taken) {
          ASSERT_TRUE(*offset + bytes <= other.offset || other.offset + other.bytes <= *offset);
        }
        taken.push_back({*offset, bytes});
      }
    } else if (!taken.empty()) {
      const std::size_t index = random() % taken.size();
      arena.give(taken[index].offset, taken[index].bytes);
      taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }
  for (const Extent& extent : taken) arena.give(extent.offset, extent.bytes);
  EXPECT_EQ(arena.free_extent_count(), 1u);
  EXPECT_EQ(arena.take(kBytes), std::optional<std::uint64_t>(0));
  EXPECT_EQ(arena.take(64), std::nullopt);
}

}  // namespace
}  // namespace pollux::client
