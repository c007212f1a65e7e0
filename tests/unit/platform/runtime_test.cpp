// Starting DPDK: what a user is told, and what happens the second time.

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/external_memory.hpp"
#include "dataplane/platform/instance_lock.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/unit/platform/eal.hpp"

namespace pollux::platform {
namespace {

const auto* const environment = ::testing::AddGlobalTestEnvironment(new test::EalEnvironment);

TEST(Runtime, SecondStartFindsTheFirst) {
  std::string error;
  EXPECT_TRUE(start_eal({}, error)) << error;
}

TEST(Runtime, WorkerThreadsRegisterAndLeave) {
  for (int round = 0; round < 3; ++round) {
    std::thread([] {
      std::string error;
      EXPECT_TRUE(register_worker_thread(error)) << error;
      EXPECT_TRUE(register_worker_thread(error)) << error;
      unregister_worker_thread();
    }).join();
  }
}

TEST(Runtime, MainThreadStaysKnownToDpdk) {
  unregister_worker_thread();
  std::string error;
  EXPECT_TRUE(register_worker_thread(error));
}

TEST(Runtime, InstanceHasOneOwner) {
  const std::string name = "unit-lock-" + std::to_string(::getpid());
  InstanceLock first;
  std::string error;
  ASSERT_TRUE(first.acquire(name, error)) << error;
  InstanceLock second;
  EXPECT_FALSE(second.acquire(name, error));
  EXPECT_NE(error.find("owned by process " + std::to_string(::getpid())), std::string::npos)
      << error;
  first.release();
  EXPECT_TRUE(second.acquire(name, error)) << error;
}

TEST(Runtime, ClockFollowsTheSystem) {
  ASSERT_GT(tsc_hz(), 100'000'000U);
  const TscClock clock(tsc_hz());
  const Instant before = clock.now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const Duration passed = clock.now() - before;
  EXPECT_GE(passed, 19ms);
  EXPECT_LT(passed, 2s);
  // Ten years of cycles still convert without overflow.
  const std::uint64_t decade = tsc_hz() * 86'400ULL * 3653ULL;
  const std::uint64_t now = TscClock::cycles();
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(clock.at(now + decade) - clock.at(now));
  EXPECT_NEAR(static_cast<double>(seconds.count()), 86'400.0 * 3653.0, 2.0);
}

TEST(Runtime, ExternalMemoryMustBePages) {
  std::string error;
  alignas(4096) static std::byte pages[8192];
  EXPECT_FALSE(register_external_memory(pages + 1, 4096, error));
  EXPECT_FALSE(register_external_memory(pages, 100, error));
  EXPECT_FALSE(error.empty());
  ASSERT_TRUE(register_external_memory(pages, sizeof(pages), error)) << error;
  EXPECT_FALSE(register_external_memory(pages, sizeof(pages), error));
  unregister_external_memory(pages, sizeof(pages));
  ASSERT_TRUE(register_external_memory(pages, sizeof(pages), error)) << error;
  unregister_external_memory(pages, sizeof(pages));
}

}  // namespace
}  // namespace pollux::platform
