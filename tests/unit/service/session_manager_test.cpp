// Conversations of the session manager with a scripted worker: what each operation answers, within
// which time, and that nothing is left behind.
#include "control/service/session_manager.hpp"

#include <gtest/gtest.h>
#include <pollux/iscsierr.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tests/unit/service/fake_worker.hpp"

namespace pollux::service::testing {
namespace {

using K = iscsi::ToWorkerKind;

class SessionManagerTest : public ::testing::Test {
 protected:
  SessionManagerTest() {
    channels.push_back(std::make_unique<WorkerChannel>(worker.link, 4));
    restart(1);
  }

  void restart(std::uint32_t boot_epoch) {
    manager = std::make_unique<SessionManager>(
        SessionManagerOptions{.config = config,
                              .workers = channels,
                              .resolver = resolver,
                              .isids = isids,
                              .random = random,
                              .boot_epoch = boot_epoch,
                              .log = [this](const std::string& line) { log.push_back(line); }});
  }

  void pump() {
    for (bool worked = true; worked;) {
      channels[0]->flush();
      worked = worker.turn() > 0;
      std::array<iscsi::ToControl, 16> messages;
      const std::size_t count = channels[0]->receive(messages);
      for (std::size_t i = 0; i < count; ++i) manager->on_message(0, messages[i], now);
      worked |= count > 0;
    }
  }
  void pass(Duration duration) {
    now += duration;
    manager->on_time(now);
    pump();
  }

  LoginRequest request(SessionKind kind = SessionKind::data) {
    LoginRequest result;
    result.portal.host = "10.99.0.1";
    result.kind = kind;
    if (kind != SessionKind::discovery) result.target_name = "iqn.2026-11.io.pollux:t1";
    return result;
  }
  std::uint64_t start_login(const LoginRequest& login_request) {
    login_reply.reset();
    return manager->login(login_request, now, [this](const LoginReply& reply) {
      EXPECT_FALSE(login_reply.has_value()) << "answered twice";
      login_reply = reply;
    });
  }
  std::uint64_t login_ok(SessionKind kind = SessionKind::data) {
    start_login(request(kind));
    pump();
    EXPECT_TRUE(login_reply && login_reply->is_ok())
        << (login_reply ? login_reply->sentence : "no answer");
    return login_reply ? login_reply->session_id : 0;
  }
  void start_logout(std::uint64_t id) {
    logout_outcome.reset();
    manager->logout(id, now, [this](const Outcome& outcome) {
      EXPECT_FALSE(logout_outcome.has_value()) << "answered twice";
      logout_outcome = outcome;
    });
  }
  void start_text(std::uint64_t id, std::string_view text) {
    text_reply.reset();
    manager->send_targets(id, text, now, now + 5s, [this](const TextReply& reply) {
      EXPECT_FALSE(text_reply.has_value()) << "answered twice";
      text_reply = reply;
    });
  }
  std::uint16_t slot_of(std::uint64_t id) { return static_cast<std::uint16_t>(id & 0xffff); }

  void TearDown() override {
    manager->logout_all(now);
    pump();
    pass(20s);
    pass(20s);
    EXPECT_TRUE(manager->is_empty());
    EXPECT_EQ(channels[0]->lent_count(), 0u);
    EXPECT_EQ(channels[0]->free_slot_count(), 4u);
    EXPECT_EQ(worker.slabs_out(), 0u);
    EXPECT_EQ(manager->next_deadline(), kNever);
  }

