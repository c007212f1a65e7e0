// discover, login, sessions, send-targets, logout, status, stats: the program against a scripted
// service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string url(const std::string& target, int port = 3260) {
  return "iscsi://10.0.0.1:" + std::to_string(port) + "/" + target;
}

TEST_F(CliTest, DiscoverPrintsIscsiadmsLines) {
  const Outcome run = pollux({"discover", "10.0.0.1"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith(std::string("10.0.0.1:3260,1 ") + kTarget + "\n"));
  EXPECT_THAT(run.out, HasSubstr("[fd00::1]:3261,2 iqn.2003-01.org.example:many-399\n"));
  service_->stop();
  EXPECT_TRUE(service_->sessions.empty()) << "the discovery session was left behind";
}

TEST_F(CliTest, DiscoverAsJson) {
  const Outcome run = pollux({"--json", "discover", "10.0.0.1:3260"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "pollux.targets/1");
  ASSERT_EQ(json["targets"].size(), 401u);
  EXPECT_EQ(json["targets"][0]["target"], kTarget);
  EXPECT_EQ(json["targets"][0]["portals"][0]["portal"], "10.0.0.1:3260");
  EXPECT_EQ(json["targets"][0]["portals"][0]["portal_group_tag"], 1);
}

TEST_F(CliTest, DiscoverAtARefusingPortal) {
  const Outcome run = pollux({"discover", "10.0.0.1:1"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.err, HasSubstr("10.0.0.1:1"));
}

TEST_F(CliTest, LoginByUrlAndByOptions) {
  const Outcome by_url = pollux({"login", url(kTarget), "--header-digest", "CRC32C"});
  EXPECT_EQ(by_url.exit_code, 0) << by_url.err;
  EXPECT_EQ(by_url.out, std::string("Logged in to ") + kTarget +
                            " at 10.0.0.1:3260: session 0x5e1f000000000001.\n");
  const Outcome by_options =
      pollux({"login", "--portal", "10.0.0.1:3261", "--target", kTarget, "--json"});
  ASSERT_EQ(by_options.exit_code, 0) << by_options.err;
  EXPECT_EQ(by_options.json()["schema"], "pollux.login/1");
  EXPECT_EQ(by_options.json()["session_id"], "0x5e1f000000000002");
  service_->stop();
  ASSERT_EQ(service_->sessions.size(), 2u);
  EXPECT_TRUE(service_->sessions[0].header_digest);
  EXPECT_FALSE(service_->sessions[1].header_digest);
  EXPECT_EQ(service_->sessions[1].port, 3261);
}

TEST_F(CliTest, LoginFailuresHaveTheirOwnExitCodesAndWords) {
  struct Case {
    std::string url;
    int exit_code;
    const char* words;
  };
  const Case cases[] = {
      {url(kMissing), 19, "login status 0203"},
      {url(kForbidden), 24, "login status 0202"},
      {url(kBroken), 5, "ISDSC_NON_SPECIFIC_ERROR"},
      {url(kTwice), 15, "already"},
      {url(kTarget, kRefusedPort), 4, "10.0.0.1:1"},
      {url(kTarget, kSilentPort), 8, "did not answer within 30 seconds"},
      {"iscsi://10.0.0.1", 7, "names no target"},
      {"iscsi://10.0.0.1/disk", 7, "not an iSCSI name"},
      {"iscsi://joe@10.0.0.1/iqn.2003-01.org.example:disk", 27, "CHAP"},
  };
  for (const Case& c : cases) {
    const Outcome run = pollux({"login", c.url});
    EXPECT_EQ(run.exit_code, c.exit_code) << c.url << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr(c.words)) << c.url;
    EXPECT_TRUE(run.out.empty()) << run.out;
  }
  EXPECT_EQ(pollux({"login"}).exit_code, 7);
  EXPECT_EQ(pollux({"login", "--portal", "10.0.0.1"}).exit_code, 7);
  EXPECT_EQ(pollux({"login", url(kTarget), "--portal", "10.0.0.1"}).exit_code, 7);
}

TEST_F(CliTest, ADiscoverySessionStaysUntilLogout) {
  const Outcome by_url = pollux({"login", "--discovery", "iscsi://10.0.0.1"});
  EXPECT_EQ(by_url.exit_code, 0) << by_url.err;
  EXPECT_EQ(by_url.out, "Logged in for discovery at 10.0.0.1:3260: session 0x5e1f000000000001.\n");
  EXPECT_EQ(pollux({"login", "--discovery", "--portal", "10.0.0.1:3261"}).exit_code, 0);
  EXPECT_THAT(pollux({"sessions"}).out, HasSubstr("discovery  logged in"));
  EXPECT_THAT(pollux({"send-targets", "0x5e1f000000000001"}).out, HasSubstr(kTarget));
  EXPECT_EQ(pollux({"logout", "0x5e1f000000000001"}).exit_code, 0);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"login", "--discovery"},
        {"login", "--discovery", url(kTarget)},
        {"login", "--discovery", "--portal", "10.0.0.1", "--target", kTarget},
        {"login", "--discovery", "--portal", "10.0.0.1", "iscsi://10.0.0.1"}}) {
    EXPECT_EQ(pollux(arguments).exit_code, 7);
  }
}

