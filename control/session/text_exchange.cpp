// SendTargets requests and their continuations. See text_exchange.hpp.
#include "control/session/text_exchange.hpp"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "control/session/iscsi_name.hpp"
#include "control/session/login_status.hpp"
#include "control/session/negotiation.hpp"
#include "dataplane/base/assert.hpp"

namespace pollux::session {
namespace {

constexpr std::string_view kSendTargets = "SendTargets";
constexpr std::uint8_t kRejectLongOperation = 0x0a;  // RFC 7143 11.17.1

SendTargetsKey refuse(std::string sentence, std::uint32_t code) {
  return {std::nullopt, std::move(sentence), code};
}

SendTargetsKey refuse_on_normal_session() {
  return refuse("on a normal session SendTargets may only ask about that session's own target",
                isdsc::kSessionTypeNotSupported);
}

}  // namespace

TextExchange::TextExchange(std::string_view send_targets_value) : value_(send_targets_value) {}

// DSC-05: one PDU, one key, F=1, C=0, reserved TTT.
OutgoingPdu TextExchange::start() const {
  OutgoingPdu pdu;
  append_pair(pdu.data, kSendTargets, value_);
  wire::TextRequest request;
  request.flags = wire::kFinal;
  request.data_segment_length.set(static_cast<std::uint32_t>(pdu.data.size()));
  pdu.bhs = std::bit_cast<wire::Bhs>(request);
  return pdu;
}

TextStep TextExchange::on_pdu(const wire::Bhs& bhs, std::span<const std::byte> data) {
  if (is_over_) return fail_protocol("sent a Text Response that nobody asked for");
  if (bhs.op() != wire::Opcode::text_response) {
    return fail_protocol(fmt::format("answered a Text Request with opcode 0x{:02x}",
                                     bhs.opcode & wire::kOpcodeMask));
  }
  const auto response = std::bit_cast<wire::TextResponse>(bhs);
  const bool is_final = (response.flags & wire::kFinal) != 0;
  const bool is_continued = (response.flags & wire::TextResponse::kContinue) != 0;
  const std::uint32_t tag = response.target_transfer_tag.get();
  if (is_final && is_continued) return fail_protocol("set both F and C in a Text Response");
  if (!is_final && tag == wire::kReservedTag) {  // TXT-04
    return fail_protocol("left a text answer open without a Target Transfer Tag to go on with");
  }
  if (data.size() > kTextAnswerBytesMax - text_received_.size()) {
    return fail({.kind = TextFailureKind::too_much_text,
                 .sentence = fmt::format("the target's answer is longer than {} bytes",
                                         kTextAnswerBytesMax),
                 .isdsc = isdsc::kInvalidSendTargetsText,
                 .is_connection_broken = true,
                 .is_retryable = false});
  }
  text_received_.insert(text_received_.end(), data.begin(), data.end());
  if (is_final) {
    is_over_ = true;
    return TextSucceeded{std::move(text_received_)};
  }
  if (++continuations_ > kTextContinuationsMax) {
    return fail({.kind = TextFailureKind::too_many_continuations,
                 .sentence = fmt::format("the target's answer did not end after {} parts",
                                         kTextContinuationsMax),
                 .isdsc = isdsc::kInvalidSendTargetsText,
                 .is_connection_broken = true,
                 .is_retryable = false});
  }
  // DSC-11, RFC 7143 11.10.4: empty, F=1, with the latest TTT and LUN. DSC-12: C=1 is answered
  // alike.
  wire::TextRequest request;
  request.flags = wire::kFinal;
  request.lun = response.lun;
  request.target_transfer_tag.set(tag);
  return TextSend{{std::bit_cast<wire::Bhs>(request), {}}};
}

TextFailed TextExchange::on_reject(std::uint8_t reason) {
  return fail(
      {.kind = TextFailureKind::rejected,
       .sentence = fmt::format("the target rejected the Text Request (reason 0x{:02x})", reason),
       .isdsc = isdsc::kTargetError,
       .is_connection_broken = false,
       .is_retryable = reason == kRejectLongOperation});
}

TextFailed TextExchange::on_deadline() {
  return fail({.kind = TextFailureKind::timed_out,
               .sentence = "the target did not answer the Text Request in time",
               .isdsc = isdsc::kTransportError,
               .is_connection_broken = false,
               .is_retryable = true});
}

TextFailed TextExchange::fail_protocol(std::string_view what) {
  return fail({.kind = TextFailureKind::protocol_error,
               .sentence = fmt::format("the target {}", what),
               .isdsc = isdsc::kInvalidSendTargetsText,
               .is_connection_broken = true,
               .is_retryable = false});
}

TextFailed TextExchange::fail(TextFailure failure) {
  is_over_ = true;
  text_received_.clear();
  return TextFailed{std::move(failure)};
}

SendTargetsKey send_targets_key(std::string_view text, SessionType session_type,
                                std::string_view session_target_name) {
  constexpr std::string_view kPrefix = "SendTargets=";
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  // Anything that could end the value or begin another pair would be text injected into the PDU.
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '=') {
      return refuse("the SendTargets text holds a character that is not allowed there",
                    isdsc::kInvalidParameter);
    }
  }
  const bool is_discovery = session_type == SessionType::discovery;
  if (text.empty()) {
    if (!is_discovery) return {.value = std::string{}, .sentence = {}};
    return refuse("a discovery session has no target of its own: ask for All or for a name",
                  isdsc::kInvalidParameter);
  }
  if (text == "All") {
    if (is_discovery) return {.value = "All", .sentence = {}};
    return refuse_on_normal_session();
  }
  FoldedName folded = fold_iscsi_name(text);
  if (folded.verdict != NameVerdict::ok) {
    return refuse(fmt::format("the SendTargets text is neither All nor an iSCSI name: it is {}",
                              name_verdict_words(folded.verdict)),
                  isdsc::kInvalidParameter);
  }
  if (is_discovery) return {.value = std::move(folded.name), .sentence = {}};
  if (folded.name == session_target_name) return {.value = std::string{}, .sentence = {}};
  return refuse_on_normal_session();
}

}  // namespace pollux::session
