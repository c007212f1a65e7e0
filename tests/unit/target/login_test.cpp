// Login and discovery conversations with the embedded target over byte buffers.
#include <gtest/gtest.h>

#include "tests/unit/target/buffer_channel.hpp"

namespace pollux::target {
namespace {

constexpr std::uint8_t kSecurityToOperational = 0x81;
constexpr std::uint8_t kSecurityToFullFeature = 0x83;
constexpr std::uint8_t kOperationalToFullFeature = 0x87;
constexpr std::uint8_t kOperationalStay = 0x04;
constexpr std::uint8_t kOperationalContinue = 0x44;

std::uint16_t status(const Pdu& pdu) {
  const auto response = pdu.as<wire::LoginResponse>();
  return static_cast<std::uint16_t>(response.status_class << 8 | response.status_detail);
}

const Keys kNames{{"InitiatorName", InitiatorScript::kInitiator},
                  {"TargetName", InitiatorScript::kTarget}};

Keys with_names(const Keys& more) {
  Keys keys = kNames;
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

TEST(TargetLogin, TwoStagesLeadToFullFeature) {
  Rig lab;
  const Pdu first = lab.script.login_step(
      kSecurityToOperational, with_names({{"SessionType", "Normal"}, {"AuthMethod", "CHAP,None"}}));
  EXPECT_EQ(first.as<wire::LoginResponse>().flags, kSecurityToOperational);
  EXPECT_EQ(first.key("AuthMethod"), "None");
  EXPECT_EQ(first.key("TargetPortalGroupTag"), "1");
  EXPECT_EQ(first.as<wire::LoginResponse>().tsih.get(), 0);

  const Pdu last =
      lab.script.login_step(kOperationalToFullFeature, {{"HeaderDigest", "CRC32C,None"},
                                                        {"DataDigest", "None"},
                                                        {"InitialR2T", "No"},
                                                        {"ImmediateData", "Yes"},
                                                        {"MaxRecvDataSegmentLength", "65536"},
                                                        {"FirstBurstLength", "16777215"},
                                                        {"MaxBurstLength", "131072"},
                                                        {"MaxOutstandingR2T", "16"},
                                                        {"ErrorRecoveryLevel", "2"},
                                                        {"DefaultTime2Wait", "5"},
                                                        {"X-org.example.new", "1"},
                                                        {"IFMarker", "No"}});
  EXPECT_EQ(last.as<wire::LoginResponse>().flags, kOperationalToFullFeature);
  EXPECT_NE(last.as<wire::LoginResponse>().tsih.get(), 0);
  EXPECT_EQ(last.key("HeaderDigest"), "CRC32C");
  EXPECT_EQ(last.key("DataDigest"), "None");
  EXPECT_EQ(last.key("InitialR2T"), "No");
  EXPECT_EQ(last.key("ImmediateData"), "Yes");
  EXPECT_EQ(last.key("MaxRecvDataSegmentLength"), "262144");
  EXPECT_EQ(last.key("MaxBurstLength"), "131072");
  EXPECT_EQ(last.key("FirstBurstLength"), "131072");  // not above MaxBurstLength
  EXPECT_EQ(last.key("MaxOutstandingR2T"), "1");
  EXPECT_EQ(last.key("ErrorRecoveryLevel"), "0");
  EXPECT_EQ(last.key("DefaultTime2Wait"), "5");
  EXPECT_EQ(last.key("X-org.example.new"), "NotUnderstood");
  EXPECT_EQ(last.key("IFMarker"), "Reject");
  EXPECT_FALSE(last.key("TargetPortalGroupTag").has_value());
  EXPECT_TRUE(lab.protocol.in_full_feature(0));
  lab.expect_clean();
}

TEST(TargetLogin, SecurityStageMayLeadStraightToFullFeature) {
  Rig lab;
  const Pdu answer =
      lab.script.login_step(kSecurityToFullFeature, with_names({{"AuthMethod", "None"}}));
  EXPECT_EQ(answer.as<wire::LoginResponse>().flags, kSecurityToFullFeature);
  EXPECT_TRUE(lab.protocol.in_full_feature(0));
  lab.expect_clean();
}

TEST(TargetLogin, BytesMayArriveOneAtATime) {
  Rig lab;
  lab.channel.arrives = 1;
  lab.channel.stream.piece = 1;
  lab.script.login({{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}});
  lab.script.logout();
  EXPECT_TRUE(lab.channel.stream.closed);
  lab.expect_clean();
}

TEST(TargetLogin, TextInPartsIsJoined) {
  Rig lab;
  const Bytes text = text_of(with_names({{"MaxBurstLength", "65536"}}));
  const Pdu empty = lab.script.login_step(kOperationalContinue, slice(text, 0, 20));
  EXPECT_TRUE(empty.data.empty());
  EXPECT_EQ(empty.as<wire::LoginResponse>().flags, kOperationalStay);
  const Pdu last =
      lab.script.login_step(kOperationalToFullFeature, slice(text, 20, text.size() - 20));
  EXPECT_EQ(last.key("MaxBurstLength"), "65536");
  EXPECT_TRUE(lab.protocol.in_full_feature(0));
  lab.expect_clean();
}

TEST(TargetLogin, UnknownTargetIsRefusedAndClosed) {
  Rig lab;
  const Pdu answer = lab.script.login_step(kOperationalToFullFeature,
                                           {{"InitiatorName", InitiatorScript::kInitiator},
                                            {"TargetName", "iqn.2026-01.org.pollux:no"}});
  EXPECT_EQ(status(answer), 0x0203);
  EXPECT_EQ(answer.as<wire::LoginResponse>().flags & wire::LoginFlags::kTransit, 0);
  EXPECT_TRUE(lab.channel.stream.closed);
  EXPECT_EQ(lab.protocol.counters().logins_refused, 1u);
  lab.expect_clean();
}

TEST(TargetLogin, MissingInitiatorNameIsAViolation) {
  Rig lab;
  EXPECT_EQ(status(lab.script.login_step(kOperationalToFullFeature,
                                         {{"TargetName", InitiatorScript::kTarget}})),
            0x0207);
  EXPECT_EQ(lab.violations(Violation::login_key), 1u);
}

TEST(TargetLogin, UnsupportedAuthenticationIsRefused) {
  Rig lab;
  EXPECT_EQ(
      status(lab.script.login_step(kSecurityToOperational, with_names({{"AuthMethod", "CHAP"}}))),
      0x0201);
  lab.expect_clean();
}

TEST(TargetLogin, DigestsFollowTheConfiguredAnswers) {
  TargetConfig config = Rig::standard();
  config.answers.header_digest_crc32c = false;
  config.answers.data_digest_none = false;
  Rig lab{config};
  const Pdu answer =
      lab.script.login({{"HeaderDigest", "CRC32C,None"}, {"DataDigest", "None,CRC32C"}});
  EXPECT_EQ(answer.key("HeaderDigest"), "None");
  EXPECT_EQ(answer.key("DataDigest"), "CRC32C");
  lab.expect_clean();
}

TEST(TargetLogin, PingLeavesInOnePieceWithTheFinalResponse) {
  TargetConfig config = Rig::standard();
  config.nop_in_after_login = true;
  Rig lab{config};
  lab.script.login({{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}});
  EXPECT_EQ(lab.channel.stream.sends, 1u);
  const auto ping = lab.script.expect(wire::Opcode::nop_in).as<wire::NopIn>();
  EXPECT_EQ(ping.initiator_task_tag.get(), wire::kReservedTag);
  EXPECT_EQ(ping.stat_sn.get(), lab.script.exp_stat_sn);

  wire::NopOut pong;
  pong.opcode |= wire::kImmediate;
  pong.target_transfer_tag = ping.target_transfer_tag;
  pong.cmd_sn.set(lab.script.cmd_sn);
  pong.exp_stat_sn.set(lab.script.exp_stat_sn);
  lab.script.send(pong);
  lab.script.expect_silence();
  EXPECT_EQ(lab.protocol.counters().pings_answered, 1u);
  lab.expect_clean();
}

TEST(TargetLogin, ChangedFieldsAndStagesAreViolations) {
  Rig lab;
  lab.script.login_step(kOperationalStay, kNames);
  lab.script.cmd_sn += 1;
  lab.script.login_step(kOperationalStay, Keys{});
  EXPECT_EQ(lab.violations(Violation::login_field), 1u);
  EXPECT_EQ(status(lab.script.login_step(kSecurityToOperational, Keys{})), 0x0200);
  EXPECT_EQ(lab.violations(Violation::login_stage), 1u);
}

TEST(TargetLogin, KeyTwiceAndValueOutOfRangeAreViolations) {
  Rig lab;
  const Pdu answer = lab.script.login_step(
      kOperationalStay,
      with_names({{"MaxBurstLength", "511"}, {"ImmediateData", "Yes"}, {"ImmediateData", "No"}}));
  EXPECT_EQ(answer.key("MaxBurstLength"), "Reject");
  EXPECT_EQ(lab.violations(Violation::login_key), 2u);
}

TEST(TargetLogin, SecondLoginWithTheSameIsidReinstates) {
  Rig lab;
  lab.script.login();
  BufferChannel second_channel{lab.protocol, 1};
  InitiatorScript second{second_channel};
  second.login();
  std::uint32_t reset = 99;
  ASSERT_TRUE(lab.protocol.take_reset(reset));
  EXPECT_EQ(reset, 0u);
  EXPECT_FALSE(lab.protocol.take_reset(reset));
  EXPECT_EQ(lab.protocol.sessions(), 1u);
  EXPECT_EQ(lab.protocol.counters().reinstatements, 1u);
  lab.expect_clean();
}

wire::TextRequest text_request(InitiatorScript& script) {
  wire::TextRequest request;
  request.flags = wire::kFinal;
  return script.stamped(request);
}

TEST(TargetDiscovery, ListsAllTargetsInParts) {
  TargetConfig config = Rig::standard();
  for (int i = 0; i < 200; ++i)
    config.names.push_back("iqn.2026-01.org.pollux:extra" + std::to_string(i));
  Rig lab{config};
  const Pdu login = lab.script.login_step(kOperationalToFullFeature,
                                          {{"InitiatorName", InitiatorScript::kInitiator},
                                           {"SessionType", "Discovery"},
                                           {"MaxBurstLength", "65536"}});
  EXPECT_EQ(status(login), 0);
  EXPECT_EQ(login.key("MaxBurstLength"), "Irrelevant");
  lab.script.send(text_request(lab.script), text_of({{"SendTargets", "All"}}));
  Bytes list;
  int parts = 0;
  while (true) {
    const Pdu part = lab.script.expect(wire::Opcode::text_response);
    ++lab.script.exp_stat_sn;
    ++parts;
    list.insert(list.end(), part.data.begin(), part.data.end());
    const auto header = part.as<wire::TextResponse>();
    if ((header.flags & wire::kFinal) != 0 || parts > 20) {
      EXPECT_EQ(header.target_transfer_tag.get(), wire::kReservedTag);
      break;
    }
    EXPECT_EQ(header.flags, wire::TextResponse::kContinue);
    auto next = text_request(lab.script);
    next.target_transfer_tag = header.target_transfer_tag;
    lab.script.send(next);
  }
  EXPECT_GT(parts, 2);
  Keys expected;
  for (const std::string& name : config.names) {
    expected.emplace_back("TargetName", name);
    expected.emplace_back("TargetAddress", config.portal);
  }
  EXPECT_EQ(list, text_of(expected));
  lab.script.logout();
  lab.expect_clean();
}

TEST(TargetDiscovery, NamedAndOwnTargetInASession) {
  Rig lab;
  lab.script.login();
  for (const char* name : {"", InitiatorScript::kTarget}) {
    lab.script.send(text_request(lab.script), text_of({{"SendTargets", name}}));
    const Pdu answer = lab.script.expect(wire::Opcode::text_response);
    ++lab.script.exp_stat_sn;
    EXPECT_EQ(answer.key("TargetName"), InitiatorScript::kTarget);
    EXPECT_EQ(answer.key("TargetAddress"), "10.99.0.2:3260,1");
  }
  lab.script.send(text_request(lab.script), text_of({{"SendTargets", "iqn.2026-01.org:none"}}));
  EXPECT_TRUE(lab.script.expect(wire::Opcode::text_response).data.empty());
  lab.expect_clean();
}

}  // namespace
}  // namespace pollux::target
