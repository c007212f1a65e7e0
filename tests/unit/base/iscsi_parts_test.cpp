// Small parts of the iSCSI data path: command window, scatter list cursor, snapshot pool, task
// table.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "dataplane/base/random.hpp"
#include "dataplane/iscsi/command_window.hpp"
#include "dataplane/iscsi/iov_cursor.hpp"
#include "dataplane/iscsi/snapshot.hpp"
#include "dataplane/iscsi/task.hpp"
#include "tests/support/heap_packet_memory.hpp"

namespace pollux::iscsi {
namespace {

TEST(CommandWindow, OpensAndClosesAcrossTheWrap) {
  for (const std::uint32_t start : {0u, 0xffff'fffeu, 0x7fff'fffeu}) {
    CommandWindow window;
    window.start(CmdSn{start}, CmdSn{start}, CmdSn{start + 3});
    for (std::uint32_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(window.open());
      EXPECT_EQ(window.take().raw(), start + i);
    }
    EXPECT_FALSE(window.open());
    EXPECT_TRUE(window.update(CmdSn{start + 4}, CmdSn{start + 4}));
    EXPECT_TRUE(window.open());
    window.take();
    EXPECT_TRUE(
        window.update(CmdSn{start + 5}, CmdSn{start + 4}));  // MaxCmdSN = ExpCmdSN-1: closed
    EXPECT_FALSE(window.open());
  }
}

TEST(CommandWindow, ValuesThatCannotBeChangeNothing) {
  CommandWindow window;
  window.start(CmdSn{10}, CmdSn{10}, CmdSn{9});
  EXPECT_FALSE(window.update(CmdSn{10}, CmdSn{8}));   // below ExpCmdSN-1
  EXPECT_FALSE(window.update(CmdSn{11}, CmdSn{20}));  // acknowledges what was not sent
  window.update(CmdSn{10}, CmdSn{9 + 0x8000'0000u});
  EXPECT_FALSE(window.open());
  EXPECT_TRUE(window.update(CmdSn{10}, CmdSn{12}));
  window.update(CmdSn{5}, CmdSn{6});  // old: the window does not shrink
  EXPECT_TRUE(window.open());
  EXPECT_EQ(window.cmd_sn(), CmdSn{10});
}

TEST(IovCursor, SeeksAndStepsThroughAnyList) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::byte> memory(1000);
    std::vector<iovec> list;
    std::size_t total = 0;
    for (std::uint32_t pieces = random.below(9); pieces-- != 0;) {
      const std::size_t length = random.below(3) == 0 ? 0 : random.below(100);
      list.push_back({memory.data() + total, length});
      total += length;
    }
    IovCursor cursor(list.data(), static_cast<std::uint32_t>(list.size()));
    std::size_t at = 0;
    for (int step = 0; step < 40; ++step) {
      if (random.below(3) == 0) {
        at = random.below(static_cast<std::uint32_t>(total) + 1);
        cursor.seek(static_cast<std::uint32_t>(at));
      }
      ASSERT_EQ(cursor.offset(), at);
      const std::size_t wanted = random.below(150);
      const auto piece = cursor.piece(wanted);
      ASSERT_LE(piece.size(), wanted);
      ASSERT_EQ(piece.empty(), wanted == 0 || at == total);
      if (piece.empty()) continue;
      ASSERT_EQ(piece.data(), memory.data() + at);
      ASSERT_LE(at + piece.size(), total);
      cursor.advance(piece.size());
      at += piece.size();
    }
  }
}

TEST(SnapshotPool, GivesTheSmallestAndTakesBackWhenNothingPointsIntoIt) {
  const Limits limits{
      .connections = 1, .tasks = 2, .slabs = 1, .snapshot_small = 2, .snapshot_large = 1};
  sim::HeapPacketMemory memory({.buffers = 8, .buffer_bytes = 256, .trackers = 2 + 3});
  std::vector<std::byte> area(SnapshotPool::bytes_needed(limits));
  SnapshotPool pool(limits, area, memory, 2);
  SnapshotChunk* small = pool.take(1);
  SnapshotChunk* second = pool.take(kSnapshotSmallBytes);
  SnapshotChunk* large = pool.take(1);  // no small one is left
  ASSERT_TRUE(small != nullptr && second != nullptr && large != nullptr);
  EXPECT_EQ(small->capacity, kSnapshotSmallBytes);
  EXPECT_EQ(large->capacity, kDataOutBytesMax);
  EXPECT_EQ(pool.take(1), nullptr);
  EXPECT_EQ(pool.take(kDataOutBytesMax), nullptr);
  EXPECT_EQ(pool.in_use(), 3u);

  SnapshotList sent;
  sent.push(*small);
  sent.push(*second);
  sent.push(*large);
  second->reference.count = 1;  // TCP still holds it; what is behind waits too
  memory.tracker_taken(*small->tracker);
  pool.collect(sent);
  EXPECT_EQ(pool.in_use(), 3u);
  EXPECT_TRUE(pool.any_lingering());
  memory.tracker_done(*small->tracker);
  pool.poll_lingering(false);
  EXPECT_EQ(pool.in_use(), 2u);
  second->reference.count = 0;
  pool.collect(sent);
  EXPECT_EQ(pool.in_use(), 0u);

  // Of a dead connection: a frame that is not yet the driver's may still point into the chunk.
  SnapshotChunk* again = pool.take(1);
  ASSERT_NE(again, nullptr);
  sent.push(*again);
  pool.abandon(sent);
  pool.poll_lingering(false);
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_TRUE(pool.any_lingering());
  pool.poll_lingering(true);
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_FALSE(pool.any_lingering());
  EXPECT_EQ(pool.take(kDataOutBytesMax), large);
}

TEST(TaskTable, ATagFindsItsTaskOnlyWhileItLives) {
  sim::HeapPacketMemory memory({.buffers = 8, .buffer_bytes = 256, .trackers = 2});
  TaskTable table(2, memory);
  std::uint32_t last = 0;
  for (int round = 0; round < 70'000; ++round) {  // the generation wraps
    Task* task = table.take();
    ASSERT_NE(task, nullptr);
    task->state = TaskState::active;
    const std::uint32_t tag = task->initiator_task_tag();
    ASSERT_NE(tag, 0xffff'ffffu);
    ASSERT_EQ(table.find(tag), task);
    if (round != 0) {
      ASSERT_NE(tag, last);
      ASSERT_EQ(table.find(last), nullptr);
    }
    table.give_back(*task);
    ASSERT_EQ(table.find(tag), nullptr);
    last = tag;
  }
  EXPECT_EQ(table.find(2), nullptr);
  EXPECT_EQ(table.find(0xffff'ffff), nullptr);
  Task* first = table.take();
  Task* second = table.take();
  EXPECT_TRUE(first != nullptr && second != nullptr);
  EXPECT_EQ(table.take(), nullptr);
  EXPECT_EQ(table.in_use(), 2u);
}

}  // namespace
}  // namespace pollux::iscsi
