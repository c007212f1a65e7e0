// The queues and lists of the data plane against the standard library's, with random operations.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <list>
#include <thread>
#include <vector>

#include "dataplane/base/fixed_ring.hpp"
#include "dataplane/base/intrusive_list.hpp"
#include "dataplane/base/random.hpp"
#include "dataplane/base/spsc_ring.hpp"

namespace pollux {
namespace {

TEST(FixedRing, BehavesAsADeque) {
  FixedRing<int> ring(8);
  std::deque<int> model;
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    if (random.below(100) == 0) {
      ring.clear();
      model.clear();
    } else if (random.below(2) == 0 && !ring.full()) {
      ring.push(i);
      model.push_back(i);
    } else if (!ring.empty()) {
      ring.pop();
      model.pop_front();
    }
    ASSERT_EQ(ring.size(), model.size());
    ASSERT_EQ(ring.space(), 8 - model.size());
    ASSERT_EQ(ring.full(), model.size() == 8);
    ASSERT_EQ(ring.empty(), model.empty());
    for (std::size_t at = 0; at < model.size(); ++at) ASSERT_EQ(ring[at], model[at]);
    if (model.empty()) continue;
    ASSERT_EQ(ring.front(), model.front());
    ASSERT_EQ(ring.back(), model.back());
  }
}

TEST(SpscRing, TakesWhatFitsAndGivesWhatIsThere) {
  SpscRing<int> ring(4);
  const int six[] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(ring.front(), nullptr);
  EXPECT_EQ(ring.push(six), 4u);
  EXPECT_FALSE(ring.push(7));
  int out[3];
  EXPECT_EQ(ring.pop(out), 3u);
  EXPECT_EQ(out[2], 3);
  EXPECT_EQ(ring.push(std::span{six}.subspan(4)), 2u);
  ASSERT_NE(ring.front(), nullptr);
  EXPECT_EQ(*ring.front(), 4);
  EXPECT_EQ(ring.pop(out), 3u);
  EXPECT_EQ(out[2], 6);
  EXPECT_EQ(ring.pop(out), 0u);
  EXPECT_EQ(ring.size(), 0u);
}

TEST(SpscRing, TwoThreadsLoseDoubleAndReorderNothing) {
  struct Item {
    std::uint64_t number;
    std::uint64_t check;
  };
  SpscRing<Item> ring(64);
  constexpr std::uint64_t kItems = 200'000;
  std::thread producer([&] {
    Random random(2);
    for (std::uint64_t next = 0; next < kItems;) {
      Item batch[7];
      const std::size_t size = std::min<std::uint64_t>(1 + random.below(7), kItems - next);
      for (std::size_t i = 0; i < size; ++i)
        batch[i] = {next + i, (next + i) * 0x9e37'79b9'7f4a'7c15};
      const std::size_t pushed = ring.push(std::span<const Item>{batch, size});
      next += pushed;
      if (pushed == 0) std::this_thread::yield();
    }
  });
  Random random(3);
  std::uint64_t expected = 0;
  bool right = true;
  while (expected < kItems) {
    Item batch[5];
    const std::size_t size = ring.pop(std::span{batch, 1 + random.below(5)});
    for (std::size_t i = 0; i < size; ++i, ++expected)
      right &= batch[i].number == expected && batch[i].check == expected * 0x9e37'79b9'7f4a'7c15;
    if (size == 0) std::this_thread::yield();
  }
  producer.join();
  EXPECT_TRUE(right);
  EXPECT_EQ(ring.size(), 0u);
}

struct Item {
  int number = 0;
  ListLink<Item> link;
};

TEST(IntrusiveList, BehavesAsAList) {
  std::vector<Item> items(50);
  for (int i = 0; i < 50; ++i) items[static_cast<std::size_t>(i)].number = i;
  IntrusiveList<Item, &Item::link> list;
  std::list<int> model;
  Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    Item& item = items[random.below(50)];
    if (random.below(10) == 0) {
      Item* popped = list.pop_front();
      ASSERT_EQ(popped == nullptr, model.empty());
      if (popped != nullptr) {
        ASSERT_EQ(popped->number, model.front());
        model.pop_front();
      }
    } else if (item.link.linked) {
      list.remove(item);
      model.remove(item.number);
    } else {
      list.push_back(item);
      model.push_back(item.number);
    }
    ASSERT_EQ(list.size(), model.size());
    ASSERT_EQ(list.empty(), model.empty());
    const Item* at = list.front();
    for (const int number : model) {
      ASSERT_NE(at, nullptr);
      ASSERT_EQ(at->number, number);
      at = list.next(*at);
    }
    ASSERT_EQ(at, nullptr);
  }
}

}  // namespace
}  // namespace pollux
