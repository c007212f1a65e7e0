// Two workers of an instance on one port, as a program uses them: on a wire with one queue and on a
// port of DPDK with two queues that knows no steering. Sessions on both workers log in, write, read
// back and log out, and every buffer is back in the end.
#include <gtest/gtest.h>
#include <pollux/pollux.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/tcp/counters.hpp"
#include "tests/support/api_calls.hpp"
#include "tests/support/disk_stamp.hpp"
#include "tests/target/lab.hpp"

namespace pollux {
namespace {

constexpr const char* kUrl = "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0";
constexpr std::uint16_t kMtu = 1500;

enum class Wire { one_queue, two_queues };

/// The target's end of a port with two queues: sends to either queue by turns, so half of the
/// frames arrive where they do not belong.
class Alternating final : public platform::Port {
 public:
  explicit Alternating(std::vector<std::unique_ptr<platform::DpdkPort>> queues)
      : queues_(std::move(queues)) {}
  [[nodiscard]] const platform::PortInfo& info() const noexcept override {
    return queues_.front()->info();
  }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override {
    receives_from_ = 1 - receives_from_;
    return queues_[receives_from_]->receive(segments);
  }
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override {
    std::size_t taken = 0;
    while (taken < segments.size()) {
      std::size_t count = 1;
      while ((segments[taken + count - 1].flags & platform::kTxMore) != 0) ++count;
      if (queues_[sends_to_]->transmit(segments.subspan(taken, count)) == 0) break;
      // Some frames in a row, so that TCP does not drown in reordering.
      if (++sent_ % 16 == 0) sends_to_ = 1 - sends_to_;
      taken += count;
    }
    return taken;
  }
  void reclaim() noexcept override {
    for (const auto& queue : queues_) queue->reclaim();
  }
  [[nodiscard]] platform::PortState check() noexcept override { return platform::PortState::up; }
  void shut() noexcept override {
    for (const auto& queue : queues_) queue->shut();
  }

 private:
  std::vector<std::unique_ptr<platform::DpdkPort>> queues_;
  std::size_t receives_from_ = 0;
  std::size_t sends_to_ = 0;
  std::uint64_t sent_ = 0;
};

/// Two DPDK ports of two queues each, back to back, and the embedded target at the far one.
class TwoQueueWire {
 public:
  void open() {
    std::array<rte_ring*, 4> rings{};
    for (std::size_t i = 0; i < rings.size(); ++i) {
      rings[i] = rte_ring_create(("two_workers" + std::to_string(i)).c_str(), 1024, SOCKET_ID_ANY,
                                 RING_F_SP_ENQ | RING_F_SC_DEQ);
      ASSERT_NE(rings[i], nullptr);
    }
    ASSERT_GE(rte_eth_from_rings("near", &rings[0], 2, &rings[2], 2, 0), 0);
    ASSERT_GE(rte_eth_from_rings("far", &rings[2], 2, &rings[0], 2, 0), 0);
    platform::DpdkMemoryOptions options;
    options.frame_buffers = 4096;
    options.rx_buffers = 512;
    options.external_buffers = 16384;
    options.trackers = 4096;
    std::string error;
    std::array<platform::DpdkPacketMemory*, 2> memories{};
    for (std::size_t i = 0; i < memories.size(); ++i) {
      memories_[i] = platform::DpdkPacketMemory::create(options, error);
      ASSERT_NE(memories_[i], nullptr) << error;
      // One thread turns both queues, so one memory serves both.
      memories[i] = memories_[0].get();
    }
    platform::OpenedQueues opened;
    platform::PortOptions port;
    port.name = "net_ring_far";
    ASSERT_TRUE(platform::open_queues(port, memories, 1, opened, error)) << error;
    ASSERT_EQ(opened.queues.size(), 2u);
    far_ = std::make_unique<Alternating>(std::move(opened.queues));
    target::LabThreadOptions thread;
    thread.target.interface.address = net::IpAddress::v4(10, 99, 0, 1);
    thread.on_start = [] {
      std::string ignored;
      static_cast<void>(platform::register_worker_thread(ignored));
    };
    thread.on_stop = [] { platform::unregister_worker_thread(); };
    target_ = std::make_unique<target::LabThread>(std::move(thread), *far_, *memories_[0],
                                                  platform::TscClock(platform::tsc_hz()));
    ASSERT_TRUE(target_->start());
  }
  void close() {
    target_->stop();
    EXPECT_EQ(target_->target().checks().total(), 0u) << target_->target().checks().first_text();
    target_.reset();
    far_.reset();
  }
  target::LabThread& target() { return *target_; }