  Config config;
  Instant now{1h};
  FakeWorker worker;
  std::vector<std::unique_ptr<WorkerChannel>> channels;
  HelperThread helper{[] {}};
  SystemResolver resolver{helper};
  Random random{1};
  IsidStore isids{{}, 0, random, {}};
  std::unique_ptr<SessionManager> manager;
  std::vector<std::string> log;
  std::optional<LoginReply> login_reply;
  std::optional<Outcome> logout_outcome;
  std::optional<TextReply> text_reply;
};

TEST_F(SessionManagerTest, LoginOpensTheGateAndListsTheSession) {
  const std::uint64_t id = login_ok();
  EXPECT_EQ(worker.last_session_id, id);
  ASSERT_EQ(worker.gates.size(), 1u);
  EXPECT_EQ(worker.gates[0].phase, iscsi::Phase::full_feature);
  EXPECT_FALSE(worker.gates[0].discovery);
  EXPECT_EQ(worker.gates[0].max_cmd_sn.distance_from(worker.gates[0].exp_cmd_sn), 31u);
  ASSERT_EQ(manager->sessions().size(), 1u);
  EXPECT_EQ(manager->find(id)->negotiated.tsih, 7);
  EXPECT_EQ(manager->find(id)->local_port, 40000);
  EXPECT_NE(login_reply->connection_id, 0u);
  EXPECT_NE(login_reply->connection_id, id);
}

TEST_F(SessionManagerTest, RefusedConnectionNamesPortalAndReason) {
  worker.script.connect = TargetScript::Connect::refuse;
  start_login(request());
  pump();
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_CONNECTION_FAILED);
  EXPECT_NE(login_reply->sentence.find("10.99.0.1:3260"), std::string::npos)
      << login_reply->sentence;
  EXPECT_NE(login_reply->sentence.find("refused"), std::string::npos) << login_reply->sentence;
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, UnansweredConnectEndsWithTheLoginTimer) {
  worker.script.connect = TargetScript::Connect::silent;
  start_login(request());
  pump();
  pass(14s);
  EXPECT_FALSE(login_reply);
  pass(1s);
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_CONNECTION_FAILED);
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, SilentPortalEndsWithTheLoginTimer) {
  worker.script.login = TargetScript::Login::silent;
  start_login(request());
  pump();
  pass(15s);
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_TRANSPORT_ERROR);
  EXPECT_NE(login_reply->sentence.find("did not answer"), std::string::npos)
      << login_reply->sentence;
  EXPECT_TRUE(manager->sessions().empty());
}

TEST_F(SessionManagerTest, UnknownTargetIsSaidInWords) {
  worker.script.login_class = 2;
  worker.script.login_detail = 3;
  start_login(request());
  pump();
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_NOT_FOUND);
  EXPECT_NE(login_reply->sentence.find("iqn.2026-11.io.pollux:t1"), std::string::npos);
}

TEST_F(SessionManagerTest, ConnectionLostWhileNegotiating) {
  worker.script.login = TargetScript::Login::close;
  start_login(request());
  pump();
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_CONNECTION_FAILED);
  EXPECT_NE(login_reply->sentence.find("reset"), std::string::npos) << login_reply->sentence;
}

TEST_F(SessionManagerTest, RedirectionIsFollowedAndTheSlotKeepsItsId) {
  worker.script.redirects = 2;
  worker.script.redirect_to = "10.99.0.9:3261,1";
  const std::uint64_t id = login_ok();
  ASSERT_EQ(worker.opened.size(), 3u);
  EXPECT_EQ(worker.opened[2].port, 3261);
  EXPECT_EQ(worker.last_session_id, id);
  EXPECT_EQ(manager->find(id)->remote.port, 3261);
}

TEST_F(SessionManagerTest, RedirectionInCirclesEnds) {
  worker.script.redirects = 1000;
  worker.script.redirect_to = "10.99.0.1:3260,1";
  start_login(request());
  pump();
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_TARGET_MOVED_TEMPORARILY);
  EXPECT_EQ(worker.opened.size(), kRedirectHopsMax + 1);
}

TEST_F(SessionManagerTest, CanceledLoginAnswersNobodyAndLeavesNothing) {
  worker.script.login = TargetScript::Login::silent;
  const std::uint64_t id = start_login(request());
  pump();
  manager->cancel_login(id, now);
  pump();
  EXPECT_FALSE(login_reply);
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, SecondSessionToATargetMustBeMeant) {
  login_ok();
  start_login(request());
  ASSERT_TRUE(login_reply);
  EXPECT_EQ(login_reply->status, ISDSC_TARGET_ALREADY_LOGGED_IN);
  LoginRequest second = request();
  second.allows_several = true;
  const wire::Isid first_isid = worker.last_isid;
  start_login(second);
  pump();
  ASSERT_TRUE(login_reply && login_reply->is_ok());
  EXPECT_NE(worker.last_isid, first_isid);  // RFC 7143 4.4.3: the ISID rule
}

