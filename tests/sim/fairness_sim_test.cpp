// Many sessions of one worker: equal ones get equal shares, whoever asks first, and nobody starves
// beside one that asks for much more. The wire is the bottleneck, or the worker's commands are.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/support/sim_queue.hpp"
#include "tests/support/sim_world.hpp"

namespace pollux {
namespace {

using sim::SimQueue;
using sim::SimWorld;
using sim::WorldOptions;

constexpr std::uint16_t kSessions = 64;
/// The slowest of equal sessions gets at least this part of the mean.
constexpr double kLeastShare = 0.8;

struct Shape {
  const char* name;
  std::uint8_t opcode = POLLUX_READ;
  std::uint32_t bytes = 4096;
  std::uint32_t depth = 4;
  bool queue_each = false;        ///< every session has a queue of its own
  std::size_t tasks = 8192;       ///< commands that the worker can have open
  std::uint32_t rounds = 30;      ///< completions for each command in flight
  std::uint32_t first_depth = 0;  ///< of session 0; 0: as the others
};

WorldOptions world_of(const Shape& shape) {
  WorldOptions options;
  options.initiator_port.mtu = options.target_port.mtu = 9000;
  options.initiator_port.free_checksums = options.target_port.free_checksums = true;
  options.limits.connections = kSessions;
  options.limits.tasks = shape.tasks;
  options.limits.slabs = 32;
  options.target.connections = 2 * kSessions;
  options.target.luns = {{.kind = target::LunKind::null, .bytes = 256 * MiB, .block_bytes = 512}};
  return options;
}

/// Sessions that ask for the next block as soon as they have one.
class Sharing {
 public:
  explicit Sharing(const Shape& shape)
      : shape_(shape),
        world_(world_of(shape)),
        memory_(shape.bytes),
        iov_{memory_.data(), memory_.size()},
        completed_(kSessions) {
    world_.wire.faults(0).bits_per_second = world_.wire.faults(1).bits_per_second = 10'000'000'000;
    world_.wire.faults(0).queue_bytes = world_.wire.faults(1).queue_bytes = 64 * MiB;
  }

  bool log_in() {
    for (std::uint16_t slot = 0; slot < kSessions; ++slot)
      if (!world_.log_in(slot)) return false;
    const std::size_t queues = shape_.queue_each ? kSessions : 1;
    for (std::size_t i = 0; i < queues; ++i)
      queues_.push_back(std::make_unique<SimQueue>(world_, 16384 / (queues / 8 + 1)));
    return true;
  }

  /// Session by session: the first ones are far ahead of the last.
  void submit_all() {
    for (std::uint16_t session = 0; session < kSessions; ++session)
      for (std::uint32_t i = 0; i < depth_of(session); ++i) submit(session);
  }

  /// False when virtual time runs out.
  bool run() {
    const std::uint64_t total = std::uint64_t{in_flight_} * shape_.rounds;
    std::uint64_t done = 0;
    return world_.run_until([&] { return (done += reap(true)) >= total; }, 600s);
  }
  /// What is open comes home before the queues go.
  bool drain() {
    return world_.run_until([&] { return reap(false), in_flight_ == 0; }, 600s);
  }

  [[nodiscard]] const std::vector<std::uint64_t>& completed() const { return completed_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] SimWorld& world() { return world_; }

 private:
  [[nodiscard]] std::uint32_t depth_of(std::uint16_t session) const {
    return session == 0 && shape_.first_depth != 0 ? shape_.first_depth : shape_.depth;
  }
  SimQueue& queue_of(std::uint16_t session) { return *queues_[shape_.queue_each ? session : 0]; }

  void submit(std::uint16_t session) {
    pollux_command command =
        SimQueue::transfer(shape_.opcode, world_.session_id(session), 0, &iov_, 1);
    command.context = &completed_[session];
    ASSERT_EQ(queue_of(session).submit(command), 1);
    ++in_flight_;
  }

  std::uint64_t reap(bool again) {
    std::uint64_t done = 0;
    for (auto& queue : queues_) {
      pollux_completion completion{};
      while (pollux_queue_reap(&queue->queue(), &completion, 1) == 1) {
        auto* count = static_cast<std::uint64_t*>(completion.context);
        if (completion.result != 0 || completion.scsi_status != 0) ++failed_;
        ++*count;
        ++done;
        --in_flight_;
        if (again) submit(static_cast<std::uint16_t>(count - completed_.data()));
      }
    }
    return done;
  }

  Shape shape_;
  SimWorld world_;
  std::vector<std::byte> memory_;  // of all commands: nobody looks at the bytes
  iovec iov_;
  std::vector<std::unique_ptr<SimQueue>> queues_;
  std::vector<std::uint64_t> completed_;
  std::uint64_t in_flight_ = 0;
  std::uint64_t failed_ = 0;
};

void expect_equal(const std::vector<std::uint64_t>& completed, std::size_t first) {
  std::uint64_t total = 0;
  for (std::size_t i = first; i < completed.size(); ++i) total += completed[i];
  const double mean = static_cast<double>(total) / static_cast<double>(completed.size() - first);
  const auto slowest =
      std::min_element(completed.begin() + static_cast<std::ptrdiff_t>(first), completed.end());
  EXPECT_GE(static_cast<double>(*slowest), kLeastShare * mean)
      << "session " << slowest - completed.begin() << " got " << *slowest << ", the mean is "
      << mean;
}

class EqualSessions : public testing::TestWithParam<Shape> {};

TEST_P(EqualSessions, SlowestGetsFourFifthsOfTheMean) {
  Sharing sharing(GetParam());
  ASSERT_TRUE(sharing.log_in());
  sharing.submit_all();
  ASSERT_TRUE(sharing.run());
  expect_equal(sharing.completed(), 0);
  EXPECT_TRUE(sharing.drain());
  EXPECT_EQ(sharing.failed(), 0u);
  EXPECT_EQ(sharing.world().target->checks().total(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, EqualSessions,
    testing::Values(
        Shape{.name = "reads_of_depth_4"},
        Shape{.name = "reads_of_depth_32", .depth = 32, .rounds = 8},
        Shape{.name = "large_reads", .bytes = 128 * KiB, .rounds = 8},
        Shape{.name = "writes", .opcode = POLLUX_WRITE},
        // More than the snapshots of the worker hold at once.
        Shape{.name = "large_writes", .opcode = POLLUX_WRITE, .bytes = 128 * KiB, .rounds = 8},
        Shape{.name = "a_queue_each", .queue_each = true},
        // A quarter of what the queues ask for can be open.
        Shape{
            .name = "too_few_tasks", .depth = 16, .queue_each = true, .tasks = 256, .rounds = 40}),
    [](const auto& shape) { return shape.param.name; });

TEST(GreedySession, LeavesTheOthersTheirTurn) {
  Sharing sharing({.name = "greedy", .depth = 1, .rounds = 20, .first_depth = 128});
  ASSERT_TRUE(sharing.log_in());
  sharing.submit_all();
  ASSERT_TRUE(sharing.run());
  const auto& completed = sharing.completed();
  expect_equal(completed, 1);
  // For each command in flight the greedy one gets no more than the others do.
  std::uint64_t modest = 0;
  for (std::size_t i = 1; i < completed.size(); ++i) modest += completed[i];
  const double each = static_cast<double>(modest) / (kSessions - 1);
  EXPECT_LE(static_cast<double>(completed[0]) / 128, 1.25 * each);
  EXPECT_TRUE(sharing.drain());
  EXPECT_EQ(sharing.failed(), 0u);
}

}  // namespace
}  // namespace pollux
