// read, write and verify: the program against a RAM disk behind a scripted service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, WhatWasWrittenIsReadBackAndVerified) {
  const std::string id = logged_in();
  const std::string data = pattern(std::size_t{3} << 20);
  write_file("in", data);
  const Outcome write = pollux({"write", id, "--lun", "0", "--lba", "8", "--input", path("in")});
  EXPECT_EQ(write.exit_code, 0) << write.err;
  EXPECT_THAT(write.out, HasSubstr("Wrote 6144 blocks from LBA 8"));
  EXPECT_TRUE(write.err.empty()) << "no progress without a terminal: " << write.err;
  const Outcome read =
      pollux({"read", id + "/0", "--lba", "8", "--blocks", "6144", "--output", path("out")});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read_file("out"), data);
  const Outcome verify =
      pollux({"verify", id + "/0", "--lba", "8", "--input", path("in"), "--json"});
  EXPECT_EQ(verify.exit_code, 0) << verify.err;
  EXPECT_EQ(verify.json()["schema"], "pollux.verify/1");
  EXPECT_EQ(verify.json()["matches"], true);
  EXPECT_EQ(verify.json()["bytes"], data.size());
  service_->stop();
  EXPECT_EQ(std::memcmp(service_->disk.data() + 8 * kBlockBytes, data.data(), data.size()), 0);
  EXPECT_TRUE(std::all_of(service_->disk.begin(), service_->disk.begin() + 8 * kBlockBytes,
                          [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(CliTest, StandardStreams) {
  const std::string lun = logged_in() + "/0";
  const std::string data = pattern(4 * kBlockBytes);
  EXPECT_EQ(pollux({"write", lun, "--lba", "1", "--input", "-"}, data).exit_code, 0);
  const Outcome read = pollux({"read", lun, "--lba", "1", "--blocks", "4", "--output", "-"});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.out, data);
  EXPECT_EQ(pollux({"verify", lun, "--lba", "1", "--input", "-"}, data).exit_code, 0);
  EXPECT_EQ(pollux({"read", lun, "--json", "--output", "-"}).exit_code, 7);
}

TEST_F(CliTest, ReadGoesToTheEndOfTheLun) {
  const std::string lun = logged_in() + "/0";
  const Outcome read = pollux({"read", lun, "--lba", "8190", "--output", "-"});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.out.size(), 2 * kBlockBytes);
}

TEST_F(CliTest, VerifyNamesTheFirstDifference) {
  const std::string lun = logged_in() + "/0";
  std::string data = pattern(std::size_t{2} << 20);
  write_file("in", data);
  ASSERT_EQ(pollux({"write", lun, "--input", path("in")}).exit_code, 0);
  data[1'500'003] = static_cast<char>(~data[1'500'003]);
  data[1'999'999] = static_cast<char>(~data[1'999'999]);
  write_file("in", data);
  const Outcome verify = pollux({"verify", lun, "--input", path("in")});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_THAT(verify.err, HasSubstr("byte 1500003"));
  EXPECT_THAT(verify.err, HasSubstr("LBA 2929, byte 355"));
  const Outcome json = pollux({"verify", lun, "--input", path("in"), "--json"});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_EQ(json.json()["mismatch_offset"], 1'500'003);
}

TEST_F(CliTest, PartialBlocksAreRefusedUnlessPadded) {
  const std::string lun = logged_in() + "/0";
  write_file("in", pattern(kBlockBytes + 100));
  const Outcome refused = pollux({"write", lun, "--input", path("in")});
  EXPECT_EQ(refused.exit_code, 7);
  EXPECT_THAT(refused.err, HasSubstr("--pad"));
  EXPECT_EQ(service_->io_commands(), 0u) << "something was written";
  EXPECT_EQ(pollux({"write", lun, "--input", "-"}, "abc").exit_code, 7);
  EXPECT_EQ(pollux({"write", lun, "--input", path("in"), "--pad"}).exit_code, 0);
  EXPECT_EQ(pollux({"verify", lun, "--input", path("in"), "--pad"}).exit_code, 0);
  EXPECT_EQ(pollux({"verify", lun, "--input", path("in"), "--blocks", "1"}).exit_code, 0);
}

TEST_F(CliTest, RangesBeyondTheLunTouchNothing) {
  const std::string lun = logged_in() + "/0";
  write_file("in", pattern(4 * kBlockBytes));
  const Outcome write = pollux({"write", lun, "--lba", "8190", "--input", path("in")});
  EXPECT_EQ(write.exit_code, 7);
  EXPECT_THAT(write.err, HasSubstr("logical block address out of range"));
  for (const char* lba : {"8192", "18446744073709551615"})
    EXPECT_EQ(pollux({"read", lun, "--lba", lba, "--blocks", "1", "--output", "-"}).exit_code, 7);
  EXPECT_EQ(
      pollux({"read", lun, "--lba", "8191", "--blocks", "18446744073709551615", "--output", "-"})
          .exit_code,
      7);
  EXPECT_EQ(service_->io_commands(), 0u);
}

TEST_F(CliTest, MediumErrorSaysWhere) {
  const std::string lun = logged_in() + "/0";
  service_->read_fails_at = 5000;
  const Outcome read = pollux({"read", lun, "--output", path("out")});
  EXPECT_EQ(read.exit_code, 1);
  EXPECT_THAT(read.err, HasSubstr("MEDIUM ERROR: unrecovered read error"));
  EXPECT_THAT(read.err, HasSubstr("at LBA"));
}

TEST_F(CliTest, MistakesInNamingTheLun) {
  const std::string id = logged_in();
  EXPECT_EQ(pollux({"read", id, "--output", "-"}).exit_code, 7);
  EXPECT_EQ(pollux({"read", id + "/0", "--lun", "1", "--output", "-"}).exit_code, 7);
  EXPECT_EQ(pollux({"read", "0x99/0", "--output", "-"}).exit_code, 2);
  EXPECT_EQ(pollux({"read", id + "/9", "--output", "-"}).exit_code, 1);
  EXPECT_EQ(pollux({"write", id + "/0", "--input", path("no-such-file")}).exit_code, 7);
  EXPECT_EQ(pollux({"write", id + "/0", "--input", directory_}).exit_code, 7);
}

TEST_F(CliTest, TemporaryLoginForAUrl) {
  const std::string url = std::string("iscsi://10.0.0.1/") + kTarget + "/0?header_digest=crc32c";
  const Outcome read = pollux({"read", url, "--login", "--blocks", "1", "--output", "-"});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.out.size(), kBlockBytes);
  service_->stop();
  EXPECT_TRUE(service_->sessions.empty());
}

TEST_F(CliTest, InterruptCancelsAndLogsOut) {
  service_->never_ends_io = true;
  const std::string url = std::string("iscsi://10.0.0.1/") + kTarget + "/0";
  Child child = start({"read", url, "--login", "--output", path("out")});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (service_->io_commands() == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ASSERT_GT(service_->io_commands(), 0u);
  child.interrupt();
  const Outcome run = child.wait();
  EXPECT_EQ(run.exit_code, 130) << run.err;
  EXPECT_THAT(run.err, HasSubstr("interrupted"));
  EXPECT_GT(service_->cancels(), 0u);
  service_->stop();
  EXPECT_TRUE(service_->sessions.empty()) << "the temporary session was left behind";
}

TEST_F(CliTest, ServiceThatDiesMidCommand) {
  const std::string lun = logged_in() + "/0";
  service_->dies_on_io = true;
  const Outcome run = pollux({"read", lun, "--output", path("out")});
  EXPECT_EQ(run.exit_code, 20);
  EXPECT_THAT(run.err, HasSubstr("service"));
}

}  // namespace
}  // namespace pollux::cli::testing