TEST_F(SessionManagerTest, MoreSessionsThanSlotsAreRefused) {
  LoginRequest several = request();
  several.allows_several = true;
  for (int i = 0; i < 4; ++i) {
    start_login(several);
    pump();
    ASSERT_TRUE(login_reply->is_ok());
  }
  start_login(several);
  EXPECT_EQ(login_reply->status, ISDSC_TOO_MANY_SESSIONS);
}

TEST_F(SessionManagerTest, LogoutDrainsAsksAndCloses) {
  const std::uint64_t id = login_ok();
  worker.seen.clear();
  start_logout(id);
  pump();
  ASSERT_TRUE(logout_outcome);
  EXPECT_TRUE(logout_outcome->is_ok());
  std::erase_if(worker.seen, [](K kind) { return kind == K::credit_return; });
  EXPECT_EQ(worker.seen, (std::vector{K::refuse_commands, K::send_pdu, K::abort_commands, K::close,
                                      K::free_slot}));
  start_logout(id);
  EXPECT_EQ(logout_outcome->status, ISDSC_INVALID_SESSION_ID);
}

TEST_F(SessionManagerTest, LogoutWaitsForCommandsNoLongerThanTheDrainTime) {
  const std::uint64_t id = login_ok();
  worker.script.drain = TargetScript::Drain::never;
  start_logout(id);
  pump();
  pass(1900ms);
  EXPECT_FALSE(logout_outcome);
  start_text(id, "");
  EXPECT_EQ(text_reply->status, ISDSC_NO_CONNECTION_AVAILABLE);
  pass(100ms);
  ASSERT_TRUE(logout_outcome);
  EXPECT_TRUE(logout_outcome->is_ok());
}

TEST_F(SessionManagerTest, UnansweredLogoutIsBounded) {
  const std::uint64_t id = login_ok();
  worker.script.logout = TargetScript::Logout::silent;
  start_logout(id);
  pump();
  pass(5s);
  ASSERT_TRUE(logout_outcome);
  EXPECT_EQ(logout_outcome->status, ISDSC_NON_SPECIFIC_ERROR);
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, UnansweredCloseIsReset) {
  const std::uint64_t id = login_ok();
  worker.script.close_is_silent = true;
  start_logout(id);
  pump();
  EXPECT_FALSE(logout_outcome);
  pass(kCloseTimeout);
  ASSERT_TRUE(logout_outcome);
  EXPECT_TRUE(logout_outcome->is_ok());
}

TEST_F(SessionManagerTest, SecondLogoutOfOneSessionIsBusy) {
  const std::uint64_t id = login_ok();
  worker.script.drain = TargetScript::Drain::never;
  std::optional<Outcome> first;
  manager->logout(id, now, [&](const Outcome& outcome) { first = outcome; });
  start_logout(id);
  ASSERT_TRUE(logout_outcome);
  EXPECT_EQ(logout_outcome->status, ISDSC_SESSION_BUSY);
  pass(2s);
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->is_ok());
}

TEST_F(SessionManagerTest, ConnectionLostDuringDrainIsALogout) {
  const std::uint64_t id = login_ok();
  worker.script.drain = TargetScript::Drain::never;
  start_logout(id);
  pump();
  worker.lose(slot_of(id), iscsi::LossReason::tcp_reset);
  pump();
  ASSERT_TRUE(logout_outcome);
  EXPECT_TRUE(logout_outcome->is_ok());
}

TEST_F(SessionManagerTest, ConnectionLostBeforeTheLogoutResponseIsReported) {
  const std::uint64_t id = login_ok();
  worker.script.logout = TargetScript::Logout::close;
  start_logout(id);
  pump();
  ASSERT_TRUE(logout_outcome);
  EXPECT_EQ(logout_outcome->status, ISDSC_TRANSPORT_ERROR);
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, LostSessionStaysListedUntilLoggedOut) {
  const std::uint64_t id = login_ok();
  worker.lose(slot_of(id), iscsi::LossReason::tcp_timeout);
  pump();
  ASSERT_NE(manager->find(id), nullptr);
  EXPECT_EQ(manager->find(id)->step, SessionStep::failed);
  EXPECT_NE(manager->find(id)->state_text.find("stopped answering"), std::string::npos);
  start_text(id, "");
  EXPECT_EQ(text_reply->status, ISDSC_NO_CONNECTION_AVAILABLE);
  start_logout(id);
  ASSERT_TRUE(logout_outcome);
  EXPECT_TRUE(logout_outcome->is_ok());
  EXPECT_TRUE(manager->is_empty());
}

