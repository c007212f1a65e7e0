// pollux.h as an application uses it, against the embedded target on a wire inside the process:
// both ways of polling, both ways of completing, every kind of memory, and every way to ask for too
// much.
#include "tests/unit/library/pollux_api.hpp"

#include <gtest/gtest.h>
#include <pollux/iscsierr.h>
#include <pollux/pollux.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/support/disk_stamp.hpp"

namespace pollux {
namespace {

TEST_P(PolluxApi, WritesAndReadsThroughEveryKindOfMemory) {
  const auto session = log_in();
  pollux_queue* queue = make_queue(32, 64 * KiB);
  std::uint64_t blocks = 0;
  std::uint32_t block_bytes = 0;
  ASSERT_EQ(pollux_capacity(instance_, session, 0, &blocks, &block_bytes, nullptr), POLLUX_OK);
  EXPECT_EQ(block_bytes, 512u);
  EXPECT_EQ(blocks, 64 * MiB / 512);

  const std::size_t bytes = 64 * KiB;
  std::unique_ptr<std::byte, decltype(&std::free)> memory{
      static_cast<std::byte*>(std::aligned_alloc(4096, bytes)), &std::free};
  pollux_region* region = nullptr;
  pollux_error error{};
  ASSERT_EQ(pollux_memory_register(instance_, memory.get(), bytes, &region, &error), POLLUX_OK)
      << error.message;
  std::vector<std::byte> plain(bytes);
  for (int round = 1; round <= 8; ++round) {
    const bool registered = round % 2 == 0;
    std::byte* source = registered ? memory.get() : plain.data();
    sim::stamp({source, bytes}, 64, round, 7);
    const iovec iov{source, bytes};
    auto done = run(
        queue, test::transfer(POLLUX_WRITE, session, 64, iov, registered ? POLLUX_REGISTERED : 0));
    ASSERT_EQ(done.result, POLLUX_OK);
    ASSERT_EQ(done.transferred, bytes);

    std::vector<std::byte> back(bytes);
    const iovec in{back.data(), bytes};
    done = run(queue, test::transfer(POLLUX_READ, session, 64, in));
    ASSERT_EQ(done.result, POLLUX_OK);
    EXPECT_EQ(sim::wrong_blocks(back, 64, round, 7), 0u);

    auto lent = test::transfer(POLLUX_READ, session, 64, in, POLLUX_LENT);
    lent.iov_count = 0;
    done = run(queue, lent);
    ASSERT_EQ(done.result, POLLUX_OK);
    std::size_t offset = 0;
    for (std::uint32_t i = 0; i < done.view_count; ++i) {
      std::memcpy(back.data() + offset, done.views[i].data, done.views[i].length);
      offset += done.views[i].length;
    }
    EXPECT_EQ(offset, bytes);
    EXPECT_EQ(sim::wrong_blocks(back, 64, round, 7), 0u);
    // Any thread may give it back.
    std::thread([&done] { pollux_release(done.lent); }).join();
  }
  destroy(queue);
  int unregistered = POLLUX_EBUSY;
  for (int i = 0; i < 10'000'000 && unregistered == POLLUX_EBUSY; ++i) {
    unregistered = pollux_memory_unregister(region);
    turn();
  }
  EXPECT_EQ(unregistered, POLLUX_OK);
  EXPECT_EQ(pollux_logout(instance_, session, &error), POLLUX_OK) << error.message;
}

TEST_P(PolluxApi, SaysForHowLongAWorkerNeedsNoTurn) {
  if (GetParam() == POLLUX_POLL_LIBRARY) {
    EXPECT_EQ(pollux_worker_idle_ns(instance_, 0), POLLUX_EINVAL);
    return;
  }
  EXPECT_EQ(pollux_worker_idle_ns(instance_, 1), POLLUX_EINVAL);
  const auto session = log_in();
  pollux_queue* queue = make_queue();
  std::vector<std::byte> data(4 * KiB);
  const iovec iov{data.data(), data.size()};
  const auto command = test::transfer(POLLUX_READ, session, 0, iov);
  // The control thread tells the worker of a new queue, on a busy machine long after it was made;
  // until then its commands are nothing the worker knows of. One that has ended shows it knows.
  ASSERT_EQ(run(queue, command).result, POLLUX_OK);
  // Both leave timers behind, of acknowledgments and frames not yet given back: soon none.
  std::int64_t idle = 0;
  for (int i = 0; i < 10'000'000 && idle < 100'000'000; ++i) {
    if (pollux_worker_poll(instance_, 0) == 0) idle = pollux_worker_idle_ns(instance_, 0);
  }
  EXPECT_GE(idle, 100'000'000);
  ASSERT_EQ(pollux_queue_submit(queue, &command, 1), 1);
  pollux_worker_poll(instance_, 0);
  EXPECT_EQ(pollux_worker_idle_ns(instance_, 0), 0);
  EXPECT_EQ(wait(queue).result, POLLUX_OK);
  destroy(queue);
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
}

TEST_P(PolluxApi, LogsInAndMovesDataOverIpv6) {
  const auto session = log_in("iscsi://[fd99::1]:3260/iqn.2026-01.org.pollux:disk/0");
  pollux_queue* queue = make_queue(8);
  std::vector<std::byte> out(64 * KiB);
  std::vector<std::byte> back(out.size());
  sim::stamp(out, 64, 3, 6);
  const iovec write_from{out.data(), out.size()};
  const iovec read_to{back.data(), back.size()};
  for (const pollux_command& command : {test::transfer(POLLUX_WRITE, session, 64, write_from),
                                        test::transfer(POLLUX_READ, session, 64, read_to)}) {
    ASSERT_EQ(run(queue, command).result, POLLUX_OK);
  }
  EXPECT_EQ(sim::wrong_blocks(back, 64, 3, 6), 0u);
  destroy(queue);
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
}

TEST_P(PolluxApi, CallbacksRunOnlyInsideProcessAndMaySubmit) {
  const auto session = log_in();
  pollux_queue* queue = make_queue(8);
  struct State {
    pollux_queue* queue;
    pollux_command command;
    std::vector<std::byte> memory = std::vector<std::byte>(4096);
    iovec iov{};
    std::thread::id caller;
    int left = 100;
    int done = 0;
  } state;
  state.queue = queue;
  state.iov = {state.memory.data(), state.memory.size()};
  state.command = test::transfer(POLLUX_READ, session, 0, state.iov);
  state.command.context = &state;
  state.command.callback = [](void* context, const pollux_completion* completion) {
    auto& self = *static_cast<State*>(context);
    EXPECT_EQ(completion->result, POLLUX_OK);
    EXPECT_EQ(std::this_thread::get_id(), self.caller);
    ++self.done;
    if (self.left > 0) {
      --self.left;
      EXPECT_EQ(pollux_queue_submit(self.queue, &self.command, 1), 1);
    }
  };
  state.caller = std::this_thread::get_id();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(pollux_queue_submit(queue, &state.command, 1), 1);
  for (int i = 0; i < 50'000'000 && state.done < 104; ++i) {
    const int before = state.done;
    turn();
    EXPECT_EQ(state.done, before) << "a callback ran outside pollux_queue_process()";
    pollux_queue_process(queue, 16);
  }
  EXPECT_EQ(state.done, 104);
  destroy(queue);
}

TEST_P(PolluxApi, SubmitTakesNoMoreThanTheDepthAndRefusesMalformedCommands) {
  const auto session = log_in();
  pollux_queue* queue = make_queue(4);
  std::vector<std::byte> memory(4096);
  const iovec iov{memory.data(), memory.size()};
  const pollux_command good = test::transfer(POLLUX_READ, session, 0, iov);
  const std::vector<pollux_command> many(10, good);
  EXPECT_EQ(pollux_queue_submit(queue, many.data(), 10), 4);
  EXPECT_EQ(pollux_queue_submit(queue, many.data(), 10), 0);
  EXPECT_EQ(pollux_queue_destroy(queue), POLLUX_EBUSY);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(wait(queue).result, POLLUX_OK);

  const auto refused = [&](auto&& change) {
    pollux_command bad = good;
    change(bad);
    return pollux_queue_submit(queue, &bad, 1);
  };
  EXPECT_EQ(refused([](auto& c) { c.opcode = 99; }), POLLUX_EINVAL);
  EXPECT_EQ(refused([](auto& c) { c.length = 512; }), POLLUX_EINVAL);
  EXPECT_EQ(refused([](auto& c) { c.iov = nullptr; }), POLLUX_EINVAL);
  EXPECT_EQ(refused([](auto& c) { c.block_count = 0; }), POLLUX_EINVAL);
  EXPECT_EQ(refused([](auto& c) { c.flags = POLLUX_LENT; }), POLLUX_EINVAL);
  EXPECT_EQ(refused([](auto& c) {
              c.opcode = POLLUX_WRITE;
              c.flags = POLLUX_REGISTERED;
            }),
            POLLUX_EINVAL)
      << "memory that is not registered";
  EXPECT_EQ(refused([](auto& c) {
              c.opcode = POLLUX_SCSI;
              c.cdb_length = 7;
            }),
            POLLUX_EINVAL);
  // The good ones before a malformed one are taken.
  std::vector<pollux_command> mixed(3, good);
  mixed[2].opcode = 99;
  EXPECT_EQ(pollux_queue_submit(queue, mixed.data(), 3), 2);
  EXPECT_EQ(wait(queue).result, POLLUX_OK);
  EXPECT_EQ(wait(queue).result, POLLUX_OK);
  destroy(queue);
}

TEST_P(PolluxApi, LoginErrorsNameThePortalAndTheReason) {
  pollux_session_id session = 0;
  pollux_error error{};
  EXPECT_EQ(pollux_login(instance_, "iscsi://10.99.0.1/iqn.2026-01.org.pollux:other/0", nullptr,
                         &session, nullptr, &error),
            POLLUX_ELOGIN);
  EXPECT_EQ(error.status, std::uint32_t{ISDSC_NOT_FOUND});
  EXPECT_NE(std::string(error.message).find("10.99.0.1:3260"), std::string::npos) << error.message;
  EXPECT_EQ(pollux_login(instance_, "iscsi://10.99.0.1:3999/iqn.2026-01.org.pollux:disk/0", nullptr,
                         &session, nullptr, &error),
            POLLUX_ECONNECT);
  EXPECT_NE(std::string(error.message).find("10.99.0.1:3999"), std::string::npos) << error.message;
  EXPECT_EQ(pollux_login(instance_, "http://10.99.0.1/", nullptr, &session, nullptr, &error),
            POLLUX_EINVAL);
  EXPECT_EQ(pollux_login(instance_, "iscsi://10.99.0.1", nullptr, &session, nullptr, &error),
            POLLUX_EINVAL);
  EXPECT_EQ(session, 0u);
  EXPECT_EQ(pollux_logout(instance_, 0x123, &error), POLLUX_ENOSESSION);
}

TEST_P(PolluxApi, LoggedOutSessionRefusesCommandsAndIsNeverAnother) {
  const auto first = log_in();
  ASSERT_EQ(pollux_logout(instance_, first, nullptr), POLLUX_OK);
  const auto second = log_in();
  EXPECT_NE(first, second);
  pollux_queue* queue = make_queue();
  std::vector<std::byte> memory(512);
  const iovec iov{memory.data(), memory.size()};
  EXPECT_EQ(run(queue, test::transfer(POLLUX_READ, first, 0, iov)).result, POLLUX_ENOSESSION);
  EXPECT_EQ(run(queue, test::transfer(POLLUX_READ, second, 0, iov)).result, POLLUX_OK);
  destroy(queue);
}

TEST_P(PolluxApi, RefusesMoreQueuesThanAWorkerHas) {
  std::vector<pollux_queue*> queues;
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  options.depth = 2;
  pollux_queue* queue = nullptr;
  pollux_error error{};
  // The control thread may have some of its own.
  int result = POLLUX_OK;
  for (int i = 0;
       i < 100 && (result = pollux_queue_create(instance_, &options, &queue, &error)) == POLLUX_OK;
       ++i)
    queues.push_back(queue);
  EXPECT_EQ(result, POLLUX_ENOMEM);
  EXPECT_NE(std::string(error.message).find("64 queues"), std::string::npos) << error.message;
  const auto session = log_in();  // the worker is alive
  EXPECT_EQ(pollux_logout(instance_, session, nullptr), POLLUX_OK);
  for (pollux_queue* each : queues) destroy(each);
  destroy(make_queue());
}

TEST_P(PolluxApi, RefusesListsWhoseLengthsWrapAndQueuesLargerThanMemory) {
  const auto session = log_in();
  pollux_queue* queue = make_queue(4);
  std::vector<std::byte> memory(4096);
  const std::array<iovec, 2> wrapping{iovec{memory.data(), SIZE_MAX - 511},
                                      iovec{memory.data(), 4096 + 512}};
  pollux_command command =
      test::transfer(POLLUX_READ, session, 0, iovec{memory.data(), memory.size()});
  command.iov = wrapping.data();
  command.iov_count = 2;
  EXPECT_EQ(pollux_queue_submit(queue, &command, 1), POLLUX_EINVAL);
  destroy(queue);
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  options.depth = 4096;
  options.lent_read_bytes_max = 64 * MiB;
  EXPECT_EQ(pollux_queue_create(instance_, &options, &queue, nullptr), POLLUX_ENOMEM);
}

TEST_P(PolluxApi, OtherThreadsMayWaitWhileOneThreadPolls) {
  // As when a ring client's benchmark gives its queue back.
  log_in();
  std::atomic<bool> done{false};
  pollux_queue* queue = make_queue();
  std::thread other([&] {
    while (pollux_queue_destroy(queue) == POLLUX_EBUSY) std::this_thread::yield();
    done = true;
  });
  while (!done) turn();
  other.join();
}

TEST_P(PolluxApi, BlockingCallsTakeOverFromAThreadThatNoLongerPolls) {
  pollux_session_id session = 0;
  std::thread([&] { session = log_in(); }).join();
  ASSERT_NE(session, 0u);
  pollux_error error{};
  EXPECT_EQ(pollux_logout(instance_, session, &error), POLLUX_OK) << error.message;
}

TEST_P(PolluxApi, OneTurnAtATimeWhoeverPolls) {
  if (GetParam() != POLLUX_POLL_EMBEDDER) GTEST_SKIP() << "the library polls";
  instance_->units[0]->in_turn = true;  // as while another thread is inside a turn
  const std::uint64_t turns = instance_->units[0]->worker->counters().turns.get();
  EXPECT_EQ(pollux_worker_poll(instance_, 0), 0);
  EXPECT_EQ(instance_->units[0]->worker->counters().turns.get(), turns);
  instance_->units[0]->in_turn = false;
  pollux_worker_poll(instance_, 0);
  EXPECT_EQ(instance_->units[0]->worker->counters().turns.get(), turns + 1);
}

TEST_P(PolluxApi, RegionsAreRegisteredAndUnregisteredWhileOthersSubmit) {
  constexpr std::size_t kBytes = 4096;
  const auto make = [] {
    return std::unique_ptr<std::byte, decltype(&std::free)>{
        static_cast<std::byte*>(std::aligned_alloc(kBytes, kBytes)), &std::free};
  };
  const auto stays = make();
  const auto comes_and_goes = make();
  pollux_region* first = nullptr;
  pollux_region* second = nullptr;
  ASSERT_EQ(pollux_memory_register(instance_, comes_and_goes.get(), kBytes, &second, nullptr),
            POLLUX_OK);
  ASSERT_EQ(pollux_memory_register(instance_, stays.get(), kBytes, &first, nullptr), POLLUX_OK);
  std::atomic<bool> stop{false};
  std::thread looks([&] {
    while (!stop) EXPECT_TRUE(instance_->lies_in_region({stays.get(), kBytes}));
  });
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(pollux_memory_unregister(second), POLLUX_OK);
    EXPECT_FALSE(instance_->lies_in_region({comes_and_goes.get(), kBytes}));
    EXPECT_EQ(pollux_memory_register(instance_, comes_and_goes.get(), kBytes, &second, nullptr),
              POLLUX_OK);
  }
  stop = true;
  looks.join();
  // Both are still registered when the instance closes: it lets go of them.
}

INSTANTIATE_TEST_SUITE_P(Polling, PolluxApi,
                         testing::Values(POLLUX_POLL_LIBRARY, POLLUX_POLL_EMBEDDER), &name_of_mode);

TEST(PolluxOpen, SaysWhatIsWrongWithTheConfiguration) {
  pollux_options options;
  pollux_options_init(&options);
  pollux_instance* instance = nullptr;
  pollux_error error{};
  options.config_text = "instance = 5\n";
  EXPECT_EQ(pollux_open(&options, &instance, &error), POLLUX_ECONFIG);
  EXPECT_NE(std::string(error.message).find("instance"), std::string::npos) << error.message;
  options.config_text = nullptr;
  options.config_path = "/nonexistent/pollux.toml";
  EXPECT_EQ(pollux_open(&options, &instance, &error), POLLUX_ECONFIG);
  EXPECT_NE(std::string(error.message).find("/nonexistent/pollux.toml"), std::string::npos)
      << error.message;
  options.size = 3;
  EXPECT_EQ(pollux_open(&options, &instance, &error), POLLUX_EINVAL);
  EXPECT_EQ(instance, nullptr);
}

/// Gives back the lock and the directory that DPDK keeps for the process.
class EndOfEal final : public testing::Environment {
  void TearDown() override { platform::stop_eal(); }
};
[[maybe_unused]] const auto* const kEndOfEal = testing::AddGlobalTestEnvironment(new EndOfEal);

}  // namespace
}  // namespace pollux