TEST_F(CliTest, FailuresAsJson) {
  const Outcome run = pollux({"login", url(kMissing), "--json"});
  EXPECT_EQ(run.exit_code, 19);
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "pollux.error/1");
  EXPECT_EQ(json["exit_code"], 19);
  EXPECT_EQ(json["status"], "ISDSC_NOT_FOUND");
  EXPECT_THAT(json["message"].get<std::string>(), HasSubstr(kMissing));
}

TEST_F(CliTest, Sessions) {
  const Outcome none = pollux({"sessions"});
  EXPECT_EQ(none.exit_code, 21);
  EXPECT_TRUE(none.out.empty());
  const Outcome none_json = pollux({"sessions", "--json"});
  EXPECT_EQ(none_json.exit_code, 21);
  EXPECT_TRUE(none_json.json()["sessions"].empty());

  const std::string id = logged_in();
  const Outcome table = pollux({"sessions"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr(id + "  normal  logged in  10.0.0.1:3260  none/none  3"));
  const auto json = pollux({"sessions", "--json"}).json();
  EXPECT_EQ(json["schema"], "pollux.sessions/1");
  EXPECT_EQ(json["sessions"][0]["session_id"], id);
  EXPECT_EQ(json["sessions"][0]["target"], kTarget);
  EXPECT_EQ(json["sessions"][0]["worker"], 3);
  EXPECT_EQ(json["sessions"][0]["max_burst_length"], 262144);
  EXPECT_EQ(json["sessions"][0]["connections"][0]["portal"], "10.0.0.1:3260");
}

TEST_F(CliTest, SendTargetsAsksWhatFitsTheSession) {
  const std::string id = logged_in();
  const Outcome run = pollux({"send-targets", id});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, std::string("10.0.0.1:3260,1 ") + kTarget + "\n");
  EXPECT_EQ(pollux({"send-targets", "disk", "--json"}).json()["targets"].size(), 1u);
  const Outcome all = pollux({"send-targets", id, "All"});
  EXPECT_EQ(all.exit_code, 27);
  EXPECT_THAT(all.err, HasSubstr("ISDSC_SESSION_TYPE_NOT_SUPPORTED"));
  EXPECT_EQ(pollux({"send-targets", "0x77"}).exit_code, 2);
}

TEST_F(CliTest, LogoutByEveryName) {
  for (const std::string name : {"id", "disk", "10.0.0.1", "url", "windows"}) {
    const std::string id = logged_in();
    const std::string subject = name == "id"        ? id
                                : name == "url"     ? url(kTarget)
                                : name == "windows" ? "00000000000000aa-" + id.substr(2)
                                                    : name;
    const Outcome run = pollux({"logout", subject});
    EXPECT_EQ(run.exit_code, 0) << subject << ": " << run.err;
    EXPECT_THAT(run.out, HasSubstr(id));
  }
  EXPECT_EQ(pollux({"sessions"}).exit_code, 21);
}

TEST_F(CliTest, LogoutOfAnUnknownSession) {
  const std::string id = logged_in();
  const Outcome run = pollux({"logout", "0x99"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("ISDSC_INVALID_SESSION_ID"));
  EXPECT_EQ(pollux({"logout"}).exit_code, 7);
  EXPECT_EQ(pollux({"logout", id, "--all"}).exit_code, 7);
  EXPECT_EQ(pollux({"sessions"}).exit_code, 0) << "another session was logged out";
}

TEST_F(CliTest, LogoutOfAll) {
  EXPECT_EQ(pollux({"logout", "--all"}).exit_code, 21);
  (void)logged_in();
  (void)logged_in();
  const Outcome run = pollux({"logout", "--all", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.json()["sessions"].size(), 2u);
  EXPECT_EQ(run.json()["sessions"][0]["status"], "ISDSC_SUCCESS");
}

TEST_F(CliTest, LogoutThatFails) {
  EXPECT_EQ(pollux({"login", url(kSticky)}).exit_code, 0);
  (void)logged_in();
  EXPECT_EQ(pollux({"logout", "sticky"}).exit_code, 10);
  const Outcome run = pollux({"logout", "--all"});
  EXPECT_EQ(run.exit_code, 10);
  EXPECT_THAT(run.err, HasSubstr("0x5e1f000000000001"));
  EXPECT_THAT(run.out, HasSubstr("0x5e1f000000000002")) << "one failure must not stop the others";
}

TEST_F(CliTest, StatusAndStats) {
  const Outcome table = pollux({"status"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_EQ(table.out,
            "schema        pollux.status/1\n"
            "version       0.1.0\n"
            "workers.0.id  0\n");
  EXPECT_EQ(pollux({"status", "--json"}).json()["schema"], "pollux.status/1");
  EXPECT_EQ(pollux({"stats", "--json"}).json()["counters"]["rx_pdus"], 12);
}

}  // namespace
}  // namespace pollux::cli::testing
