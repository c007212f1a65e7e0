// Text Request sequences: rows DSC-05, DSC-11, DSC-12, DSC-14, DSC-18 and TXT.
#include "control/session/text_exchange.hpp"

#include <gtest/gtest.h>

#include "control/session/login_status.hpp"
#include "tests/unit/login/script.hpp"

namespace pollux::session {
namespace {

using test::bytes_of;
using test::text_of;

constexpr std::uint8_t kF = wire::kFinal;
constexpr std::uint8_t kTextC = wire::TextResponse::kContinue;

wire::Bhs response(std::uint8_t flags, std::uint32_t tag, std::uint64_t lun = 0) {
  wire::TextResponse r;
  r.flags = flags;
  r.target_transfer_tag.set(tag);
  r.lun.set(lun);
  return std::bit_cast<wire::Bhs>(r);
}

void expect_broken(const TextStep& step, TextFailureKind kind) {
  ASSERT_TRUE(std::holds_alternative<TextFailed>(step));
  EXPECT_EQ(std::get<TextFailed>(step).failure.kind, kind);
  EXPECT_TRUE(std::get<TextFailed>(step).failure.is_connection_broken);
}

TEST(TextExchange, DSC05_RequestIsOneKeyInOneFinalPdu) {
  const OutgoingPdu pdu = TextExchange{"All"}.start();
  const auto request = std::bit_cast<wire::TextRequest>(pdu.bhs);
  EXPECT_EQ(request.opcode, 0x04);
  EXPECT_EQ(request.flags, 0x80);
  EXPECT_EQ(request.target_transfer_tag.get(), wire::kReservedTag);
  EXPECT_EQ(request.data_segment_length.get(), 16u);
  EXPECT_EQ(text_of(pdu.data), std::string("SendTargets=All\0", 16));
  // The worker stamps these.
  EXPECT_EQ(request.initiator_task_tag.get(), 0u);
  EXPECT_EQ(request.cmd_sn.get(), 0u);
  EXPECT_EQ(request.exp_stat_sn.get(), 0u);
}

TEST(TextExchange, DSC11_DSC12_TXT07_ContinuationsEchoTheLatestTagAndLun) {
  TextExchange exchange{"All"};
  (void)exchange.start();
  const std::string parts[] = {"TargetNa", "me=iqn.2024-01.example:", "x"};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const std::uint64_t lun = 0x0102'0304'0506'0700 + i;
    const auto flags = i == 1 ? kTextC : std::uint8_t{0};
    const TextStep step = exchange.on_pdu(response(flags, 0x50 + i, lun), bytes_of(parts[i]));
    ASSERT_TRUE(std::holds_alternative<TextSend>(step));
    const auto& pdu = std::get<TextSend>(step).pdu;
    const auto request = std::bit_cast<wire::TextRequest>(pdu.bhs);
    EXPECT_EQ(request.flags, 0x80);
    EXPECT_EQ(request.target_transfer_tag.get(), 0x50 + i);
    EXPECT_EQ(request.lun.get(), lun);
    EXPECT_TRUE(pdu.data.empty());
    EXPECT_EQ(request.data_segment_length.get(), 0u);
  }
  const TextStep step =
      exchange.on_pdu(response(kF, 0x1234), bytes_of(std::string_view("\0", 1)));  // TXT-04
  ASSERT_TRUE(std::holds_alternative<TextSucceeded>(step));
  EXPECT_EQ(text_of(std::get<TextSucceeded>(step).text),
            std::string("TargetName=iqn.2024-01.example:x\0", 33));
}

TEST(TextExchange, DSC10_EmptyAnswerIsSuccess) {
  TextExchange exchange{"All"};
  const TextStep step = exchange.on_pdu(response(kF, wire::kReservedTag), {});
  ASSERT_TRUE(std::holds_alternative<TextSucceeded>(step));
  EXPECT_TRUE(std::get<TextSucceeded>(step).text.empty());
}

TEST(TextExchange, TXT04_OpenAnswerWithoutTagIsAnError) {
  TextExchange exchange{"All"};
  expect_broken(exchange.on_pdu(response(0, wire::kReservedTag), {}),
                TextFailureKind::protocol_error);
}

TEST(TextExchange, TXT06_FinalAndContinueTogetherAreAnError) {
  TextExchange exchange{"All"};
  expect_broken(exchange.on_pdu(response(kF | kTextC, 1), {}), TextFailureKind::protocol_error);
}

TEST(TextExchange, TXT12_OtherPdusAndLateAnswersAreErrors) {
  TextExchange exchange{"All"};
  wire::Bhs other;
  other.opcode = static_cast<std::uint8_t>(wire::Opcode::login_response);
  expect_broken(exchange.on_pdu(other, {}), TextFailureKind::protocol_error);
  TextExchange done{"All"};
  (void)done.on_pdu(response(kF, wire::kReservedTag), {});
  expect_broken(done.on_pdu(response(kF, wire::kReservedTag), {}), TextFailureKind::protocol_error);
}

TEST(TextExchange, DSC18_TextAndContinuationsAreCapped) {
  TextExchange big{"All"};
  const std::vector<std::byte> part(65536, std::byte{'x'});
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(std::holds_alternative<TextSend>(big.on_pdu(response(0, 1), part)));
  }
  expect_broken(big.on_pdu(response(0, 1), bytes_of("x")), TextFailureKind::too_much_text);
  TextExchange endless{"All"};
  for (int i = 0; i < kTextContinuationsMax; ++i) {
    ASSERT_TRUE(std::holds_alternative<TextSend>(endless.on_pdu(response(0, 1), {})));
  }
  expect_broken(endless.on_pdu(response(0, 1), {}), TextFailureKind::too_many_continuations);
}

