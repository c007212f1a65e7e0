// The login state machine. See login.hpp.
#include "control/session/login.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "control/session/display_text.hpp"
#include "control/session/isid.hpp"
#include "control/session/login_status.hpp"
#include "dataplane/base/assert.hpp"

namespace pollux::session {
namespace {

using wire::LoginFlags;

constexpr std::size_t kShownBytesMax = 80;
constexpr std::uint8_t kReservedStage = 2;

std::uint8_t csg_of(std::uint8_t flags) noexcept {
  return (flags >> LoginFlags::kCsgShift) & LoginFlags::kStageMask;
}
std::uint8_t nsg_of(std::uint8_t flags) noexcept { return flags & LoginFlags::kStageMask; }

std::vector<std::unique_ptr<AuthenticationMethod>> no_authentication() {
  std::vector<std::unique_ptr<AuthenticationMethod>> methods;
  methods.push_back(std::make_unique<NoAuthentication>());
  return methods;
}

LoginFailure negotiation_failure(std::string sentence) {
  return {.kind = LoginFailureKind::negotiation,
          .sentence = std::move(sentence),
          .isdsc = isdsc::kLoginFailed,
          .exit_code = exit_code::kLoginFailed};
}

}  // namespace

Login::Login(LoginOptions options) : Login(std::move(options), no_authentication()) {}

Login::Login(LoginOptions options, std::vector<std::unique_ptr<AuthenticationMethod>> methods)
    : options_(std::move(options)),
      security_(std::move(methods)),
      negotiation_(options_.offer, options_.session_type, options_.tsih == 0),
      exp_stat_sn_(options_.exp_stat_sn) {
  POLLUX_ASSERT(is_legal_isid(options_.isid));
  POLLUX_ASSERT(!options_.initiator_name.empty());
  POLLUX_ASSERT(options_.session_type == SessionType::discovery || !options_.target_name.empty());
}

// RFC 7143 6.3: names and SessionType come in the first request and never again (LOG-08, LOG-09).
OutgoingPdu Login::start() {
  POLLUX_ASSERT(exchanges_ == 0);
  const bool is_discovery = options_.session_type == SessionType::discovery;
  append_pair(text_to_send_, "InitiatorName", options_.initiator_name);
  if (!options_.initiator_alias.empty()) {
    append_pair(text_to_send_, "InitiatorAlias", options_.initiator_alias);
  }
  if (!options_.target_name.empty()) append_pair(text_to_send_, "TargetName", options_.target_name);
  if (options_.tsih == 0) {
    append_pair(text_to_send_, "SessionType", is_discovery ? "Discovery" : "Normal");
  }
  security_.append_offer(text_to_send_);
  return next_request();
}

// The next part of what we have to say. C and T are never both set (LOG-11), NSG is zero without T
// (LOG-12).
OutgoingPdu Login::next_request() {
  return build_request(stage_ == Stage::operational || security_.may_transit());
}

OutgoingPdu Login::build_request(bool wants_transit) {
  const std::size_t bytes = std::min(text_to_send_.size(), kLoginSegmentBytesMax);
  const bool is_continued = bytes < text_to_send_.size();
  const auto csg = static_cast<std::uint8_t>(stage_);
  auto flags = static_cast<std::uint8_t>(csg << LoginFlags::kCsgShift);
  if (is_continued) {
    flags |= LoginFlags::kContinue;
  } else if (wants_transit) {
    const Stage next = stage_ == Stage::security ? Stage::operational : Stage::full_feature;
    flags |= static_cast<std::uint8_t>(LoginFlags::kTransit | static_cast<std::uint8_t>(next));
  }
  wire::LoginRequest request;
  request.flags = flags;
  request.data_segment_length.set(static_cast<std::uint32_t>(bytes));
  request.isid = options_.isid;
  request.tsih.set(options_.tsih);
  request.initiator_task_tag.set(options_.initiator_task_tag);
  request.cid.set(options_.cid);
  request.cmd_sn.set(options_.cmd_sn.raw());
  request.exp_stat_sn.set(exp_stat_sn_.raw());
  const auto end = text_to_send_.begin() + static_cast<std::ptrdiff_t>(bytes);
  OutgoingPdu pdu{std::bit_cast<wire::Bhs>(request), {text_to_send_.begin(), end}};
  text_to_send_.erase(text_to_send_.begin(), end);
  sent_flags_ = flags;
  ++exchanges_;
  return pdu;
}

LoginStep Login::send_next() {
  if (exchanges_ >= options_.exchanges_max) {  // LOG-36
    return fail({.kind = LoginFailureKind::too_many_exchanges,
                 .sentence = fmt::format("the target did not finish the login in {} exchanges",
                                         options_.exchanges_max),
                 .isdsc = isdsc::kLoginFailed,
                 .exit_code = exit_code::kLoginFailed});
  }
  return SendPdu{next_request()};
}

LoginStep Login::on_pdu(const wire::Bhs& bhs, std::span<const std::byte> data) {
  if (is_over_) return fail_protocol("sent a PDU after the end of the login");
  if (bhs.op() != wire::Opcode::login_response) {  // LOG-29, RFC 7143 4.2.4
    return fail_protocol(
        fmt::format("sent opcode 0x{:02x} during login", bhs.opcode & wire::kOpcodeMask));
  }
  return on_response(std::bit_cast<wire::LoginResponse>(bhs), data);
}

LoginStep Login::on_response(const wire::LoginResponse& response, std::span<const std::byte> data) {
  if (response.initiator_task_tag.get() != options_.initiator_task_tag) {
    return fail_protocol("answered the login with another Initiator Task Tag");
  }
  // LOG-33, STS-15: with a status of another class than 0 nothing else in the header counts.
  if (response.status_class != kStatusClassSuccess) return on_status(response, data);
  if (const std::string_view fault = find_fault(response, data); !fault.empty()) {
    return fail_protocol(fault);
  }
  // LOG-07: each response advances StatSN by one; login responses are acknowledged by the next
  // request.
  exp_stat_sn_ = StatSn{response.stat_sn.get()} + 1;
  has_stat_sn_ = true;
  text_received_.insert(text_received_.end(), data.begin(), data.end());
  if (text_received_.size() > kLoginTextBytesMax) {
    return fail_protocol(fmt::format("sent more than {} bytes of text", kLoginTextBytesMax));
  }
  if ((response.flags & LoginFlags::kContinue) != 0) {  // LOG-21: an empty request, T = 0
    if (exchanges_ >= options_.exchanges_max) return send_next();
    return SendPdu{build_request(false)};
  }
  if ((sent_flags_ & LoginFlags::kContinue) != 0) return send_next();  // LOG-22
  return on_text(response);
}

// The rules of the header, status class 0. Empty when none is broken.
std::string_view Login::find_fault(const wire::LoginResponse& response,
                                   std::span<const std::byte> data) const {
  if (response.total_ahs_length != 0) return "sent a Login Response with an additional header";
  if (response.isid != options_.isid) return "answered the login with another ISID";
  if (options_.tsih != 0 && response.tsih.get() != options_.tsih) {
    return "answered the login with another TSIH";
  }
  if (response.version_active != 0) return "chose a protocol version other than 0";
  // LOG-31: before full feature phase a gap in StatSN cannot be recovered.
  if (has_stat_sn_ && StatSn{response.stat_sn.get()} != exp_stat_sn_) {
    return "sent a Login Response out of StatSN order";
  }
  if (data.size() > kLoginSegmentBytesMax) return "sent more than 8192 bytes in a Login Response";
  if (const std::string_view fault = find_stage_fault(response.flags); !fault.empty()) return fault;
  if ((sent_flags_ & LoginFlags::kContinue) != 0) {  // LOG-24
    const bool is_continued = (response.flags & LoginFlags::kContinue) != 0;
    if (!data.empty() || is_continued) return "answered before our text was complete";
  }
  return {};
}

// RFC 7143 6.3, 11.13.6 and 11.13.7.
std::string_view Login::find_stage_fault(std::uint8_t flags) const {
  const bool has_transit = (flags & LoginFlags::kTransit) != 0;
  if (has_transit && (flags & LoginFlags::kContinue) != 0) return "set both T and C";
  if (csg_of(flags) != csg_of(sent_flags_)) return "answered for another login stage";
  if (!has_transit) return {};
  if ((sent_flags_ & LoginFlags::kTransit) == 0)
    return "changed the login stage without being asked";
  const std::uint8_t nsg = nsg_of(flags);
  if (nsg == kReservedStage || nsg <= csg_of(flags))
    return "chose a next stage that does not exist";
  if (nsg > nsg_of(sent_flags_)) return "chose a later stage than the one asked for";
  return {};
}

LoginStep Login::on_text(const wire::LoginResponse& response) {
  const bool has_transit = (response.flags & LoginFlags::kTransit) != 0;
  if (auto failure = on_pairs(has_transit)) return fail(std::move(*failure));
  text_received_.clear();
  if (!has_transit) return send_next();                     // LOG-14
  if (stage_ == Stage::security && !security_.may_end()) {  // LOG-45
    return fail({.kind = LoginFailureKind::authentication,
                 .sentence = "the target skipped the authentication that is required here",
                 .isdsc = isdsc::kAuthenticationFailure,
                 .exit_code = exit_code::kLoginAuthFailed});
  }
  stage_ = static_cast<Stage>(nsg_of(response.flags));
  if (stage_ == Stage::full_feature) return finish(response);
  negotiation_.append_offers(text_to_send_);
  return send_next();
}

std::optional<LoginFailure> Login::on_pairs(bool is_last_of_stage) {
  wire::TextSplitter splitter{text_received_};
  while (const auto pair = splitter.next()) {
    if (auto failure = on_pair(*pair, is_last_of_stage)) return failure;
  }
  if (splitter.verdict() == wire::TextVerdict::ok) return std::nullopt;
  return negotiation_failure(
      fmt::format("the target sent {}", wire::text_verdict_words(splitter.verdict())));
}

std::optional<LoginFailure> Login::on_pair(const wire::TextPair& pair, bool is_last_of_stage) {
  const bool is_security_stage = stage_ == Stage::security;
  if (is_security_stage && SecurityStage::owns(pair.key)) {
    SecurityVerdict verdict = security_.on_pair(pair, text_to_send_);
    if (verdict.fault == SecurityFault::none) return std::nullopt;
    return LoginFailure{.kind = LoginFailureKind::authentication,
                        .sentence = std::move(verdict.sentence),
                        .isdsc = isdsc::kAuthenticationFailure,
                        .exit_code = exit_code::kLoginAuthFailed};
  }
  NegotiationVerdict verdict = NegotiationVerdict::not_allowed_in_stage;  // LOG-39
  if (!SecurityStage::owns(pair.key)) {
    verdict = negotiation_.on_pair(pair, {is_security_stage, is_last_of_stage}, text_to_send_);
  }
  if (verdict == NegotiationVerdict::ok) return std::nullopt;
  return negotiation_failure(
      fmt::format("the target sent {}={}: {}", printable(pair.key, wire::kTextKeyBytesMax),
                  printable(pair.value, kShownBytesMax), negotiation_verdict_words(verdict)));
}

LoginStep Login::finish(const wire::LoginResponse& response) {
  const std::uint16_t tsih = response.tsih.get();
  if (tsih == 0) return fail_protocol("accepted the login with a TSIH of 0");  // LOG-25
  LoginResult result{.tsih = tsih,
                     .exp_stat_sn = exp_stat_sn_,
                     .exp_cmd_sn = CmdSn{response.exp_cmd_sn.get()},
                     .max_cmd_sn = CmdSn{response.max_cmd_sn.get()},
                     .cmd_sn = options_.cmd_sn};
  const NegotiationVerdict verdict = negotiation_.finish(result.parameters);
  if (verdict != NegotiationVerdict::ok) {
    return fail(negotiation_failure(
        fmt::format("the target agreed to {}", negotiation_verdict_words(verdict))));
  }
  if (result.max_cmd_sn.precedes(result.exp_cmd_sn - 1)) {
    // RFC 7143 4.2.2.1: then both are ignored. The window stays closed until a later PDU opens it.
    result.exp_cmd_sn = options_.cmd_sn;
    result.max_cmd_sn = options_.cmd_sn - 1;
  }
  is_over_ = true;
  return LoginSucceeded{std::move(result)};
}

LoginStep Login::on_status(const wire::LoginResponse& response, std::span<const std::byte> data) {
  if (response.status_class == kStatusClassRedirection) return on_redirection(response, data);
  const LoginStatus& status = login_status(response.status_class, response.status_detail);
  const bool is_target_error = response.status_class == kStatusClassTargetError;
  return fail({.kind = is_target_error ? LoginFailureKind::target_error : LoginFailureKind::refused,
               .status_class = response.status_class,
               .status_detail = response.status_detail,
               .sentence = fmt::format("{} (login status {:02x}{:02x})", status.sentence,
                                       response.status_class, response.status_detail),
               .isdsc = status.isdsc,
               .exit_code = status.exit_code,
               .is_retryable = status.is_retryable});
}

// RFC 7143 11.13.5: the new addresses come as TargetAddress keys, in the order to try them.
LoginStep Login::on_redirection(const wire::LoginResponse& response,
                                std::span<const std::byte> data) {
  constexpr std::size_t kAddressesMax = 64;
  LoginRedirected redirected{
      .addresses = {}, .is_permanent = response.status_detail == kStatusDetailMovedPermanently};
  wire::TextSplitter splitter{data};
  while (const auto pair = splitter.next()) {
    if (pair->key != key_rule(Key::target_address).name) continue;
    auto address = parse_target_address(pair->value);
    if (address && redirected.addresses.size() < kAddressesMax) {
      redirected.addresses.push_back(std::move(*address));
    }
  }
  if (redirected.addresses.empty() || splitter.verdict() != wire::TextVerdict::ok) {  // STS-03
    const LoginStatus& status = login_status(response.status_class, response.status_detail);
    return fail(
        {.kind = LoginFailureKind::bad_redirection,
         .status_class = response.status_class,
         .status_detail = response.status_detail,
         .sentence = fmt::format("{}, but gives no address that can be used", status.sentence),
         .isdsc = status.isdsc,
         .exit_code = exit_code::kLoginFailed});
  }
  is_over_ = true;
  return redirected;
}

LoginFailed Login::on_deadline() {
  return fail({.kind = LoginFailureKind::timed_out,
               .sentence = has_stat_sn_ ? "the target did not finish the login in time"
                                        : "the target accepted the connection but did not answer",
               .isdsc = isdsc::kLoginFailed,
               .exit_code = exit_code::kTransportTimeout,
               .is_retryable = true});
}

LoginFailed Login::on_connection_lost(std::string_view reason) {
  return fail({.kind = LoginFailureKind::connection_lost,
               .sentence = fmt::format("the connection was lost during login: {}", reason),
               .isdsc = isdsc::kConnectionFailed,
               .exit_code = exit_code::kTransport,
               .is_retryable = true});
}

LoginFailed Login::fail_protocol(std::string_view what) {
  return fail({.kind = LoginFailureKind::protocol_error,
               .sentence = fmt::format("the target {}", what),
               .isdsc = isdsc::kLoginFailed,
               .exit_code = exit_code::kLoginFailed});
}

LoginFailed Login::fail(LoginFailure failure) {
  is_over_ = true;
  return LoginFailed{std::move(failure)};
}

}  // namespace pollux::session