TEST_F(SessionManagerTest, ANewLoginReinstatesALostSessionWithItsIsid) {
  const std::uint64_t id = login_ok();
  const wire::Isid isid = worker.last_isid;
  worker.lose(slot_of(id), iscsi::LossReason::tcp_reset);
  pump();
  const std::uint64_t again = login_ok();
  EXPECT_EQ(worker.last_isid, isid);
  EXPECT_NE(again, id);
}

TEST_F(SessionManagerTest, SessionsThatKeepFailingDoNotFillMemory) {
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t id = login_ok();
    worker.lose(slot_of(id), iscsi::LossReason::tcp_reset);
    pump();
  }
  EXPECT_LE(manager->sessions().size(), 8u);
}

TEST_F(SessionManagerTest, SendTargetsJoinsTheParts) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  EXPECT_TRUE(worker.gates[0].discovery);
  EXPECT_EQ(worker.gates[0].parameters.max_recv_data_segment_length, iscsi::kControlDataBytesMax);
  worker.script.text_parts = {"TargetName=iqn.2026-11.io.pollux:a", std::string("bc\0", 3)};
  start_text(id, "All");
  pump();
  ASSERT_TRUE(text_reply);
  EXPECT_TRUE(text_reply->is_ok()) << text_reply->sentence;
  EXPECT_EQ(text_reply->text.size(), 37u);
}

TEST_F(SessionManagerTest, SendTargetsAtOnceWaitForEachOther) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  std::vector<std::uint32_t> statuses;
  for (std::size_t i = 0; i < kTextsWaitingMax + 2; ++i) {
    manager->send_targets(id, "All", now, now + 5s,
                          [&](const TextReply& reply) { statuses.push_back(reply.status); });
  }
  ASSERT_EQ(statuses.size(), 1u) << "one runs, some wait, one is too many";
  EXPECT_EQ(statuses[0], ISDSC_SESSION_BUSY);
  statuses.clear();
  worker.script.text_parts = {std::string("TargetName=iqn.2026-11.io.pollux:x\0", 35)};
  worker.script.next_text_parts = worker.script.text_parts;
  for (std::size_t i = 0; i < kTextsWaitingMax + 2; ++i) pump();
  EXPECT_EQ(statuses, std::vector<std::uint32_t>(kTextsWaitingMax + 1, 0));
}

TEST_F(SessionManagerTest, SendTargetsThatWaitEndInTime) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  std::vector<std::uint32_t> statuses;
  const auto note = [&](const TextReply& reply) { statuses.push_back(reply.status); };
  manager->send_targets(id, "All", now, now + 5s, note);
  manager->send_targets(id, "All", now, now + 1s, note);
  manager->send_targets(id, "All", now, now + 9s, note);
  pass(1s);
  EXPECT_EQ(statuses, std::vector<std::uint32_t>{ISDSC_SESSION_BUSY});
  EXPECT_EQ(manager->find(id)->step, SessionStep::logged_in);
  pass(4s);
  EXPECT_EQ(statuses.size(), 3u) << "the connection is gone, and with it the last one";
}

TEST_F(SessionManagerTest, SendTargetsIsBoundedAndSaysOnlyWhatTheSessionMaySay) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  std::optional<TextReply> first;
  manager->send_targets(id, "All", now, now + 5s, [&](const TextReply& reply) { first = reply; });
  start_text(id, std::string_view("All\0X=1", 7));
  EXPECT_FALSE(text_reply->is_ok());
  start_text(12345, "All");
  EXPECT_EQ(text_reply->status, ISDSC_INVALID_SESSION_ID);
  pump();
  pass(5s);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->is_ok());
  // A late answer must not meet the next exchange: the connection is gone.
  EXPECT_EQ(manager->find(id)->step, SessionStep::failed);
}

