// The whole initiator against the embedded target over a simulated wire: logins, transfers of every
// kind, and, with faults on the wire, the same promises for any seed: data exact, one completion
// for each command, everything borrowed given back, no rule of the protocol broken.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "dataplane/net/counters.hpp"
#include "tests/support/disk_stamp.hpp"
#include "tests/support/sim_queue.hpp"
#include "tests/support/sim_world.hpp"

namespace pollux {
namespace {

using session::Digest;
using sim::SimQueue;
using sim::SimWorld;
using sim::WorldOptions;

session::Offer digests(bool header, bool data) {
  session::Offer offer;
  if (header) offer.header_digest = {Digest::crc32c};
  if (data) offer.data_digest = {Digest::crc32c};
  return offer;
}

/// What must hold when all sessions have been logged out.
void expect_at_rest(SimWorld& world) {
  world.run_for(5s);
  EXPECT_EQ(world.worker->initiator().tasks_in_use(), 0u);
  EXPECT_EQ(world.worker->initiator().timers_armed(), 0u);
  EXPECT_EQ(world.worker->initiator().snapshots_in_use(), 0u);
  EXPECT_EQ(world.worker->initiator().slabs_in_use(), 0u);
  EXPECT_EQ(world.worker->initiator().lent_bytes_reserved(), 0u);
  EXPECT_EQ(world.worker->engine(0).open_connections(), 0u);
  EXPECT_EQ(world.target->checks().total(), 0u) << world.target->checks().first_text();
  const std::size_t cached = world.worker->interface(0).counters().buffers_cached.get();
  EXPECT_EQ(world.initiator_memory.buffers_in_use(), cached);
}

TEST(IscsiSim, LogsInAndOut) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

struct Shape {
  const char* name;
  bool header_digest;
  bool data_digest;
  bool initial_r2t;
  bool immediate_data;
  std::uint32_t target_segment;
  std::uint16_t mtu;
};

class IscsiTransfer : public testing::TestWithParam<Shape> {};

TEST_P(IscsiTransfer, WritesAndReadsBackEverySizeAndMemoryKind) {
  const Shape& shape = GetParam();
  WorldOptions options;
  options.initiator_port.mtu = options.target_port.mtu = shape.mtu;
  options.initiator_port.scatter = true;
  options.target.answers.max_recv_data_segment_length = shape.target_segment;
  options.target.answers.max_outstanding_r2t = 4;
  SimWorld world(options);
  session::Offer offer = digests(shape.header_digest, shape.data_digest);
  offer.initial_r2t = shape.initial_r2t;
  offer.immediate_data = shape.immediate_data;
  offer.max_outstanding_r2t = 4;
  ASSERT_TRUE(world.log_in(0, offer));
  const iscsi::Parameters& agreed = world.parameters(0);
  EXPECT_EQ(agreed.header_digest, shape.header_digest);
  EXPECT_EQ(agreed.data_digest, shape.data_digest);
  EXPECT_EQ(agreed.initial_r2t, shape.initial_r2t);

  {
    SimQueue queue(world, 32, 1 * MiB);
    std::vector<std::byte> out(2 * MiB + 4096);
    std::vector<std::byte> in(out.size());
    std::uint64_t generation = 0;
    for (const std::size_t bytes :
         {std::size_t{512}, 4 * KiB, 8 * KiB + 512, 64 * KiB, 256 * KiB, 1 * MiB + 1536}) {
      for (const std::uint8_t memory : {std::uint8_t{0}, std::uint8_t{POLLUX_REGISTERED}}) {
        ++generation;
        const std::uint64_t lba = 100 + generation;
        sim::stamp({out.data(), bytes}, lba, generation, 42);
        // Pieces of odd lengths, so that digests and padding run across their edges.
        const std::size_t first = std::min<std::size_t>(bytes, 333);
        const iovec out_iov[] = {
            {out.data(), first}, {out.data() + first, 0}, {out.data() + first, bytes - first}};
        const auto written = queue.run(
            SimQueue::transfer(POLLUX_WRITE, world.session_id(0), lba, out_iov, 3, memory));
        ASSERT_EQ(written.result, 0) << shape.name << " write of " << bytes;
        ASSERT_EQ(written.scsi_status, 0);
        ASSERT_EQ(written.transferred, bytes);

        std::fill(in.begin(), in.end(), std::byte{0});
        const iovec in_iov[] = {{in.data(), bytes - 101}, {in.data() + bytes - 101, 101}};
        const auto placed =
            queue.run(SimQueue::transfer(POLLUX_READ, world.session_id(0), lba, in_iov, 2));
        ASSERT_EQ(placed.result, 0) << shape.name << " read of " << bytes;
        ASSERT_EQ(placed.transferred, bytes);
        ASSERT_EQ(sim::wrong_blocks({in.data(), bytes}, lba, generation, 42), 0u)
            << shape.name << " " << bytes;
        ASSERT_EQ(in[bytes], std::byte{0}) << "wrote behind the buffer";

        if (bytes > 1 * MiB) continue;
        auto lent_read =
            SimQueue::transfer(POLLUX_READ, world.session_id(0), lba, in_iov, 2, POLLUX_LENT);
        lent_read.iov = nullptr;
        lent_read.iov_count = 0;
        const auto lent = queue.run(lent_read);
        ASSERT_EQ(lent.result, 0) << shape.name << " lent read of " << bytes;
        ASSERT_NE(lent.lent, nullptr);
        std::size_t offset = 0;
        for (std::uint32_t i = 0; i < lent.view_count; ++i) {
          std::memcpy(in.data() + offset, lent.views[i].data, lent.views[i].length);
          offset += lent.views[i].length;
        }
        ASSERT_EQ(offset, bytes);
        ASSERT_EQ(sim::wrong_blocks({in.data(), bytes}, lba, generation, 42), 0u);
        pollux_release(lent.lent);
      }
    }
  }
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

INSTANTIATE_TEST_SUITE_P(
    Negotiated, IscsiTransfer,
    testing::Values(Shape{"plain", false, false, false, true, 256 * KiB, 1500},
                    Shape{"header_digest", true, false, false, true, 256 * KiB, 1500},
                    Shape{"data_digest", false, true, false, true, 256 * KiB, 9000},
                    Shape{"both_digests", true, true, false, true, 8192, 9000},
                    Shape{"r2t_only", true, true, true, false, 64 * KiB, 1500},
                    Shape{"immediate_then_r2t", false, false, true, true, 8192, 1500},
                    Shape{"unsolicited_no_immediate", false, true, false, false, 512, 9000}),
    [](const auto& shape) { return std::string(shape.param.name); });

TEST(IscsiSim, PingInTheSegmentOfTheFinalLoginResponseIsAnsweredWithDigestsOn) {
  // docs/decisions/0001-gate.md: the first PDU with digests arrives before control has set them.
  WorldOptions options;
  options.target.nop_in_after_login = true;
  SimWorld world(options);
  ASSERT_TRUE(world.log_in(0, digests(true, true)));
  world.run_for(100ms);
  EXPECT_EQ(world.worker->initiator().counters().pings_answered.get(), 1u);
  EXPECT_EQ(world.worker->initiator().counters().header_digest_errors.get(), 0u);
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

TEST(IscsiSim, OutOfRangeReadGivesSenseAndWritesNothing) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  {
    SimQueue queue(world);
    std::vector<std::byte> memory(4096, std::byte{0x5a});
    const iovec iov{memory.data(), memory.size()};
    const auto done = queue.run(
        SimQueue::transfer(POLLUX_READ, world.session_id(0), std::uint64_t{1} << 40, &iov, 1));
    EXPECT_EQ(done.result, 0);
    EXPECT_EQ(done.scsi_status, 0x02);
    EXPECT_EQ(done.sense_key, 0x05);
    EXPECT_EQ(done.asc, 0x21);
    EXPECT_EQ(done.transferred, 0u);
    EXPECT_EQ(memory[0], std::byte{0x5a});
  }
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

TEST(IscsiSim, UnknownSessionIsRefusedNotRedirected) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  {
    SimQueue queue(world);
    std::vector<std::byte> memory(512);
    const iovec iov{memory.data(), memory.size()};
    for (const std::uint64_t id : {std::uint64_t{0}, world.session_id(0) + (1 << 16),
                                   world.session_id(0) + 1, world.session_id(0) | 0xffff}) {
      EXPECT_EQ(queue.run(SimQueue::transfer(POLLUX_READ, id, 0, &iov, 1)).result,
                POLLUX_ENOSESSION);
    }
  }
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

TEST(IscsiSim, LostConnectionCompletesEveryCommandOnce) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0));
  {
    SimQueue queue(world);
    world.target->faults().swallow_command_at = 3;
    std::vector<std::byte> memory(16 * 64 * KiB);
    for (int i = 0; i < 16; ++i) {
      const iovec iov{memory.data() + i * 64 * KiB, 64 * KiB};
      static std::array<iovec, 16> kept;
      kept[i] = iov;
      ASSERT_EQ(
          queue.submit(SimQueue::transfer(i % 2 ? POLLUX_WRITE : POLLUX_READ, world.session_id(0),
                                          128 * i, &kept[i], 1, i % 2 ? POLLUX_REGISTERED : 0)),
          1);
    }
    world.run_for(100ms);
    world.wire.set_link(false);
    int completed = 0;
    int lost = 0;
    for (int i = 0; i < 16; ++i) {
      const auto done = queue.wait(200s);
      ++completed;
      lost += done.result == POLLUX_ESESSION_LOST;
    }
    EXPECT_EQ(completed, 16);
    EXPECT_GE(lost, 1);
    world.wire.set_link(true);
    pollux_completion extra;
    world.run_for(1s);
    EXPECT_EQ(pollux_queue_reap(&queue.queue(), &extra, 1), 0);
  }
  expect_at_rest(world);
}

TEST(IscsiSim, CorruptDataDigestEndsTheSession) {
  SimWorld world;
  ASSERT_TRUE(world.log_in(0, digests(true, true)));
  {
    SimQueue queue(world);
    std::vector<std::byte> memory(4096);
    const iovec iov{memory.data(), memory.size()};
    world.target->faults().corrupt_data_digest_at = 1;
    EXPECT_EQ(queue.run(SimQueue::transfer(POLLUX_READ, world.session_id(0), 0, &iov, 1)).result,
              POLLUX_ESESSION_LOST);
    EXPECT_EQ(world.worker->initiator().counters().data_digest_errors.get(), 1u);
  }
  expect_at_rest(world);
}

TEST(IscsiSim, CommandWindowThatNeverOpensIsBounded) {
  WorldOptions options;
  options.target.faults.close_window = true;
  SimWorld world(options);
  ASSERT_TRUE(world.log_in(0));
  {
    SimQueue queue(world);
    std::vector<std::byte> memory(4096);
    const iovec iov{memory.data(), memory.size()};
    ASSERT_EQ(queue.submit(SimQueue::transfer(POLLUX_READ, world.session_id(0), 0, &iov, 1)), 1);
    // The target answers every ping meanwhile: only the age of the command says that something is
    // wrong.
    EXPECT_EQ(queue.wait(options.timeouts.command + 10s).result, POLLUX_ESESSION_LOST);
    EXPECT_GT(world.worker->initiator().counters().pings_sent.get(), 5u);
  }
  expect_at_rest(world);
}

TEST(IscsiSim, LentReadsInSmallPiecesStayWithinTheBudget) {
  WorldOptions options;
  options.initiator_port.mtu = options.target_port.mtu = 9000;
  options.initiator_port.scatter = true;
  options.lent_budget_bytes = 512 * KiB;
  SimWorld world(options);
  session::Offer offer;
  offer.max_recv_data_segment_length = 512;  // what was reserved counts on full segments
  ASSERT_TRUE(world.log_in(0, offer));
  {
    const std::size_t buffer = world.initiator_memory.true_size();
    SimQueue queue(world, 16, 64 * KiB);
    std::vector<pollux_lent*> held;
    std::size_t views = 0;
    for (int i = 0; i < 16; ++i) {
      pollux_command read =
          SimQueue::transfer(POLLUX_READ, world.session_id(0), 0, nullptr, 0, POLLUX_LENT);
      read.length = 16 * KiB;
      read.block_count = read.length / 512;
      const auto done = queue.run(read);
      ASSERT_TRUE(done.result == 0 || done.result == POLLUX_EAGAIN) << done.result;
      if (done.lent == nullptr) continue;
      held.push_back(done.lent);
      views += done.view_count;
    }
    EXPECT_FALSE(held.empty());
    EXPECT_LE(views * buffer, options.lent_budget_bytes) << "each view may pin a buffer";
    EXPECT_LE(world.worker->initiator().lent_bytes_reserved(), options.lent_budget_bytes);
    for (pollux_lent* lent : held) pollux_release(lent);
  }
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

/// Several commands at once over a wire that loses, doubles, reorders and damages frames.
void run_seed(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  WorldOptions options;
  options.seed = seed;
  options.initiator_port.mtu = options.target_port.mtu = random.below(2) ? 1500 : 9000;
  options.initiator_port.scatter = random.below(2) != 0;
  options.target_port.scatter = random.below(2) != 0;
  options.initiator_port.tx_checksum = random.below(2) != 0;
  options.target.status_in_data_in = random.below(2) != 0;
  options.target.answers.max_outstanding_r2t = static_cast<std::uint16_t>(1 + random.below(8));
  options.target.answers.command_window = static_cast<std::uint16_t>(2 + random.below(60));
  SimWorld world(options);
  if (const char* path = std::getenv("POLLUX_SIM_PCAPNG")) world.wire.record(path);
  session::Offer offer = digests(random.below(2) != 0, random.below(2) != 0);
  offer.initial_r2t = random.below(2) != 0;
  offer.immediate_data = random.below(2) != 0;
  offer.max_outstanding_r2t = 8;
  ASSERT_TRUE(world.log_in(0, offer));
  for (const std::size_t from : {0, 1}) {
    sim::WireFaults& faults = world.wire.faults(from);
    faults.drop_ppm = random.below(20'000);
    faults.duplicate_ppm = random.below(20'000);
    faults.reorder_ppm = random.below(20'000);
    faults.corrupt_ppm = random.below(5'000);
    faults.delay = 5us + Duration(random.below(100'000));
  }
  constexpr std::size_t kSlots = 8;
  constexpr std::size_t kSlotBytes = 128 * KiB;
  constexpr int kRounds = 12;
  {
    SimQueue queue(world, 32);
    std::vector<std::byte> out(kSlots * kSlotBytes);
    std::vector<std::byte> in(kSlots * kSlotBytes);
    std::array<iovec, kSlots> iov{};
    std::array<std::uint32_t, kSlots> bytes{};
    for (int round = 1; round <= kRounds; ++round) {
      for (const bool write : {true, false}) {
        for (std::size_t i = 0; i < kSlots; ++i) {
          const std::uint64_t lba = 1000 + i * (kSlotBytes / 512);
          if (write) {
            bytes[i] = 512 * (1 + random.below(kSlotBytes / 512));
            sim::stamp({out.data() + i * kSlotBytes, bytes[i]}, lba, round, seed);
          }
          iov[i] = {(write ? out : in).data() + i * kSlotBytes, bytes[i]};
          ASSERT_EQ(queue.submit(SimQueue::transfer(write ? POLLUX_WRITE : POLLUX_READ,
                                                    world.session_id(0), lba, &iov[i], 1,
                                                    write && i % 2 ? POLLUX_REGISTERED : 0)),
                    1);
        }
        for (std::size_t i = 0; i < kSlots; ++i) {
          const auto done = queue.wait(120s);
          ASSERT_EQ(done.result, 0);
          ASSERT_EQ(done.scsi_status, 0);
        }
        if (write) continue;
        for (std::size_t i = 0; i < kSlots; ++i)
          ASSERT_EQ(sim::wrong_blocks({in.data() + i * kSlotBytes, bytes[i]},
                                      1000 + i * (kSlotBytes / 512), round, seed),
                    0u);
      }
    }
  }
  world.wire.heal();
  EXPECT_TRUE(world.log_out(0));
  expect_at_rest(world);
}

TEST(IscsiSim, SeedsOverALossyWire) {
  const char* first_text = std::getenv("POLLUX_SIM_FIRST");
  const char* count_text = std::getenv("POLLUX_SIM_SEEDS");
  const std::uint64_t first = first_text != nullptr ? std::strtoull(first_text, nullptr, 10) : 1;
  const std::uint64_t count = count_text != nullptr ? std::strtoull(count_text, nullptr, 10) : 40;
  for (std::uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) run_seed(seed);
}

}  // namespace
}  // namespace pollux
