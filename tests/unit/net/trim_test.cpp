// Cutting a frame's segments down to a part of it.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "dataplane/net/frame_view.hpp"

namespace pollux::net {
namespace {

/// The frame made of `pieces`, cut to [first, end): what is left as text, and how many were
/// dropped.
std::string trimmed(std::vector<std::string> pieces, std::uint32_t first, std::uint32_t end,
                    std::vector<std::size_t>& dropped) {
  std::vector<platform::RxSegment> segments;
  for (std::string& piece : pieces)
    segments.push_back({.data = reinterpret_cast<std::byte*>(piece.data()),
                        .length = static_cast<std::uint32_t>(piece.size()),
                        .flags = platform::kRxMore,
                        .handle = &piece});
  segments.back().flags = 0;
  const auto left = trim(std::span(segments), first, end, [&](void* handle) {
    dropped.push_back(static_cast<std::size_t>(static_cast<std::string*>(handle) - pieces.data()));
  });
  std::string text;
  std::size_t handles = 0;
  for (const platform::RxSegment& segment : left) {
    EXPECT_NE(segment.length, 0u);
    EXPECT_EQ((segment.flags & platform::kRxMore) != 0, &segment != &left.back());
    text += std::string(reinterpret_cast<const char*>(segment.data), segment.length);
    ++handles;
  }
  EXPECT_EQ(handles + dropped.size(), pieces.size());
  return text;
}

TEST(Trim, CutsAtBothEnds) {
  std::vector<std::size_t> dropped;
  EXPECT_EQ(trimmed({"head", "body", "tail"}, 2, 10, dropped), "adbodyta");
  EXPECT_TRUE(dropped.empty());
  EXPECT_EQ(trimmed({"head", "body", "tail"}, 5, 7, dropped), "od");
  EXPECT_EQ(dropped, (std::vector<std::size_t>{0, 2}));
}

TEST(Trim, APieceWithoutBytesBetweenOthersIsDroppedAndNoneIsLost) {
  std::vector<std::size_t> dropped;
  EXPECT_EQ(trimmed({"one", "", "two", "", "", "three"}, 0, 11, dropped), "onetwothree");
  EXPECT_EQ(dropped, (std::vector<std::size_t>{1, 3, 4}));
  dropped.clear();
  EXPECT_EQ(trimmed({"", "one", "", "two"}, 1, 5, dropped), "netw");
  EXPECT_EQ(dropped, (std::vector<std::size_t>{0, 2}));
}

TEST(Trim, NothingLeftGivesEverythingBack) {
  std::vector<std::size_t> dropped;
  EXPECT_EQ(trimmed({"ab", "", "cd"}, 0, 0, dropped), "");
  EXPECT_EQ(dropped.size(), 3u);
}

}  // namespace
}  // namespace pollux::net