TEST_F(SessionManagerTest, AnswerThatDidNotFitIsKeptForHalfAMinute) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  manager->keep_text(id, "All", std::vector<std::byte>(10), now);
  start_text(id, "SendTargets=All");
  ASSERT_TRUE(text_reply);
  EXPECT_TRUE(text_reply->was_kept);
  EXPECT_EQ(text_reply->text.size(), 10u);
  manager->keep_text(id, "All", std::vector<std::byte>(10), now);
  pass(kKeptTextLifetime);
  worker.script.text_parts = {std::string("TargetName=iqn.2026-11.io.pollux:x\0", 35)};
  start_text(id, "All");
  pump();
  ASSERT_TRUE(text_reply && text_reply->is_ok());
  EXPECT_FALSE(text_reply->was_kept);
}

TEST_F(SessionManagerTest, RejectedTextEndsTheExchangeNotTheSession) {
  const std::uint64_t id = login_ok(SessionKind::discovery);
  start_text(id, "All");
  pump();
  wire::Reject reject;
  reject.reason = 0x05;
  std::string header(wire::kBhsBytes, '\0');
  header[0] = static_cast<char>(wire::Opcode::text_request);
  worker.send_pdu(worker.connection(slot_of(id)), reject, header);
  pump();
  ASSERT_TRUE(text_reply);
  EXPECT_FALSE(text_reply->is_ok());
  EXPECT_EQ(manager->find(id)->step, SessionStep::logged_in);
}

TEST_F(SessionManagerTest, AsyncLogoutRequestLogsOutAndSaysWhy) {
  const std::uint64_t id = login_ok();
  wire::AsyncMessage message;
  message.async_event = 1;
  worker.send_pdu(worker.connection(slot_of(id)), message);
  pump();
  ASSERT_NE(manager->find(id), nullptr);
  EXPECT_EQ(manager->find(id)->step, SessionStep::failed);
  EXPECT_NE(manager->find(id)->state_text.find("asked to be logged out"), std::string::npos);
  EXPECT_EQ(std::count(worker.seen.begin(), worker.seen.end(), K::refuse_commands), 1);
}

TEST_F(SessionManagerTest, AnnouncedDropLosesTheSession) {
  const std::uint64_t id = login_ok();
  wire::AsyncMessage message;
  message.async_event = 3;
  worker.send_pdu(worker.connection(slot_of(id)), message);
  pump();
  EXPECT_EQ(manager->find(id)->step, SessionStep::failed);
}

TEST_F(SessionManagerTest, MessagesOfAnEarlierUseAreDroppedAndTheirSlabsReturned) {
  const std::uint64_t id = login_ok();
  iscsi::ConnectionRef stale = worker.connection(slot_of(id));
  --stale.epoch;
  worker.send_pdu(stale, wire::LogoutResponse{});
  worker.tell({.kind = iscsi::ToControlKind::ended, .connection = stale});
  worker.tell({.kind = iscsi::ToControlKind::connected, .connection = {.slot = 9999}});
  pump();
  EXPECT_EQ(manager->find(id)->step, SessionStep::logged_in);
  EXPECT_EQ(manager->counters().stale_messages, 3u);
  EXPECT_EQ(worker.slabs_out(), 0u);
}

TEST_F(SessionManagerTest, UnaskedLogoutResponseEndsTheConnection) {
  const std::uint64_t id = login_ok();
  worker.send_pdu(worker.connection(slot_of(id)), wire::LogoutResponse{});
  pump();
  EXPECT_EQ(manager->find(id)->step, SessionStep::failed);
}

TEST_F(SessionManagerTest, IdsAreNeverUsedAgainAlsoNotAfterARestart) {
  std::set<std::uint64_t> ids;
  for (std::uint32_t boot = 1; boot <= 3; ++boot) {
    restart(boot);
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t id = login_ok();
      EXPECT_TRUE(ids.insert(id).second);
      EXPECT_EQ(id >> 40, boot);
      start_logout(id);
      pump();
    }
  }
}

TEST_F(SessionManagerTest, LogoutAllEndsLoginsAndSessions) {
  login_ok();
  worker.script.login = TargetScript::Login::silent;
  start_login(request(SessionKind::discovery));
  pump();
  manager->logout_all(now);
  ASSERT_TRUE(login_reply);
  EXPECT_FALSE(login_reply->is_ok());
  pump();
  EXPECT_TRUE(manager->is_empty());
}

}  // namespace
}  // namespace pollux::service::testing
