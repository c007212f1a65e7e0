// Client processes that are killed at any moment: nobody else notices, and the service's
// descriptors and mappings return to what they were. The binary is its own victim: see main.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>
#include <random>

#include "tests/unit/ring/echo_service.hpp"

extern char** environ;

namespace pollux::ring::testing {
namespace {

std::size_t descriptor_count() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

std::size_t region_count() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:pollux-ring") != std::string::npos) ++count;
  }
  return count;
}

pid_t start_victim(const std::string& path) {
  std::string program = "/proc/self/exe";
  std::string flag = "--ring-victim";
  std::string socket_path = path;
  char* arguments[] = {program.data(), flag.data(), socket_path.data(), nullptr};
  pid_t child = -1;
  EXPECT_EQ(::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ), 0);
  return child;
}

TEST_F(RingTest, AClientKilledAtAnyMomentCostsNobodyAnything) {
  start();
  pollux_client* honest = open();
  ASSERT_TRUE(echoes(honest, 100, 0));
  const std::size_t descriptors = descriptor_count();
  const std::size_t regions = region_count();
  std::mt19937 random(7);
  int survived = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t victim = start_victim(options_.socket_path);
    // From before its handshake to the middle of its traffic.
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 15000);
    do {
      survived += echoes(honest, 1 + random() % 3000, static_cast<unsigned>(round)) ? 1 : 0;
    } while (std::chrono::steady_clock::now() < end);
    ASSERT_EQ(::kill(victim, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(victim, &status, 0), victim);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the victim ended by itself: " << status;
  }
  EXPECT_GT(survived, 60);
  EXPECT_TRUE(eventually([&] { return service_->seen().clients == 1; }));
  EXPECT_TRUE(eventually([&] { return descriptor_count() == descriptors; })) << descriptor_count();
  EXPECT_EQ(region_count(), regions);
  const EchoService::Seen seen = service_->seen();
  EXPECT_GT(seen.gone, 5u) << "some victims got past the handshake";
  EXPECT_EQ(seen.held, 0u);
  EXPECT_EQ(seen.counters.channels_broken, 0u);
  pollux_client_close(honest);
}

// Keeps every kind of traffic going until it is killed.
int be_a_victim(const char* path) {
  pollux_client_options options;
  pollux_client_options_init(&options);
  options.socket_path = path;
  options.command_slots = 32;
  pollux_client* client = nullptr;
  if (pollux_client_open(&options, &client, nullptr, 0) != 0) return 3;
  static unsigned char in[20000];
  static unsigned char out[32][20000];
  for (std::uint64_t count = 0;; ++count) {
    pollux_client_command command{};
    command.size = sizeof command;
    command.opcode = count % 7 == 0 ? kHold : kEcho;
    command.input = in;
    command.input_bytes = static_cast<std::uint32_t>(count * 997 % sizeof in);
    command.output = out[count % 32];
    command.output_bytes = sizeof out[0];
    std::uint64_t tag = 0;
    const int result = pollux_client_submit(client, &command, &tag);
    if (result == POLLUX_ESERVICE) return 4;
    if (count % 14 == 0 && result == 0) pollux_client_cancel(client, tag);
    pollux_client_completion completions[8];
    if (pollux_client_reap(client, completions, 8) < 0) return 5;
    if (result == POLLUX_EAGAIN) pollux_client_wait(client, 1);
  }
}

}  // namespace
}  // namespace pollux::ring::testing

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--ring-victim") == 0) {
    return pollux::ring::testing::be_a_victim(argv[2]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
