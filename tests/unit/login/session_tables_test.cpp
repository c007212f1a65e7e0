// Both state tables, and logout (rows LGO-01, LGO-06, LGO-07).
#include <gtest/gtest.h>

#include <set>

#include "control/session/conn_state.hpp"
#include "control/session/logout.hpp"
#include "control/session/session_state.hpp"

namespace pollux::session {
namespace {

TEST(ConnState, WalksThroughALifeInOrder) {
  using E = ConnEvent;
  ConnState state = ConnState::free;
  const auto apply = [&](E event, std::string_view rule) {
    const auto* row = kConnTransitions.find(state, event);
    ASSERT_NE(row, nullptr) << rule;
    EXPECT_EQ(row->rule, rule);
    state = row->to;
  };
  apply(E::connect_issued, "T1");
  apply(E::connected, "T4");
  apply(E::login_succeeded, "T5");
  apply(E::logout_requested, "T11");
  apply(E::logout_requested, "T12");
  apply(E::logout_sent, "T10");
  apply(E::logout_requested, "T14");
  apply(E::logout_succeeded, "T13");
  EXPECT_EQ(state, ConnState::free);
}

TEST(ConnState, HasEveryRuleOfTheRfc) {
  std::set<std::string_view> rules;
  for (const auto& row : kConnTransitionRows) rules.insert(row.rule);
  EXPECT_EQ(rules, (std::set<std::string_view>{"T1",  "T2",  "T4",  "T5",  "T7",  "T8",  "T9",
                                               "T10", "T11", "T12", "T13", "T14", "T15", "T16",
                                               "T17", "T18", "M1",  "M2",  "M3",  "M4"}));
}

TEST(ConnState, LossBeforeLoginFreesAfterLoginCleansUp) {
  const auto after_loss = [](ConnState from) {
    return kConnTransitions.find(from, ConnEvent::transport_lost)->to;
  };
  EXPECT_EQ(after_loss(ConnState::xpt_wait), ConnState::free);
  EXPECT_EQ(after_loss(ConnState::in_login), ConnState::free);
  EXPECT_EQ(after_loss(ConnState::logged_in), ConnState::cleanup_wait);
  EXPECT_EQ(after_loss(ConnState::in_logout), ConnState::cleanup_wait);
  EXPECT_EQ(kConnTransitions.find(ConnState::free, ConnEvent::login_succeeded), nullptr);
  EXPECT_EQ(conn_state_name(ConnState::xpt_wait), "TRANSPORT WAIT");
}

TEST(SessionState, FailsContinuesAndEnds) {
  using S = SessionState;
  using E = SessionEvent;
  EXPECT_EQ(kSessionTransitions.find(S::free, E::first_connection_logged_in)->to, S::logged_in);
  EXPECT_EQ(kSessionTransitions.find(S::logged_in, E::session_failed)->to, S::failed);
  EXPECT_EQ(kSessionTransitions.find(S::failed, E::continued)->to, S::logged_in);
  EXPECT_EQ(kSessionTransitions.find(S::failed, E::state_timed_out)->to, S::free);
  EXPECT_EQ(kSessionTransitions.find(S::logged_in, E::logged_out)->to, S::free);
  EXPECT_FALSE(kSessionTransitions.handles(S::free, E::session_failed));
  EXPECT_EQ(session_state_name(S::failed), "FAILED");
}

TEST(Logout, LGO01_RequestCarriesReasonAndCid) {
  const auto session = build_logout_request(LogoutReason::close_session, 5);
  EXPECT_EQ(session.opcode, 0x06);
  EXPECT_EQ(session.reason, 0x80);
  EXPECT_EQ(session.cid.get(), 0);
  EXPECT_EQ(session.data_segment_length.get(), 0u);
  const auto connection = build_logout_request(LogoutReason::close_connection, 5);
  EXPECT_EQ(connection.reason, 0x81);
  EXPECT_EQ(connection.cid.get(), 5);
  EXPECT_EQ(build_logout_request(LogoutReason::remove_connection_for_recovery, 5).reason, 0x82);
}

TEST(Logout, LGO06_LGO07_ResponsesSayWhetherCleanupIsLeft) {
  for (int code = 0; code < 256; ++code) {
    wire::LogoutResponse response;
    response.response = static_cast<std::uint8_t>(code);
    response.time2wait.set(5);
    const LogoutOutcome outcome = interpret_logout_response(response);
    EXPECT_EQ(outcome.is_closed, code < 2) << code;
    EXPECT_EQ(outcome.isdsc == 0, code < 2) << code;
    EXPECT_EQ(outcome.wait_seconds, code < 2 ? 0 : 5) << code;
  }
}

}  // namespace
}  // namespace pollux::session
