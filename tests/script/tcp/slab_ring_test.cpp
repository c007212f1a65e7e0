// The rings of a connection, which move to larger memory when they fill their first entries.
#include "dataplane/tcp/slab_ring.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/tcp/inline_ring.hpp"

namespace pollux {
namespace {

using Slab = tcp::RingSlab<std::uint32_t>;

TEST(SlabRing, KeepsItsOrderWhenItMovesOutFromAnyPosition) {
  constexpr std::uint32_t kCapacity = 64;
  for (std::uint32_t start = 0; start < 80; ++start) {
    Slab slab(3, kCapacity);
    Slab::Ring ring = slab.ring(1);
    for (std::uint32_t i = 0; i < start; ++i) {
      ring.push(i);
      ring.pop();
    }
    for (std::uint32_t i = 0; i < kCapacity; ++i) {
      EXPECT_EQ(ring.space(), kCapacity - i);
      ring.push(1000 + i);
    }
    EXPECT_EQ(ring.space(), 0u);
    EXPECT_EQ(ring.back(), 1000 + kCapacity - 1);
    for (std::uint32_t i = 0; i < kCapacity; ++i, ring.pop()) {
      EXPECT_EQ(ring.front(), 1000 + i);
      EXPECT_EQ(ring.at(start + kCapacity - 1), 1000 + kCapacity - 1);
    }
  }
}

TEST(SlabRing, NoRingTouchesAnother) {
  constexpr std::uint32_t kRings = 5;
  for (const std::uint32_t capacity : {4u, 16u, 32u}) {
    Slab slab(kRings, capacity);
    std::vector<Slab::Ring> rings;
    for (std::uint32_t r = 0; r < kRings; ++r) rings.push_back(slab.ring(r));
    for (std::uint32_t i = 0; i < capacity; ++i)
      for (std::uint32_t r = 0; r < kRings; ++r) rings[r].push(r * 100 + i);
    for (std::uint32_t r = 0; r < kRings; ++r)
      for (std::uint32_t i = 0; i < capacity; ++i, rings[r].pop())
        EXPECT_EQ(rings[r].front(), r * 100 + i);
  }
}

TEST(SlabRing, AnotherConnectionStartsInTheFirstEntriesAgain) {
  Slab slab(2, 64);
  Slab::Ring ring = slab.ring(1);
  for (std::uint32_t i = 0; i < 64; ++i) ring.push(i);
  EXPECT_NE(&ring.front(), slab.home(1));
  ring = slab.ring(1);
  ring.push(7);
  EXPECT_EQ(&ring.front(), slab.home(1));
}

TEST(SlabRingDeathTest, MoreThanItHoldsIsOurMistake) {
  Slab slab(1, 32);
  Slab::Ring ring = slab.ring(0);
  for (std::uint32_t i = 0; i < 32; ++i) ring.push(i);
  EXPECT_DEATH(ring.push(32), "far != 0");
}

TEST(InlineRing, BytesAreTheSameWhereverTheyAreCut) {
  constexpr std::uint32_t kCapacity = 4096;
  for (const std::uint32_t step : {1u, 48u, 700u, 1024u, 1500u}) {
    tcp::InlineRing::Slab slab(2, kCapacity);
    tcp::InlineRing ring(slab.ring(1));
    std::string queued;
    std::uint32_t head = 0;
    for (std::uint32_t i = 0; i < 40; ++i) {
      std::string bytes(step, ' ');
      for (std::uint32_t k = 0; k < step; ++k) bytes[k] = static_cast<char>('a' + (i * 7 + k) % 26);
      while (ring.space() < step) {
        ring.drop_before(head += step);
        queued.erase(0, step);
      }
      ASSERT_EQ(ring.tail(), head + queued.size());
      ring.append(std::as_bytes(std::span(bytes)));
      queued += bytes;
      const auto [first, rest] = ring.at(head, static_cast<std::uint32_t>(queued.size()));
      std::string found(reinterpret_cast<const char*>(first.data()), first.size());
      found.append(reinterpret_cast<const char*>(rest.data()), rest.size());
      ASSERT_EQ(found, queued) << "step " << step << ", append " << i;
    }
  }
}

}  // namespace
}  // namespace pollux
