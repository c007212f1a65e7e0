// How people name sessions: every form of an id, and look-ups that must fit exactly one.
#include "control/cli/session_ref.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/cli/failure.hpp"

namespace pollux::cli {
namespace {

using ::testing::HasSubstr;

std::vector<SessionRow> three_sessions() {
  const auto row = [](std::uint64_t id, const char* target, const char* host) {
    SessionRow session;
    session.id = id;
    session.target = target;
    session.connections.emplace_back();
    session.connections[0].remote = {host, 3260};
    return session;
  };
  return {row(1, "iqn.2003-01.org.example:disk", "10.0.0.1"),
          row(2, "iqn.2003-01.org.example:tape", "10.0.0.1"),
          row(3, "iqn.2003-01.org.example:old-disk", "10.0.0.2")};
}

ExitCode code_of(const std::string& text, std::string* sentence = nullptr) {
  try {
    (void)find_session(three_sessions(), parse_session_ref(text));
  } catch (const Failure& failure) {
    if (sentence != nullptr) *sentence = failure.what();
    return failure.code();
  }
  return ExitCode::ok;
}

std::uint64_t found(const std::string& text) {
  const auto sessions = three_sessions();
  return find_session(sessions, parse_session_ref(text)).id;
}

TEST(SessionId, Forms) {
  EXPECT_EQ(parse_session_id("0x10"), 16u);
  EXPECT_EQ(parse_session_id("0X00000000000000FF"), 255u);
  EXPECT_EQ(parse_session_id("0xffffffffffffffff"), UINT64_MAX);
  EXPECT_EQ(parse_session_id("17"), 17u);
  EXPECT_EQ(parse_session_id("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_session_id("fffffa800626e018-4000013700000006"), 0x4000013700000006u);
}

TEST(SessionId, WhatIsNone) {
  for (const char* text :
       {"", "0x", "0x1g", "0x10000000000000000", "18446744073709551616", "-1", "+1", " 1", "1 ",
        "4000013700000006-", "fffffa800626e018-400001370000000",
        "zffffa800626e018-4000013700000006", "fffffa800626e018_4000013700000006", "disk"})
    EXPECT_FALSE(parse_session_id(text)) << text;
}

TEST(SessionRef, LunFollowsASlash) {
  EXPECT_EQ(parse_session_ref("0x1/3").lun, std::uint64_t{3} << 48);
  EXPECT_EQ(parse_session_ref("0x1/3").session, "0x1");
  EXPECT_FALSE(parse_session_ref("0x1").lun);
  EXPECT_EQ(parse_session_ref("iscsi://h/iqn.x/2").lun, std::uint64_t{2} << 48);
  EXPECT_THROW((void)parse_session_ref("0x1/x"), Failure);
  EXPECT_THROW((void)parse_session_ref("/1"), Failure);
  EXPECT_THROW((void)parse_session_ref("iscsi://h"), Failure);
}

TEST(FindSession, ByEachForm) {
  EXPECT_EQ(found("0x2"), 2u);
  EXPECT_EQ(found("0000000000000000-0000000000000003"), 3u);
  EXPECT_EQ(found("iqn.2003-01.org.example:tape"), 2u);
  EXPECT_EQ(found("tape"), 2u);
  EXPECT_EQ(found("10.0.0.2"), 3u);
  EXPECT_EQ(found("10.0.0.2:3260"), 3u);
  EXPECT_EQ(found("iscsi://10.0.0.1/iqn.2003-01.org.example:disk"), 1u);
}

TEST(FindSession, WholeNameWinsOverAnEnd) {
  auto sessions = three_sessions();
  sessions[2].target = "iqn.other.iqn.2003-01.org.example:disk";
  EXPECT_EQ(find_session(sessions, parse_session_ref("iqn.2003-01.org.example:disk")).id, 1u);
}

TEST(FindSession, AmbiguityListsTheCandidates) {
  std::string sentence;
  EXPECT_EQ(code_of("disk", &sentence), ExitCode::invalid_argument);
  EXPECT_THAT(sentence, HasSubstr("0x0000000000000001  10.0.0.1:3260"));
  EXPECT_THAT(sentence, HasSubstr("0x0000000000000003  10.0.0.2:3260"));
  EXPECT_EQ(code_of("10.0.0.1"), ExitCode::invalid_argument);
}

TEST(FindSession, NothingFits) {
  EXPECT_EQ(code_of("0x9"), ExitCode::session_not_found);
  EXPECT_EQ(code_of("nonsense"), ExitCode::session_not_found);
  EXPECT_EQ(code_of("10.0.0.2:3261"), ExitCode::session_not_found);
  EXPECT_EQ(code_of("iscsi://10.0.0.2/iqn.2003-01.org.example:disk"), ExitCode::session_not_found);
}

}  // namespace
}  // namespace pollux::cli
