// Login conversations: rows LOG and STS. Each test is named after its row.
#include <gtest/gtest.h>

#include "control/session/login_status.hpp"
#include "tests/unit/login/script.hpp"

namespace pollux::session {
namespace {

using namespace test;
using Kind = LoginFailureKind;

Answer transit(unsigned csg, unsigned nsg, std::string_view list = "") {
  return {
      .flags = static_cast<std::uint8_t>(kT | stages(csg, nsg)), .data = pairs(list), .tsih = 9};
}
Answer stay(unsigned csg, std::string_view list = "") {
  return {.flags = stages(csg, 0), .data = pairs(list)};
}

// --- what we send ---

TEST(Login, LOG01_LOG03_LOG08_FirstRequestNamesBothEnds) {
  Script s;
  EXPECT_EQ(s.request().flags, kT | stages(0, 1));
  EXPECT_EQ(s.request().tsih.get(), 0);
  EXPECT_EQ(s.request().exp_stat_sn.get(), 0u);
  EXPECT_EQ(s.keys(),
            (std::map<std::string, std::string>{{"InitiatorName", "iqn.2024-01.example:us"},
                                                {"TargetName", "iqn.2024-01.example:them"},
                                                {"SessionType", "Normal"},
                                                {"AuthMethod", "None"}}));
}

TEST(Login, DSC01_DiscoveryNeedsNoTargetName) {
  LoginOptions options = default_options();
  options.session_type = SessionType::discovery;
  options.target_name.clear();
  options.initiator_alias = "a host";
  Script s{options};
  EXPECT_EQ(s.keys(),
            (std::map<std::string, std::string>{{"InitiatorName", "iqn.2024-01.example:us"},
                                                {"InitiatorAlias", "a host"},
                                                {"SessionType", "Discovery"},
                                                {"AuthMethod", "None"}}));
}

TEST(Login, LOG09_LOG40_NamesAndOperationalKeysComeOnceEachInTheirStage) {
  Script s;
  s.receive(stay(0, "AuthMethod=None"));
  s.expect_sent();
  EXPECT_TRUE(s.data().empty());
  EXPECT_EQ(s.request().flags, kT | stages(0, 1));
  s.receive(transit(0, 1, "TargetPortalGroupTag=1"));
  s.expect_sent();
  const auto keys = s.keys();
  EXPECT_FALSE(keys.contains("InitiatorName"));
  EXPECT_FALSE(keys.contains("TargetName"));
  EXPECT_FALSE(keys.contains("SessionType"));
  EXPECT_EQ(keys.at("MaxRecvDataSegmentLength"), "262144");
  EXPECT_FALSE(keys.contains("SendTargets"));  // KEY-17
}

TEST(Login, LOG07_EachRequestAcknowledgesTheLastResponse) {
  for (const std::uint32_t first : {0u, 1u, 0x7fff'ffffu, 0xffff'ffffu}) {
    Script s;
    s.set_stat_sn(first);
    s.receive(transit(0, 1));
    s.expect_sent();
    EXPECT_EQ(s.request().exp_stat_sn.get(), first + 1);
    EXPECT_EQ(s.accept("").index(), 1u);
    EXPECT_EQ(s.result().exp_stat_sn, StatSn{first + 2});
  }
}

TEST(Login, LOG06_LOG35_CountersOfTheSessionComeFromTheFinalResponse) {
  Script s;
  s.to_operational().accept("");
  EXPECT_EQ(s.result().tsih, 9);
  EXPECT_EQ(s.result().cmd_sn, CmdSn{0xffff'ffff});
  EXPECT_EQ(s.result().exp_cmd_sn, CmdSn{0xffff'ffff});
  EXPECT_EQ(s.result().max_cmd_sn, CmdSn{30});
}

TEST(Login, LOG35_WindowMayBeClosedAndNonsenseKeepsItClosed) {
  Script closed;
  closed.to_operational();
  Answer final = transit(1, 3);
  wire::LoginResponse r = closed.response(final);
  r.max_cmd_sn.set(0xffff'fffe);
  closed.receive(r, {});
  EXPECT_EQ(closed.result().max_cmd_sn, CmdSn{0xffff'fffe});

  Script nonsense;
  nonsense.to_operational();
  r = nonsense.response(final);
  r.exp_cmd_sn.set(100);
  r.max_cmd_sn.set(50);
  nonsense.receive(r, {});
  EXPECT_EQ(nonsense.result().exp_cmd_sn, CmdSn{0xffff'ffff});
  EXPECT_EQ(nonsense.result().max_cmd_sn, CmdSn{0xffff'fffe});
}

TEST(Login, LOG14_KeepsAskingWhenTheTargetStays) {
  Script s;
  s.to_operational();
  for (int i = 0; i < 5; ++i) {
    s.receive(stay(1));
    s.expect_sent();
    EXPECT_EQ(s.request().flags, kT | stages(1, 3));
    EXPECT_TRUE(s.data().empty());
  }
  s.accept("");
  EXPECT_EQ(s.result().tsih, 9);
}

TEST(Login, LOG27_AddedConnectionCarriesTheTsihAndNoSessionWideKeys) {
  LoginOptions options = default_options();
  options.tsih = 9;
  Script s{options};
  EXPECT_FALSE(s.keys().contains("SessionType"));
  s.receive(transit(0, 1));
  s.expect_sent();
  EXPECT_EQ(s.keys(), (std::map<std::string, std::string>{{"HeaderDigest", "None"},
                                                          {"DataDigest", "None"},
                                                          {"MaxRecvDataSegmentLength", "262144"}}));
}

// --- stages and flags ---

TEST(Login, LOG16_LaterStageThanAskedIsAnError) {
  Script s;
  s.receive(transit(0, 3)).index();
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG17_TransitWithoutBeingAskedIsAnError) {
  Script s;
  s.receive({.flags = static_cast<std::uint8_t>(kC | stages(0, 0)), .data = bytes_of("Target")});
  s.expect_sent();
  EXPECT_EQ(s.request().flags, 0);
  s.receive(transit(0, 1, "Alias=x"));
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG18_OtherStageInTheResponseIsAnError) {
  Script s;
  s.receive(stay(1));
  s.expect_failure(Kind::protocol_error);
  Script back;
  back.to_operational().receive(stay(0));
  back.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG19_NextStageMustBeLaterAndExist) {
  for (const auto& [csg, nsg] : {std::pair{0u, 0u}, {0u, 2u}, {1u, 0u}, {1u, 1u}, {1u, 2u}}) {
    Script s;
    if (csg == 1) s.to_operational();
    s.receive(transit(csg, nsg));
    s.expect_failure(Kind::protocol_error);
  }
}

TEST(Login, LOG20_TransitAndContinueTogetherAreAnError) {
  Script s;
  Answer answer = transit(0, 1);
  answer.flags |= kC;
  s.receive(answer);
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG21_ContinuedTextIsAnsweredByEmptyRequests) {
  Script s;
  s.to_operational();
  for (const char* part : {"Targ", "etAli", "as=dis"}) {
    s.receive({.flags = static_cast<std::uint8_t>(kC | stages(1, 0)), .data = bytes_of(part)});
    s.expect_sent();
    EXPECT_EQ(s.request().flags, stages(1, 0));
    EXPECT_TRUE(s.data().empty());
  }
  s.receive({.flags = stages(1, 0), .data = bytes_of(std::string_view("k\0", 2))});
  s.expect_sent();
  EXPECT_EQ(s.request().flags, kT | stages(1, 3));
  s.accept("");
  EXPECT_EQ(s.result().parameters.target_alias, "disk");
}

TEST(Login, LOG22_LOG11_OwnLongTextIsSplitAndEachPartWaits) {
  std::string list;
  for (int i = 0; i < 500; ++i)
    list += (i == 0 ? "" : ";") + ("X-com.example.k" + std::to_string(i)) + "=1";
  Script s;
  s.to_operational();
  // Their text in pieces of 4096 bytes, as they may send 8192 at most.
  std::vector<std::byte> text = pairs(list);
  while (text.size() > 4096) {
    s.receive({.flags = static_cast<std::uint8_t>(kC | stages(1, 0)),
               .data = {text.begin(), text.begin() + 4096}});
    s.expect_sent();
    text.erase(text.begin(), text.begin() + 4096);
  }
  s.receive({.flags = stages(1, 0), .data = text});
  s.expect_sent();
  EXPECT_EQ(s.request().flags, kC | stages(1, 0));
  EXPECT_EQ(s.data().size(), 8192u);
  std::vector<std::byte> ours = s.data();
  while ((s.request().flags & kC) != 0) {
    s.receive(stay(1));
    s.expect_sent();
    ours.insert(ours.end(), s.data().begin(), s.data().end());
  }
  EXPECT_EQ(s.request().flags, kT | stages(1, 3));
  wire::TextSplitter splitter{ours};
  int answers = 0;
  while (const auto pair = splitter.next()) {
    EXPECT_EQ(pair->value, "NotUnderstood");
    ++answers;
  }
  EXPECT_EQ(answers, 500);
  s.accept("");
  EXPECT_EQ(s.result().tsih, 9);
}

TEST(Login, LOG24_KeysInAnswerToAnUnfinishedTextAreAnError) {
  LoginOptions options = default_options();
  options.initiator_alias = std::string(9000, 'a');
  Script s{options};
  EXPECT_EQ(s.request().flags, kC | stages(0, 0));
  s.receive(stay(0, "AuthMethod=None"));
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG23_PairsSplitAtAnyByteAreJoined) {
  const std::vector<std::byte> text = bytes_of(std::string_view("MaxBurstLength=65536\0", 21));
  for (std::ptrdiff_t at = 1; at < 21; ++at) {
    Script s;
    s.to_operational();
    s.receive({.flags = static_cast<std::uint8_t>(kC | stages(1, 0)),
               .data = {text.begin(), text.begin() + at}});
    s.expect_sent();
    s.receive({.flags = stages(1, 0), .data = {text.begin() + at, text.end()}});
    s.expect_sent();
    s.accept("");
    EXPECT_EQ(s.result().parameters.max_burst_length, 65536u) << at;
  }
}

// --- identity ---

TEST(Login, LOG25_AcceptedSessionHasATsih) {
  Script s;
  s.to_operational();
  Answer answer = transit(1, 3);
  answer.tsih = 0;
  s.receive(answer);
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG26_EarlyTsihIsNotAdopted) {
  Script s;
  Answer answer = stay(0);
  answer.tsih = 0x1234;
  s.receive(answer);
  s.expect_sent();
  EXPECT_EQ(s.request().tsih.get(), 0);
}

TEST(Login, LOG28_OtherTagIsidOrTsihIsAnError) {
  LoginOptions options = default_options();
  options.tsih = 9;
  for (int field = 0; field < 3; ++field) {
    Script s{options};
    wire::LoginResponse r = s.response(transit(0, 1));
    if (field == 0) r.initiator_task_tag.set(1);
    if (field == 1) r.isid[5] ^= 1;
    if (field == 2) r.tsih.set(8);
    s.receive(r, {});
    s.expect_failure(Kind::protocol_error);
  }
}

TEST(Login, LOG29_AnyOtherPduEndsTheLogin) {
  for (const auto op :
       {wire::Opcode::nop_in, wire::Opcode::reject, wire::Opcode::async_message,
        wire::Opcode::scsi_response, wire::Opcode::text_response, wire::Opcode::data_in}) {
    Script s;
    wire::Bhs bhs;
    bhs.opcode = static_cast<std::uint8_t>(op);
    bhs.initiator_task_tag.set(0x11223344);
    const LoginStep step = s.login().on_pdu(bhs, {});
    ASSERT_TRUE(std::holds_alternative<LoginFailed>(step));
    EXPECT_EQ(std::get<LoginFailed>(step).failure.kind, Kind::protocol_error);
  }
}

TEST(Login, LOG30_OnlyVersionZeroIsAccepted) {
  Script s;
  Answer answer = transit(0, 1);
  answer.version_active = 1;
  s.receive(answer);
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG31_GapOrRepetitionInStatSnEndsTheLogin) {
  for (const std::uint32_t step : {0u, 2u}) {
    Script s;
    s.receive(stay(0));
    s.set_stat_sn(0xffff'fffe + step);
    s.receive(transit(0, 1));
    s.expect_failure(Kind::protocol_error);
  }
}

TEST(Login, LOG50_NothingIsTakenAfterTheEnd) {
  Script s;
  s.to_operational().accept("");
  s.accept("");
  s.expect_failure(Kind::protocol_error);
}

// --- bounds ---

TEST(Login, LOG36_SixAndTwentyExchangesSucceedEndlessOnesEnd) {
  for (const int rounds : {6, 20}) {
    Script s;
    s.to_operational();
    for (int i = 2; i < rounds; ++i) s.receive(stay(1));
    s.accept("");
    EXPECT_EQ(s.result().tsih, 9);
  }
  Script endless;
  endless.to_operational();
  int rounds = 2;
  while (std::holds_alternative<SendPdu>(endless.receive(stay(1)))) ASSERT_LT(++rounds, 1000);
  EXPECT_EQ(rounds, kLoginExchangesMax);
  endless.expect_failure(Kind::too_many_exchanges);
}

TEST(Login, NEG26_EndlessContinuationStopsAtTheTextCap) {
  Script s;
  s.to_operational();
  const Answer part{.flags = static_cast<std::uint8_t>(kC | stages(1, 0)),
                    .data = std::vector<std::byte>(8192, std::byte{'x'})};
  int parts = 0;
  while (std::holds_alternative<SendPdu>(s.receive(part))) ASSERT_LT(++parts, 1000);
  EXPECT_EQ(parts, 8);
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, NEG26_EmptyContinuationsStopAtTheExchangeCap) {
  Script s;
  int parts = 0;
  while (std::holds_alternative<SendPdu>(s.receive({.flags = kC}))) ASSERT_LT(++parts, 1000);
  s.expect_failure(Kind::too_many_exchanges);
}

TEST(Login, FRM_SegmentOverTheDefaultLimitIsAnError) {
  Script s;
  s.receive({.flags = kC, .data = std::vector<std::byte>(8193, std::byte{'x'})});
  s.expect_failure(Kind::protocol_error);
}

TEST(Login, LOG37_DeadlineAndLostConnectionAreToldApart) {
  Script silent;
  const LoginFailure early = silent.login().on_deadline().failure;
  EXPECT_EQ(early.kind, Kind::timed_out);
  EXPECT_EQ(early.exit_code, exit_code::kTransportTimeout);
  Script slow;
  slow.receive(stay(0));
  EXPECT_NE(slow.login().on_deadline().failure.sentence, early.sentence);
  Script lost;
  EXPECT_EQ(lost.login().on_connection_lost("reset by peer").failure.kind, Kind::connection_lost);
}

// --- authentication ---

TEST(Login, LOG43_SilentSecurityStageIsSkipped) {
  Script s;
  s.receive(transit(0, 1, "TargetPortalGroupTag=0"));
  s.expect_sent();
  s.accept("");
  EXPECT_EQ(s.result().parameters.target_portal_group_tag, 0);
}

TEST(Login, LOG44_MethodThatWasNotOfferedEndsTheLogin) {
  for (const char* method : {"CHAP", "SRP", "Reject", "CHAP,None", "NotUnderstood", ""}) {
    Script s;
    s.receive(stay(0, std::string("AuthMethod=") + method));
    s.expect_failure(Kind::authentication);
    EXPECT_EQ(s.failure().exit_code, 24);
  }
  Script s;
  s.receive(stay(0, "AuthMethod=CHAP"));
  EXPECT_NE(s.failure().sentence.find("CHAP"), std::string::npos);
}

TEST(Login, LOG44_KeysOfAMethodNobodyChoseEndTheLogin) {
  Script s;
  s.receive(stay(0, "CHAP_A=5"));
  s.expect_failure(Kind::authentication);
  Script after_none;
  after_none.receive(stay(0, "AuthMethod=None;CHAP_A=5"));
  after_none.expect_failure(Kind::authentication);
}

class RequiredMethod final : public AuthenticationMethod {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "CHAP"; }
  void begin(std::vector<std::byte>& text) override { append_pair(text, "CHAP_A", "5"); }
  [[nodiscard]] std::optional<std::string> on_pair(const wire::TextPair&,
                                                   std::vector<std::byte>&) override {
    is_complete_ = true;
    return std::nullopt;
  }
  [[nodiscard]] bool is_complete() const noexcept override { return is_complete_; }

 private:
  bool is_complete_ = false;
};

Login login_with_required_method() {
  std::vector<std::unique_ptr<AuthenticationMethod>> methods;
  methods.push_back(std::make_unique<RequiredMethod>());
  return Login{default_options(), std::move(methods)};
}

TEST(Login, LOG45_RequiredAuthenticationIsNeitherOfferedAsNoneNorSkipped) {
  Script responses;
  for (const Answer& answer : {stay(0, "AuthMethod=None"), transit(0, 1)}) {
    Login login = login_with_required_method();
    const OutgoingPdu first = login.start();
    EXPECT_EQ(first.bhs.flags, 0);  // no T before the method has run
    EXPECT_NE(text_of(first.data).find(std::string("AuthMethod=CHAP\0", 16)), std::string::npos);
    const LoginStep step =
        login.on_pdu(std::bit_cast<wire::Bhs>(responses.response(answer)), answer.data);
    EXPECT_TRUE(std::holds_alternative<LoginFailed>(step));
  }
}

TEST(Login, LOG13_MethodRunsItsStepsBeforeTheStageIsLeft) {
  Script responses;
  Login login = login_with_required_method();
  (void)login.start();
  Answer answer = stay(0, "AuthMethod=CHAP");
  LoginStep step = login.on_pdu(std::bit_cast<wire::Bhs>(responses.response(answer)), answer.data);
  ASSERT_TRUE(std::holds_alternative<SendPdu>(step));
  EXPECT_EQ(std::get<SendPdu>(step).pdu.bhs.flags, 0);
  EXPECT_EQ(std::get<SendPdu>(step).pdu.data, pairs("CHAP_A=5"));
  responses.set_stat_sn(0xffff'ffff);
  answer = stay(0, "CHAP_A=5");
  step = login.on_pdu(std::bit_cast<wire::Bhs>(responses.response(answer)), answer.data);
  ASSERT_TRUE(std::holds_alternative<SendPdu>(step));
  EXPECT_EQ(std::get<SendPdu>(step).pdu.bhs.flags, kT | stages(0, 1));
}

// --- status classes ---

TEST(LoginStatus, STS09_STS13_CodesMapToIsdscExitAndRetry) {
  struct Row {
    std::uint8_t status_class, detail;
    std::uint32_t code;
    int exit_code;
    bool is_retryable;
  };
  constexpr Row kRows[] = {{2, 0x00, 0xefff0008, 19, false},   {2, 0x01, 0xefff0009, 24, false},
                           {2, 0x02, 0xefff000a, 24, false},   {2, 0x03, 0xefff000b, 19, false},
                           {2, 0x04, 0xefff000c, 19, false},   {2, 0x05, 0xefff000d, 19, false},
                           {2, 0x06, 0xefff000e, 19, false},   {2, 0x07, 0xefff000f, 19, false},
                           {2, 0x08, 0xefff0010, 19, false},   {2, 0x09, 0xefff0011, 19, false},
                           {2, 0x0a, 0xefff0002, 19, false},   {2, 0x0b, 0xefff0008, 19, false},
                           {3, 0x00, 0xefff0012, 5, true},     {3, 0x01, 0xefff0013, 5, true},
                           {3, 0x02, 0xefff0014, 5, true},     {2, 0xee, 0xefff0008, 19, false},
                           {3, 0xee, 0xefff0012, 5, true},     {4, 0x00, 0xefff0002, 19, false},
                           {0xff, 0xff, 0xefff0002, 19, false}};
  for (const Row& row : kRows) {
    Script s;
    // LOG-33, STS-15: counters, ISID and stage bits of a reject are not looked at.
    Answer answer = transit(3, 3);
    answer.status_class = row.status_class;
    answer.status_detail = row.detail;
    wire::LoginResponse r = s.response(answer);
    r.isid = {};
    r.stat_sn.set(77);
    s.receive(r, {});
    const bool is_target_error = row.status_class == 3;
    s.expect_failure(is_target_error ? Kind::target_error : Kind::refused);
    EXPECT_EQ(s.failure().isdsc, row.code);
    EXPECT_EQ(s.failure().exit_code, row.exit_code);
    EXPECT_EQ(s.failure().is_retryable, row.is_retryable);
    EXPECT_EQ(s.failure().status_class, row.status_class);
    EXPECT_EQ(s.failure().status_detail, row.detail);
  }
}

TEST(LoginStatus, STS01_STS02_STS08_RedirectionGivesAddressesInOrder) {
  for (const std::uint8_t detail : {std::uint8_t{1}, std::uint8_t{2}}) {
    for (const bool is_operational : {false, true}) {  // STS-06
      Script s;
      if (is_operational) s.to_operational();
      s.receive(
          {.data = pairs(
               "TargetAddress=10.0.0.1:5003,1;TargetAddress=bad:0;TargetAddress=[2001:db8::1]"),
           .status_class = 1,
           .status_detail = detail});
      const auto* redirected = std::get_if<LoginRedirected>(&s.last());
      ASSERT_NE(redirected, nullptr);
      EXPECT_EQ(redirected->is_permanent, detail == 2);
      ASSERT_EQ(redirected->addresses.size(), 2u);
      EXPECT_EQ(to_string(redirected->addresses[0]), "10.0.0.1:5003");  // STS-05
      EXPECT_EQ(to_string(redirected->addresses[1]), "[2001:db8::1]:3260");
    }
  }
}

TEST(LoginStatus, STS03_RedirectionWithoutUsableAddressFails) {
  for (const char* text : {"", "TargetAddress=0.0.0.0", "TargetAlias=x"}) {
    Script s;
    s.receive({.data = pairs(text), .status_class = 1, .status_detail = 1});
    s.expect_failure(Kind::bad_redirection);
  }
}

}  // namespace
}  // namespace pollux::session