TEST(TextExchange, TXT10_TXT14_RejectAndTimeoutLeaveTheSessionAlone) {
  for (const std::uint8_t reason : {std::uint8_t{0x04}, std::uint8_t{0x0a}}) {
    const TextFailure failure = TextExchange{"All"}.on_reject(reason).failure;
    EXPECT_FALSE(failure.is_connection_broken);
    EXPECT_EQ(failure.is_retryable, reason == 0x0a);
    EXPECT_EQ(failure.isdsc, isdsc::kTargetError);
  }
  EXPECT_FALSE(TextExchange{"All"}.on_deadline().failure.is_connection_broken);
}

// --- the value of SendTargets ---

TEST(SendTargetsKey, AcceptsTheValueOrTheWholePair) {
  const auto key = [](std::string_view text) {
    return send_targets_key(text, SessionType::discovery, "");
  };
  EXPECT_EQ(key("All").value, "All");
  EXPECT_EQ(key("SendTargets=All").value, "All");
  EXPECT_EQ(key("IQN.2024-01.example:X").value, "iqn.2024-01.example:x");
  EXPECT_EQ(key("SendTargets=eui.0123456789abcdef").value, "eui.0123456789abcdef");
}

TEST(SendTargetsKey, RefusesEverythingThatCouldAddText) {
  for (const std::string& text :
       {std::string("SendTargets=SendTargets=All"), std::string("A=B"), std::string("All\0X=1", 7),
        std::string("All\n"), std::string("sendtargets=All"), std::string("all"),
        std::string("\x7f"), std::string("nonsense"), std::string(300, 'a'), std::string()}) {
    const SendTargetsKey key = send_targets_key(text, SessionType::discovery, "");
    EXPECT_FALSE(key.value) << text;
    EXPECT_EQ(key.isdsc, isdsc::kInvalidParameter) << text;
    EXPECT_FALSE(key.sentence.empty());
  }
}

TEST(SendTargetsKey, DSC14_NormalSessionAsksOnlyAboutItsOwnTarget) {
  const auto key = [](std::string_view text) {
    return send_targets_key(text, SessionType::normal, "iqn.2024-01.example:own");
  };
  EXPECT_EQ(key("").value, "");
  EXPECT_EQ(key("SendTargets=").value, "");
  EXPECT_EQ(key("iqn.2024-01.example:OWN").value, "");
  EXPECT_EQ(key("All").isdsc, isdsc::kSessionTypeNotSupported);
  EXPECT_EQ(key("iqn.2024-01.example:other").isdsc, isdsc::kSessionTypeNotSupported);
}

}  // namespace
}  // namespace pollux::session