 private:
  std::array<std::unique_ptr<platform::DpdkPacketMemory>, 2> memories_;
  std::unique_ptr<Alternating> far_;
  std::unique_ptr<target::LabThread> target_;
};

struct Case {
  Wire wire;
  pollux_poll_mode mode;
};

class TwoWorkers : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (GetParam().wire == Wire::two_queues) {
      // The instance finds the EAL and the port, as in a host program that brings both.
      platform::EalOptions eal;
      eal.instance = name_;
      eal.memory_mib = 512;
      std::string error;
      ASSERT_TRUE(platform::start_eal(eal, error)) << error;
      wire_.open();
      if (HasFatalFailure()) return;
    }
    library::OpenSetup setup;
    setup.config.instance = name_;
    setup.config.memory.hugepages = false;
    setup.config.worker.workers = 2;
    setup.config.worker.sessions_max = 8;
    setup.config.worker.queue_depth = 32;
    setup.config.logout.drain = service::Seconds{0.2};
    setup.config.login.timeout = service::Seconds{5};
    setup.config.ports = {
        {.name = "wire",
         .device = GetParam().wire == Wire::two_queues ? "net_ring_near" : "ring:wire",
         .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                       .prefix_length = 24,
                       .gateway = {}},
         .mtu = kMtu}};
    setup.poll_mode = GetParam().mode;
    setup.ring_ports = lab_.port_source();
    setup.ring_memory_mib = target::kLabMemoryMib;
    std::string error;
    ASSERT_EQ(library::open_instance(std::move(setup), instance_, error), POLLUX_OK) << error;
    ASSERT_EQ(pollux_worker_count(instance_), 2u);
  }
  void TearDown() override {
    if (instance_ != nullptr) pollux_close(instance_);
    if (GetParam().wire == Wire::two_queues) wire_.close();
  }
  void turn() {
    for (std::uint32_t i = 0; GetParam().mode == POLLUX_POLL_EMBEDDER && i < 2; ++i)
      pollux_worker_poll(instance_, i);
    if (GetParam().mode == POLLUX_POLL_LIBRARY) std::this_thread::yield();
  }
  pollux_completion run(pollux_queue* queue, const pollux_command& command) {
    pollux_completion completion{};
    completion.result = POLLUX_EAGAIN;
    if (pollux_queue_submit(queue, &command, 1) != 1) return completion;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      if (pollux_queue_reap(queue, &completion, 1) == 1) return completion;
      turn();
    }
    completion.result = POLLUX_ETIMEDOUT;
    return completion;
  }
  pollux_queue* make_queue(std::uint32_t worker) {
    return test::make_queue(instance_, test::queue_options(worker));
  }
  void write_and_read_back(pollux_queue* queue, pollux_session_id session, std::uint64_t lba) {
    std::vector<std::byte> out(GetParam().mode == POLLUX_POLL_LIBRARY ? 32 * 1024 : 256 * 1024);
    std::vector<std::byte> in(out.size());
    sim::stamp(out, lba, 1, 42);
    const iovec from{out.data(), out.size()};
    const iovec to{in.data(), in.size()};
    EXPECT_EQ(run(queue, test::transfer(POLLUX_WRITE, session, lba, from)).result, POLLUX_OK);
    EXPECT_EQ(run(queue, test::transfer(POLLUX_READ, session, lba, to)).result, POLLUX_OK);
    EXPECT_EQ(sim::wrong_blocks(in, lba, 1, 42), 0u);
  }

  std::string name_ = "two-workers-" + std::to_string(getpid());
  target::Lab lab_{{}};
  TwoQueueWire wire_;
  pollux_instance* instance_ = nullptr;
};

