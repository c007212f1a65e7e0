// bench: what is asked of the service, and the result with bdevperf's names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, BenchResultHasBdevperfsNames) {
  const std::string lun = logged_in() + "/0";
  const Outcome run = pollux(
      {"bench", lun, "-q", "8", "-o", "8k", "-w", "randrw", "-M", "70", "-t", "2", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "pollux.bench/1");
  const auto& result = json["results"][0];
  EXPECT_EQ(result["workload"], "randrw");
  EXPECT_EQ(result["percentage"], 70);
  EXPECT_EQ(result["queue_depth"], 8);
  EXPECT_EQ(result["io_size"], 8192);
  EXPECT_EQ(result["runtime"], 2.0);
  EXPECT_EQ(result["iops"], 500.0);
  EXPECT_EQ(result["mibps"], 1.5);
  EXPECT_EQ(result["io_failed"], 0);
  EXPECT_EQ(result["avg_latency_us"], 8.5);
  EXPECT_EQ(result["p99_latency_us"], 12.0);
  EXPECT_EQ(result["max_latency_us"], 90.0);
  EXPECT_EQ(result["busy_cycles_per_io"], 800.0);
  EXPECT_EQ(result["copied_bytes_per_io"], 8192.0);
  EXPECT_EQ(result["status"], "finished");
}

TEST_F(CliTest, BenchForPeople) {
  const std::string lun = logged_in() + "/0";
  const Outcome run = pollux({"bench", lun, "-t", "1", "--lent"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("copied_bytes_per_io  0.0\n"));
  EXPECT_TRUE(run.err.empty()) << "no live line without a terminal: " << run.err;
}

TEST_F(CliTest, BenchFailures) {
  const std::string lun = logged_in() + "/0";
  EXPECT_EQ(pollux({"bench", lun, "-w", "write", "-t", "1"}).exit_code, 1);
  EXPECT_EQ(pollux({"bench", lun, "-w", "backwards"}).exit_code, 7);
  EXPECT_EQ(pollux({"bench", lun, "-w", "read", "-M", "50"}).exit_code, 7);
  EXPECT_EQ(pollux({"bench", "0x99/0"}).exit_code, 2);
}

TEST_F(CliTest, BenchIsCancelledByCtrlC) {
  const std::string lun = logged_in() + "/0";
  service_->never_ends_io = true;
  Child child = start({"bench", lun, "-t", "60"});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (service_->io_commands() == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  child.interrupt();
  EXPECT_EQ(child.wait().exit_code, 130);
  EXPECT_EQ(service_->cancels(), 1u);
}

}  // namespace
}  // namespace pollux::cli::testing
