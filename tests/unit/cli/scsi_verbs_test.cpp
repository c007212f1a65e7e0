// luns, inquiry and capacity: the program against a scripted service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, LunsWithTypeAndSize) {
  const std::string id = logged_in();
  const Outcome run = pollux({"luns", id});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  // The second LUN answers every question with an error, which must not hide the first.
  EXPECT_EQ(run.out,
            "LUN  TYPE  SIZE     BLOCK  VENDOR   PRODUCT\n"
            "0    disk  4.0 MiB  512    EXAMPLE  RAM disk\n"
            "300  -     -        -      -        -\n");
  const auto json = pollux({"luns", id, "--json"}).json();
  EXPECT_EQ(json["schema"], "pollux.luns/1");
  EXPECT_EQ(json["luns"][0]["capacity"]["blocks"], kBlocks);
  EXPECT_EQ(json["luns"][1]["lun"], "300");
  EXPECT_TRUE(json["luns"][1]["capacity"].is_null());
}

TEST_F(CliTest, LunsOfAUrlLogInOnlyWhenAsked) {
  const std::string url = std::string("iscsi://10.0.0.1/") + kTarget;
  const Outcome without = pollux({"luns", url});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("--login"));
  const Outcome with = pollux({"luns", url, "--login", "--brief"});
  EXPECT_EQ(with.exit_code, 0) << with.err;
  EXPECT_THAT(with.out, HasSubstr("300"));
  service_->stop();
  EXPECT_TRUE(service_->sessions.empty()) << "the temporary session was left behind";
}

TEST_F(CliTest, InquiryStandardAndPages) {
  const std::string lun = logged_in() + "/0";
  EXPECT_THAT(pollux({"inquiry", lun}).out, HasSubstr("product    RAM disk\n"));
  EXPECT_EQ(pollux({"inquiry", lun, "--vpd", "0x80"}).out, "serial_number  42\n");
  const auto json = pollux({"inquiry", lun, "--vpd", "131", "--json"}).json();
  EXPECT_EQ(json["schema"], "pollux.inquiry/1");
  EXPECT_EQ(json["vpd_page"], "0x83");
  EXPECT_EQ(json["data"]["designators"][0]["type"], "NAA");
  EXPECT_EQ(json["data"]["designators"][0]["value"], "6001020304050607");
}

TEST_F(CliTest, SenseDataComeInWords) {
  const std::string id = logged_in();
  const Outcome page = pollux({"inquiry", id + "/0", "--vpd", "0xb1"});
  EXPECT_EQ(page.exit_code, 1);
  EXPECT_THAT(page.err, HasSubstr("CHECK CONDITION, ILLEGAL REQUEST: invalid field in CDB"));
  const Outcome lun = pollux({"capacity", id, "--lun", "5"});
  EXPECT_EQ(lun.exit_code, 1);
  EXPECT_THAT(lun.err, HasSubstr("logical unit not supported"));
}

TEST_F(CliTest, Capacity) {
  const std::string id = logged_in();
  EXPECT_EQ(pollux({"capacity", id + "/0"}).out,
            "8192 blocks of 512 bytes: 4194304 bytes (4.0 MiB)\n");
  const auto json = pollux({"capacity", id, "--json"}).json();
  EXPECT_EQ(json["schema"], "pollux.capacity/1");
  EXPECT_EQ(json["physical_block_size"], 4096);
  EXPECT_EQ(pollux({"capacity", "0x99"}).exit_code, 2);
}

}  // namespace
}  // namespace pollux::cli::testing
