// SendTargets answers: rows DSC-06 to DSC-12 and DSC-18 to DSC-20.
#include "control/session/discovery.hpp"

#include <gtest/gtest.h>

#include "control/session/login_status.hpp"
#include "control/session/text_exchange.hpp"
#include "tests/unit/login/script.hpp"

namespace pollux::session {
namespace {

using test::bytes_of;
using test::pairs;

const TargetAddress kCurrent{.host = "192.0.2.9", .port = 3261, .portal_group_tag = std::nullopt};

/// "name@host:port,host:port name@..." in order.
std::string shown(const DiscoveryResult& result) {
  std::string out;
  for (const auto& target : result.targets) {
    out += (out.empty() ? "" : " ") + target.name + "@";
    for (std::size_t i = 0; i < target.portals.size(); ++i) {
      out += (i == 0 ? "" : ",") + to_string(target.portals[i]);
    }
  }
  return out;
}

TEST(Discovery, DSC06_RecordsAreNamesWithAddresses) {
  const auto result = parse_send_targets(
      pairs(
          "TargetName=iqn.2024-01.a:1;TargetAddress=10.0.0.1:3260,1;TargetAddress=[2001:db8::1],2;"
          "TargetName=iqn.2024-01.a:2;TargetAddress=disk.example,1"),
      kCurrent);
  EXPECT_EQ(result.verdict, DiscoveryVerdict::ok);
  EXPECT_EQ(shown(result),
            "iqn.2024-01.a:1@10.0.0.1:3260,[2001:db8::1]:3260 iqn.2024-01.a:2@disk.example:3260");
  EXPECT_EQ(result.targets[0].portals[1].portal_group_tag, 2);
}

TEST(Discovery, DSC06_ThousandRecords) {
  std::string list;
  for (int i = 0; i < 1000; ++i) {
    list += (i == 0 ? "" : ";") + ("TargetName=iqn.2024-01.a:" + std::to_string(i));
  }
  EXPECT_EQ(parse_send_targets(pairs(list), kCurrent).targets.size(), 1000u);
}

TEST(Discovery, DSC07_NameWithoutAddressIsAtTheCurrentPortal) {
  const auto result =
      parse_send_targets(pairs("TargetName=iqn.2024-01.a:1;TargetName=iqn.2024-01.a:2"), kCurrent);
  EXPECT_EQ(shown(result), "iqn.2024-01.a:1@192.0.2.9:3261 iqn.2024-01.a:2@192.0.2.9:3261");
}

TEST(Discovery, DSC08_StrayAddressesAndForeignKeysAreCounted) {
  const auto result = parse_send_targets(
      pairs("TargetAddress=10.0.0.1,1;MaxBurstLength=512;TargetName=iqn.2024-01.a:1"), kCurrent);
  EXPECT_EQ(shown(result), "iqn.2024-01.a:1@192.0.2.9:3261");
  EXPECT_EQ(result.addresses_dropped, 1u);
  EXPECT_EQ(result.foreign_keys, 1u);
}

TEST(Discovery, DSC09_BadAddressesAreDroppedGoodOnesKept) {
  const auto result = parse_send_targets(
      pairs("TargetName=iqn.2024-01.a:1;TargetAddress=[::1;TargetAddress=10.0.0.1:0,1;"
            "TargetAddress=10.0.0.2:3260,65536;TargetAddress=10.0.0.3,1;"
            "TargetName=iqn.2024-01.a:2;TargetAddress=host:,1"),
      kCurrent);
  EXPECT_EQ(shown(result), "iqn.2024-01.a:1@10.0.0.3:3260");
  EXPECT_EQ(result.addresses_dropped, 4u);
  EXPECT_EQ(result.names_dropped, 1u)
      << "a target with bad addresses only is not at the current portal";
}

TEST(Discovery, DSC10_EmptyAnswerIsAnEmptyList) {
  const auto result = parse_send_targets({}, kCurrent);
  EXPECT_EQ(result.verdict, DiscoveryVerdict::ok);
  EXPECT_TRUE(result.targets.empty());
}

TEST(Discovery, DSC19_NAM02_BadNamesAreDroppedWithTheirAddresses) {
  const auto result = parse_send_targets(
      pairs(
          "TargetName=iqn.2024-01.a:../../x\n;TargetAddress=10.0.0.1,1;TargetName=iqn.2024-01.a:" +
          std::string(224, 'x') + ";TargetName=iqn.2024-01.a:ok;TargetAddress=10.0.0.2,1"),
      kCurrent);
  EXPECT_EQ(shown(result), "iqn.2024-01.a:ok@10.0.0.2:3260");
  EXPECT_EQ(result.names_dropped, 2u);
}

TEST(Discovery, DSC20_NAM06_DuplicatesAreMerged) {
  const auto result = parse_send_targets(
      pairs("TargetName=iqn.2024-01.a:1;TargetAddress=10.0.0.1,1;TargetName=iqn.2024-01.a:2;"
            "TargetName=IQN.2024-01.A:1;TargetAddress=10.0.0.1,1;TargetAddress=10.0.0.2,1"),
      kCurrent);
  EXPECT_EQ(shown(result),
            "iqn.2024-01.a:1@10.0.0.1:3260,10.0.0.2:3260 iqn.2024-01.a:2@192.0.2.9:3261");
}

TEST(Discovery, DSC18_PortalsOfOneTargetAreBounded) {
  std::string list = "TargetName=iqn.2024-01.a:1";
  for (int i = 1; i <= 300; ++i) list += ";TargetAddress=10.0.0.1:" + std::to_string(i) + ",1";
  const auto result = parse_send_targets(pairs(list), kCurrent);
  EXPECT_EQ(result.targets[0].portals.size(), kPortalsPerTargetMax);
  EXPECT_EQ(result.addresses_dropped, 300u - kPortalsPerTargetMax);
}

TEST(Discovery, RefusedKeyAndMalformedTextHaveVerdicts) {
  const auto refused = parse_send_targets(pairs("SendTargets=NotUnderstood"), kCurrent);
  EXPECT_EQ(refused.verdict, DiscoveryVerdict::key_refused);
  EXPECT_EQ(refused.isdsc, isdsc::kInvalidTextKey);
  const auto malformed = parse_send_targets(bytes_of("TargetName=iqn.2024-01.a:1"), kCurrent);
  EXPECT_EQ(malformed.verdict, DiscoveryVerdict::malformed_text);
  EXPECT_EQ(malformed.isdsc, isdsc::kInvalidSendTargetsText);
}

TEST(Discovery, DSC11_DSC12_AnswerSplitAtEveryByteIsTheSame) {
  const auto text =
      pairs("TargetName=iqn.2024-01.a:1;TargetAddress=10.0.0.1:3260,1;TargetName=iqn.2024-01.a:2");
  const std::string expected = shown(parse_send_targets(text, kCurrent));
  for (std::size_t at = 0; at <= text.size(); ++at) {
    for (const std::uint8_t flags : {std::uint8_t{0}, wire::TextResponse::kContinue}) {
      TextExchange exchange{"All"};
      wire::TextResponse first;
      first.flags = flags;
      first.target_transfer_tag.set(7);
      ASSERT_TRUE(std::holds_alternative<TextSend>(
          exchange.on_pdu(std::bit_cast<wire::Bhs>(first), std::span{text}.first(at))));
      wire::TextResponse last;
      last.flags = wire::kFinal;
      const TextStep step =
          exchange.on_pdu(std::bit_cast<wire::Bhs>(last), std::span{text}.subspan(at));
      ASSERT_TRUE(std::holds_alternative<TextSucceeded>(step));
      EXPECT_EQ(shown(parse_send_targets(std::get<TextSucceeded>(step).text, kCurrent)), expected)
          << at;
    }
  }
}

}  // namespace
}  // namespace pollux::session