TEST_P(TwoWorkers, SessionsOnBothLogInDoTheirWorkAndLogOut) {
  std::array<std::size_t, 2> at_rest{};
  std::array<pollux_queue*, 2> queues{make_queue(0), make_queue(1)};
  for (int round = 0; round < 2; ++round) {
    std::vector<std::pair<std::uint32_t, pollux_session_id>> sessions;
    for (std::uint32_t i = 0; i < 6; ++i) {
      pollux_login_options options;
      pollux_login_options_init(&options);
      options.worker = i % 2;
      pollux_session_id session = 0;
      std::uint64_t lun = 0;
      pollux_error error{};
      ASSERT_EQ(pollux_login(instance_, kUrl, &options, &session, &lun, &error), POLLUX_OK)
          << error.message;
      sessions.emplace_back(i % 2, session);
    }
    // Threads that poll share the machine's CPUs with the target's: less of the same is enough.
    const int passes = GetParam().mode == POLLUX_POLL_LIBRARY ? 1 : 3;
    for (int pass = 0; pass < passes; ++pass)
      for (std::size_t i = 0; i < sessions.size(); ++i)
        write_and_read_back(queues[sessions[i].first], sessions[i].second,
                            1000 * (i + 1) + 600 * static_cast<std::size_t>(pass));
    for (const auto& [worker, session] : sessions) {
      pollux_error error{};
      EXPECT_EQ(pollux_logout(instance_, session, &error), POLLUX_OK) << error.message;
    }
    // TIME-WAIT is over after a second, and drivers have given everything back by then.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
    while (std::chrono::steady_clock::now() < end) turn();
    for (std::size_t i = 0; i < 2; ++i) {
      const auto& unit = *instance_->units[i];
      EXPECT_EQ(unit.worker->engine(0).open_connections(), 0u);
      const std::size_t in_use = unit.worker->counters().buffers_in_use.get() -
                                 unit.worker->interface(0).counters().buffers_cached.get();
      if (round == 0) at_rest[i] = in_use;
      EXPECT_LE(in_use, at_rest[i]) << "worker " << i;
    }
  }
  const worker::SharedPort& shared = *instance_->ports.front()->shared;
  std::uint64_t given = 0;
  std::uint64_t taken = 0;
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    given += shared.counters(i).given.get() + shared.counters(i).notices_given.get();
    taken += shared.counters(i).taken.get();
    dropped += shared.counters(i).dropped_no_buffer.get();
    EXPECT_EQ(instance_->units[i]->worker->engine(0).counters().dropped_no_connection.get(), 0u);
  }
  EXPECT_GT(given, 100u);
  EXPECT_EQ(given, taken + dropped);
  if (GetParam().wire == Wire::one_queue) {
    EXPECT_GT(shared.counters(1).relayed.get(), 100u);
    EXPECT_EQ(lab_.thread()->violations(), 0u);
  } else {
    // Both have a queue to send by, and both receive what is the other's.
    EXPECT_EQ(shared.counters(1).relayed.get(), 0u);
    EXPECT_GT(shared.counters(0).given.get(), 50u);
    EXPECT_GT(shared.counters(1).given.get(), 50u);
  }
  for (pollux_queue* queue : queues) {
    int result = POLLUX_EBUSY;
    for (int i = 0; i < 10'000'000 && (result = pollux_queue_destroy(queue)) == POLLUX_EBUSY; ++i)
      turn();
    EXPECT_EQ(result, POLLUX_OK);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Wires, TwoWorkers,
    ::testing::Values(Case{Wire::one_queue, POLLUX_POLL_LIBRARY},
                      Case{Wire::one_queue, POLLUX_POLL_EMBEDDER},
                      Case{Wire::two_queues, POLLUX_POLL_EMBEDDER}),
    [](const auto& param_info) {
      return std::string(param_info.param.wire == Wire::one_queue ? "OneQueue" : "TwoQueues") +
             (param_info.param.mode == POLLUX_POLL_LIBRARY ? "OwnThreads" : "Polled");
    });

}  // namespace
}  // namespace pollux

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  pollux::platform::stop_eal();
  return result;
}
