// Client and service over a real ring: answers, sizes, cancelling, deadlines, rights, sleeping,
// endings.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/ring/echo_service.hpp"

namespace pollux::ring::testing {
namespace {

TEST_F(RingTest, EchoesEverySizeUpToTheLimit) {
  start();
  pollux_client* client = open(0, 4u << 20);
  for (const std::size_t bytes : {0, 1, 7, 8, 64, 4096, 65537, 1 << 20}) {
    EXPECT_TRUE(echoes(client, bytes, 3)) << bytes;
  }
  pollux_client_close(client);
}

TEST_F(RingTest, ReportsTheSizeThatIsNeededAndTheRetrySucceeds) {
  start();
  pollux_client* client = open();
  char in[100] = {42};
  char out[100];
  std::size_t length = 0;
  EXPECT_EQ(pollux_client_call(client, kEcho, in, 100, out, 99, &length, 1000), POLLUX_ETOOSMALL);
  EXPECT_EQ(length, 100u);
  EXPECT_EQ(pollux_client_call(client, kEcho, in, 100, out, length, &length, 1000), 0);
  EXPECT_EQ(std::memcmp(in, out, 100), 0);
  // Less room than the fixed part: refused before the operation sees it.
  EXPECT_EQ(pollux_client_call(client, kSum, in, 100, out, 7, &length, 1000), POLLUX_ETOOSMALL);
  EXPECT_EQ(length, 8u);
  pollux_client_close(client);
}

TEST_F(RingTest, RefusesWhatIsNotAnOperationOrTooShort) {
  start();
  pollux_client* client = open();
  char buffer[64] = {};
  EXPECT_EQ(pollux_client_call(client, 999, nullptr, 0, nullptr, 0, nullptr, 1000), POLLUX_ENOTSUP);
  EXPECT_EQ(pollux_client_call(client, kSum, buffer, 7, buffer, 8, nullptr, 1000), POLLUX_EINVAL);
  EXPECT_EQ(pollux_client_call(client, POLLUX_RING_OP_NOP, nullptr, 0, nullptr, 0, nullptr, 1000),
            0);
  EXPECT_EQ(
      pollux_client_call(client, kEcho, buffer, std::size_t{1} << 40, buffer, 8, nullptr, 1000),
      POLLUX_ETOOLARGE);
  EXPECT_EQ(pollux_client_call(client, kEcho, nullptr, 8, buffer, 8, nullptr, 1000), POLLUX_EINVAL);
  pollux_client_close(client);
}

TEST_F(RingTest, PassesTheDeadlineOn) {
  start();
  pollux_client* client = open();
  std::uint32_t deadline_ms = 0;
  EXPECT_EQ(pollux_client_call(client, kDeadline, nullptr, 0, &deadline_ms, 4, nullptr, 1234), 0);
  EXPECT_EQ(deadline_ms, 1234u);
  pollux_client_close(client);
}

TEST_F(RingTest, CancelsExactlyTheCommandThatIsMeant) {
  start();
  pollux_client* client = open();
  pollux_client_command hold{};
  hold.size = sizeof hold;
  hold.opcode = kHold;
  std::uint64_t tags[2];
  for (int index = 0; index < 2; ++index) {
    hold.user_data = static_cast<std::uint64_t>(index) + 10;
    ASSERT_EQ(pollux_client_submit(client, &hold, &tags[index]), 0);
  }
  EXPECT_EQ(pollux_client_wait(client, 20), 0);
  EXPECT_EQ(pollux_client_cancel(client, tags[1]), 0);
  ASSERT_EQ(pollux_client_wait(client, 2000), 1);
  pollux_client_completion completions[4];
  ASSERT_EQ(pollux_client_reap(client, completions, 4), 1);
  EXPECT_EQ(completions[0].tag, tags[1]);
  EXPECT_EQ(completions[0].user_data, 11u);
  EXPECT_EQ(completions[0].ring_status, static_cast<std::uint32_t>(POLLUX_RING_CANCELLED));
  EXPECT_EQ(pollux_client_cancel(client, tags[1]), POLLUX_ENOTFOUND);
  EXPECT_EQ(service_->seen().held, 1u);
  pollux_client_close(client);
}

TEST_F(RingTest, ACallThatTimesOutCancelsAndLeavesTheBufferAlone) {
  start();
  pollux_client* client = open();
  char out[8] = {7};
  EXPECT_EQ(pollux_client_call(client, kHold, nullptr, 0, out, 8, nullptr, 10), POLLUX_ETIMEDOUT);
  EXPECT_TRUE(eventually([&] { return service_->seen().held == 0; }));
  EXPECT_EQ(out[0], 7);
  EXPECT_TRUE(echoes(client, 100, 1));
  pollux_client_close(client);
}

TEST_F(RingTest, AFullClientIsToldAndCanStillCancel) {
  start();
  pollux_client* client = open(8);
  pollux_client_command hold{};
  hold.size = sizeof hold;
  hold.opcode = kHold;
  std::vector<std::uint64_t> tags;
  std::uint64_t tag = 0;
  while (pollux_client_submit(client, &hold, &tag) == 0) tags.push_back(tag);
  EXPECT_EQ(tags.size(), 7u);
  for (const std::uint64_t each : tags) {
    int result = 0;
    eventually([&] {
      pollux_client_completion completion;
      pollux_client_reap(client, &completion, 0);
      return (result = pollux_client_cancel(client, each)) != POLLUX_EAGAIN;
    });
    EXPECT_EQ(result, 0);
  }
  std::size_t reaped = 0;
  EXPECT_TRUE(eventually([&] {
    pollux_client_completion completions[8];
    const int count = pollux_client_reap(client, completions, 8);
    reaped += static_cast<std::size_t>(count);
    return reaped == tags.size();
  }));
  EXPECT_TRUE(echoes(client, 10, 1));
  pollux_client_close(client);
}

TEST_F(RingTest, ManyCommandsInFlightAllComeBackOnceAndWhole) {
  start();
  pollux_client* client = open(64, 1u << 20);
  constexpr std::uint64_t kCount = 20000;
  std::vector<std::uint64_t> in(64);
  std::vector<std::uint64_t> out(64);
  std::vector<bool> is_back(kCount);
  std::vector<std::size_t> vacant;
  for (std::size_t index = 0; index < 63; ++index) vacant.push_back(index);
  std::uint64_t submitted = 0;
  std::uint64_t completed = 0;
  while (completed < kCount) {
    while (submitted < kCount && !vacant.empty()) {
      const std::size_t place = vacant.back();
      in[place] = submitted;
      const pollux_client_command command{.size = sizeof command,
                                          .opcode = kEcho,
                                          .deadline_ms = 0,
                                          .input = &in[place],
                                          .output = &out[place],
                                          .input_bytes = 8,
                                          .output_bytes = 8,
                                          .user_data = place};
      if (pollux_client_submit(client, &command, nullptr) != 0) break;
      vacant.pop_back();
      ++submitted;
    }
    ASSERT_EQ(pollux_client_wait(client, 5000), 1) << completed;
    pollux_client_completion completions[16];
    const int count = pollux_client_reap(client, completions, 16);
    for (int index = 0; index < count; ++index) {
      const std::uint64_t value = out[completions[index].user_data];
      ASSERT_LT(value, kCount);
      ASSERT_FALSE(is_back[value]);
      is_back[value] = true;
      vacant.push_back(completions[index].user_data);
      ++completed;
    }
  }
  pollux_client_close(client);
}

TEST_F(RingTest, SeveralClientsAtOnceGetTheirOwnAnswers) {
  start();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (unsigned client_index = 0; client_index < 4; ++client_index) {
    threads.emplace_back([&, client_index] {
      pollux_client* client = open();
      for (unsigned round = 0; round < 500; ++round) {
        if (echoes(client, 1 + (round * 37) % 5000, client_index * 1000 + round)) ++good;
      }
      pollux_client_close(client);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 2000);
  EXPECT_TRUE(eventually([&] { return service_->seen().clients == 0; }));
}

TEST_F(RingTest, NoWakeUpIsLostBetweenTwoSleepers) {
  start();
  pollux_client_options options;
  pollux_client_options_init(&options);
  options.socket_path = options_.socket_path.c_str();
  options.spin_us = 0;
  pollux_client* client = nullptr;
  ASSERT_EQ(pollux_client_open(&options, &client, nullptr, 0), 0);
  const auto start_time = std::chrono::steady_clock::now();
  for (unsigned round = 0; round < 2000; ++round) {
    ASSERT_TRUE(echoes(client, 8, round));
    // Around the service's spin of 50 microseconds, so that commands fall into its going to sleep.
    const auto pause = std::chrono::microseconds(round % 120);
    const auto end = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  // Each lost one would cost the 20 ms of the service's bound.
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, std::chrono::seconds(4));
  pollux_client_close(client);
}

TEST_F(RingTest, AnEventLoopCanSleepOnTheDescriptor) {
  start();
  pollux_client* client = open();
  for (int round = 0; round < 50; ++round) {
    pollux_client_command nop{};
    nop.size = sizeof nop;
    nop.opcode = POLLUX_RING_OP_NOP;
    ASSERT_EQ(pollux_client_submit(client, &nop, nullptr), 0);
    // At most one ring of the round before may still be under way.
    int reaped = 0;
    for (int wakes = 0; wakes < 2 && reaped == 0; ++wakes) {
      const int armed = pollux_client_arm(client);
      ASSERT_GE(armed, 0);
      pollfd readable{.fd = pollux_client_fd(client), .events = POLLIN, .revents = 0};
      if (armed == 0) {
        ASSERT_EQ(::poll(&readable, 1, 2000), 1);
      }
      pollux_client_completion completion;
      reaped = pollux_client_reap(client, &completion, 1);
    }
    ASSERT_EQ(reaped, 1);
  }
  pollux_client_close(client);
}

TEST_F(RingTest, ADeadServiceIsNoticedByEveryKindOfWait) {
  start();
  pollux_client* client = open();
  pollux_client_command hold{};
  hold.size = sizeof hold;
  hold.opcode = kHold;
  ASSERT_EQ(pollux_client_submit(client, &hold, nullptr), 0);
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    service_.reset();
  });
  EXPECT_EQ(pollux_client_wait(client, 10000), POLLUX_ESERVICE);
  killer.join();
  EXPECT_EQ(pollux_client_call(client, kEcho, nullptr, 0, nullptr, 0, nullptr, 10000),
            POLLUX_ESERVICE);
  pollux_client_completion completion;
  EXPECT_EQ(pollux_client_reap(client, &completion, 1), POLLUX_ESERVICE);
  pollux_client_close(client);
}

TEST_F(RingTest, NobodyListeningIsSaidInWords) {
  pollux_client_options options;
  pollux_client_options_init(&options);
  options.socket_path = options_.socket_path.c_str();
  pollux_client* client = nullptr;
  char reason[256];
  EXPECT_EQ(pollux_client_open(&options, &client, reason, sizeof reason), POLLUX_ESERVICE);
  EXPECT_NE(std::string(reason).find(options_.socket_path), std::string::npos);
  options.socket_path = nullptr;
  options.instance = "../evil";
  EXPECT_EQ(pollux_client_open(&options, &client, reason, sizeof reason), POLLUX_EINVAL);
  EXPECT_EQ(client, nullptr);
}

TEST_F(RingTest, ASecondServiceIsRefusedAndADeadOnesSocketReplaced) {
  start();
  EXPECT_FALSE(Server::listen(options_).is_ok());
  service_.reset();
  // What a killed service leaves: a socket nobody listens on.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, options_.socket_path.c_str());
  const int stale = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
  ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(stale);
  start();
  pollux_client* client = open();
  EXPECT_TRUE(echoes(client, 10, 1));
  pollux_client_close(client);
  service_.reset();
  EXPECT_TRUE(std::filesystem::is_empty(directory_)) << "socket and lock are gone";
}

TEST_F(RingTest, TellsClientsBeyondTheLimitWhy) {
  options_.client_limit = 2;
  start();
  pollux_client* first = open();
  pollux_client* second = open();
  pollux_client_options options;
  pollux_client_options_init(&options);
  options.socket_path = options_.socket_path.c_str();
  pollux_client* third = nullptr;
  char reason[256];
  EXPECT_EQ(pollux_client_open(&options, &third, reason, sizeof reason), POLLUX_EAGAIN);
  EXPECT_NE(std::string(reason).find("2 clients"), std::string::npos) << reason;
  pollux_client_close(first);
  EXPECT_TRUE(eventually([&] { return service_->seen().clients == 1; }));
  first = open();
  EXPECT_TRUE(echoes(first, 10, 1));
  pollux_client_close(first);
  pollux_client_close(second);
}

// Runs `body` in a child with another user and group; returns its exit code.
template <typename Body>
int as_user(uid_t uid, gid_t gid, Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(gid) != 0 || ::setuid(uid) != 0) ::_exit(99);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int open_code(const char* path, std::uint32_t opcode) {
  pollux_client_options options;
  pollux_client_options_init(&options);
  options.socket_path = path;
  pollux_client* client = nullptr;
  if (const int result = pollux_client_open(&options, &client, nullptr, 0); result != 0)
    return -result;
  const int result = pollux_client_call(client, opcode, nullptr, 0, nullptr, 0, nullptr, 2000);
  pollux_client_close(client);
  return -result;
}

TEST_F(RingTest, MonitorsMayLookAndNotManageAndStrangersMayNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  ::chmod(directory_.c_str(), 0755);
  options_.manage_group = "61001";
  options_.monitor_group = "61002";
  start();
  const char* path = options_.socket_path.c_str();
  EXPECT_EQ(as_user(61000, 61001, [&] { return open_code(path, kEcho); }), 0);
  EXPECT_EQ(as_user(61000, 61002, [&] { return open_code(path, kLook); }), 0);
  EXPECT_EQ(as_user(61000, 61002, [&] { return open_code(path, kEcho); }), -POLLUX_EACCES);
  EXPECT_EQ(as_user(61000, 61003, [&] { return open_code(path, kLook); }), -POLLUX_EACCES);
}

TEST(AccessPolicy, GroupsGiveWhatTheyAreFor) {
  const AccessPolicy policy{.owner = 1000, .manage_group = 10, .monitor_group = 20};
  EXPECT_EQ(policy.access_of({.pid = 1, .uid = 0, .groups = {}}), Access::manage);
  EXPECT_EQ(policy.access_of({.pid = 1, .uid = 1000, .groups = {}}), Access::manage);
  EXPECT_EQ(policy.access_of({.pid = 1, .uid = 5, .groups = {7, 10}}), Access::manage);
  EXPECT_EQ(policy.access_of({.pid = 1, .uid = 5, .groups = {20}}), Access::monitor);
  EXPECT_EQ(policy.access_of({.pid = 1, .uid = 5, .groups = {30}}), Access::none);
  EXPECT_FALSE(group_id("no-such-group-here").is_ok());
}

}  // namespace
}  // namespace pollux::ring::testing
