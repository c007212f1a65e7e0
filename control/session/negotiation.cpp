// Result functions and rules of RFC 7143 6.2 and 13. See negotiation.hpp.
#include "control/session/negotiation.hpp"

#include <algorithm>

#include "control/session/display_text.hpp"
#include "dataplane/base/assert.hpp"

namespace pollux::session {
namespace {

// NEG-25 asks for 8192 bytes of text at least, which is 2048 keys of the shortest form.
constexpr std::size_t kUnknownKeysMax = 4096;
constexpr std::string_view kNotUnderstood = "NotUnderstood";
constexpr std::string_view kIrrelevant = "Irrelevant";
constexpr std::string_view kReject = "Reject";

bool is_reserved_answer(std::string_view value) noexcept {
  return value == kNotUnderstood || value == kIrrelevant || value == kReject;
}

std::string_view digest_name(Digest digest) noexcept {
  return digest == Digest::crc32c ? "CRC32C" : "None";
}

std::optional<Digest> find_digest(std::string_view name) noexcept {
  if (name == "CRC32C") return Digest::crc32c;
  if (name == "None") return Digest::none;
  return std::nullopt;
}

std::string value_text(const KeyRule& rule, std::uint32_t value) {
  if (rule.type == ValueType::boolean) return value != 0 ? "Yes" : "No";
  if (rule.type == ValueType::digest_list) {
    return std::string{digest_name(static_cast<Digest>(value))};
  }
  return std::to_string(value);
}

std::optional<std::uint32_t> parse_value(const KeyRule& rule, std::string_view text) noexcept {
  if (rule.type == ValueType::boolean) {
    const auto value = wire::parse_boolean(text);
    if (!value) return std::nullopt;
    return *value ? 1u : 0u;
  }
  const auto number = wire::parse_number(text, rule.min, rule.max);
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

std::uint32_t combine(ResultFunction function, std::uint32_t mine, std::uint32_t his) noexcept {
  switch (function) {
    case ResultFunction::minimum:
    case ResultFunction::logical_and:
      return std::min(mine, his);
    case ResultFunction::maximum:
    case ResultFunction::logical_or:
      return std::max(mine, his);
    case ResultFunction::declarative:
    case ResultFunction::first_supported:
    case ResultFunction::obsolete:
      break;
  }
  return his;
}

}  // namespace

std::string_view negotiation_verdict_words(NegotiationVerdict verdict) noexcept {
  switch (verdict) {
    case NegotiationVerdict::ok:
      return "agreed";
    case NegotiationVerdict::duplicate_key:
      return "sent twice in one login";
    case NegotiationVerdict::not_allowed_in_stage:
      return "not allowed in this stage of login";
    case NegotiationVerdict::not_sent_by_targets:
      return "not a key that targets may send here";
    case NegotiationVerdict::illegal_value:
      return "an illegal value";
    case NegotiationVerdict::outside_result_function:
      return "an answer that our offer does not allow";
    case NegotiationVerdict::not_offered:
      return "a choice that was not offered";
    case NegotiationVerdict::reserved_value_proposed:
      return "a reserved word proposed as a value";
    case NegotiationVerdict::not_understood:
      return "NotUnderstood for a key that every target must know";
    case NegotiationVerdict::needs_answer_in_last_pdu:
      return "a proposal in the last response of a stage";
    case NegotiationVerdict::first_burst_above_max_burst:
      return "FirstBurstLength above MaxBurstLength";
    case NegotiationVerdict::too_many_keys:
      return "more keys than a login may have";
  }
  return "";
}

void append_pair(std::vector<std::byte>& text, std::string_view key, std::string_view value) {
  const std::size_t at = text.size();
  text.resize(at + wire::text_pair_bytes(key, value));
  wire::TextBuilder builder{std::span{text}.subspan(at)};
  POLLUX_ASSERT(builder.append(key, value));
}

Negotiation::Negotiation(const Offer& offer, SessionType session_type, bool is_leading)
    : offer_(offer), session_type_(session_type), is_leading_(is_leading) {
  POLLUX_ASSERT(!offer.header_digest.empty() && !offer.data_digest.empty());
  // NEG-23: our own offer keeps FirstBurstLength <= MaxBurstLength (RFC 7143 13.14).
  offer_.first_burst_length = std::min(offer_.first_burst_length, offer_.max_burst_length);
  // DSC-03: ErrorRecoveryLevel is 0 in discovery (RFC 7143 7.4.1).
  if (session_type_ == SessionType::discovery) offer_.error_recovery_level = 0;
  // KEY-14, RFC 7143 13.19: recovery with sequences in order allows one R2T only.
  if (offer_.error_recovery_level > 0 && offer_.data_sequence_in_order) {
    offer_.max_outstanding_r2t = 1;
  }
}

const std::vector<Digest>& Negotiation::digests(Key key) const noexcept {
  return key == Key::header_digest ? offer_.header_digest : offer_.data_digest;
}

// What we want for a key, whoever names it first.
std::uint32_t Negotiation::preference(Key key) const noexcept {
  switch (key) {
    case Key::max_connections:
      return offer_.max_connections;
    case Key::initial_r2t:
      return offer_.initial_r2t ? 1 : 0;
    case Key::immediate_data:
      return offer_.immediate_data ? 1 : 0;
    case Key::max_recv_data_segment_length:
      return offer_.max_recv_data_segment_length;
    case Key::max_burst_length:
      return offer_.max_burst_length;
    case Key::first_burst_length:
      return offer_.first_burst_length;
    case Key::default_time2wait:
      return offer_.default_time2wait;
    case Key::default_time2retain:
      return offer_.default_time2retain;
    case Key::max_outstanding_r2t:
      return offer_.max_outstanding_r2t;
    case Key::data_pdu_in_order:
      return offer_.data_pdu_in_order ? 1 : 0;
    case Key::data_sequence_in_order:
      return offer_.data_sequence_in_order ? 1 : 0;
    case Key::error_recovery_level:
      return offer_.error_recovery_level;
    default:
      return key_rule(key).default_value;
  }
}

// RFC 7143 13 (Irrelevant when Discovery) and 13.14 (no unsolicited data at all).
bool Negotiation::is_irrelevant(const KeyRule& rule) const noexcept {
  if (session_type_ == SessionType::discovery && rule.is_discovery_irrelevant) return true;
  return rule.key == Key::first_burst_length && offer_.initial_r2t && !offer_.immediate_data;
}

void Negotiation::offer_value(Key key, std::vector<std::byte>& text) {
  const KeyRule& rule = key_rule(key);
  KeyState& key_state = state(key);
  // Not when it has no meaning, on an added connection (NEG-21), or when the target proposed it
  // first.
  if (is_irrelevant(rule) || key_state.mine.has_value()) return;
  if (rule.use == KeyUse::leading && !is_leading_) return;
  key_state.is_offered = true;
  if (rule.type == ValueType::digest_list) {
    std::string list;
    for (const Digest digest : digests(key)) {
      if (!list.empty()) list += ',';
      list += digest_name(digest);
    }
    key_state.mine = static_cast<std::uint32_t>(digests(key).front());
    append_pair(text, rule.name, list);
    return;
  }
  key_state.mine = preference(key);
  append_pair(text, rule.name, value_text(rule, *key_state.mine));
}

void Negotiation::append_offers(std::vector<std::byte>& text) {
  constexpr std::array kOffered = {
      Key::header_digest,
      Key::data_digest,
      Key::max_recv_data_segment_length,
      Key::default_time2wait,
      Key::default_time2retain,
      Key::error_recovery_level,
      Key::max_connections,
      Key::initial_r2t,
      Key::immediate_data,
      Key::max_burst_length,
      Key::first_burst_length,
      Key::max_outstanding_r2t,
      Key::data_pdu_in_order,
      Key::data_sequence_in_order,
  };
  for (const Key key : kOffered) offer_value(key, text);
}

NegotiationVerdict Negotiation::on_pair(const wire::TextPair& pair, const PairContext& context,
                                        std::vector<std::byte>& answers) {
  const KeyRule* rule = find_key(pair.key);
  if (rule == nullptr) return on_unknown(pair, context, answers);
  if (rule->sender == KeySender::initiator) return NegotiationVerdict::not_sent_by_targets;
  if (context.is_security_stage && !rule->is_security_stage) {
    return NegotiationVerdict::not_allowed_in_stage;
  }
  if (rule->key == Key::target_address)
    return NegotiationVerdict::ok;  // of use in redirections only
  KeyState& key_state = state(rule->key);
  if (key_state.was_received) return NegotiationVerdict::duplicate_key;  // LOG-38
  key_state.was_received = true;
  if (rule->result == ResultFunction::declarative) return on_declaration(*rule, pair.value);
  if (key_state.is_offered) return on_answer(*rule, pair.value);
  if (context.is_last_of_stage) return NegotiationVerdict::needs_answer_in_last_pdu;  // LOG-41
  return on_proposal(*rule, pair.value, answers);
}

NegotiationVerdict Negotiation::on_unknown(const wire::TextPair& pair, const PairContext& context,
                                           std::vector<std::byte>& answers) {
  if (is_reserved_answer(pair.value)) return NegotiationVerdict::reserved_value_proposed;
  if (unknown_keys_.size() >= kUnknownKeysMax) return NegotiationVerdict::too_many_keys;
  if (!unknown_keys_.emplace(pair.key).second) return NegotiationVerdict::duplicate_key;
  if (context.is_last_of_stage) {
    // A private key may be a declaration, which needs no answer; any other unknown key needs one.
    const bool is_private = pair.key.starts_with("X-");
    return is_private ? NegotiationVerdict::ok : NegotiationVerdict::needs_answer_in_last_pdu;
  }
  append_pair(answers, pair.key, kNotUnderstood);  // NEG-11
  return NegotiationVerdict::ok;
}

NegotiationVerdict Negotiation::on_declaration(const KeyRule& rule, std::string_view value) {
  if (rule.type == ValueType::number) {
    const auto number = parse_value(rule, value);
    if (!number) return NegotiationVerdict::illegal_value;
    state(rule.key).his = number;
    return NegotiationVerdict::ok;
  }
  if (rule.key == Key::target_alias) target_alias_ = printable(value, key_limits::kAliasBytesMax);
  return NegotiationVerdict::ok;
}

NegotiationVerdict Negotiation::on_answer(const KeyRule& rule, std::string_view value) {
  KeyState& key_state = state(rule.key);
  if (value == kNotUnderstood) {
    return rule.is_not_understood_allowed ? NegotiationVerdict::ok
                                          : NegotiationVerdict::not_understood;  // NEG-12
  }
  // NEG-14, NEG-15: the negotiation of this key ends and its default stays in force.
  if (value == kIrrelevant || value == kReject) {
    key_state.active = rule.default_value;
    return NegotiationVerdict::ok;
  }
  if (rule.type == ValueType::digest_list) {
    // NEG-08, NEG-10: exactly one of the values we listed; a list is not an answer.
    const auto digest = find_digest(value);
    const std::vector<Digest>& offered = digests(rule.key);
    if (!digest) return NegotiationVerdict::not_offered;
    if (std::find(offered.begin(), offered.end(), *digest) == offered.end()) {
      return NegotiationVerdict::not_offered;
    }
    key_state.his = static_cast<std::uint32_t>(*digest);
    key_state.active = key_state.his;
    return NegotiationVerdict::ok;
  }
  const auto his = parse_value(rule, value);
  if (!his) return NegotiationVerdict::illegal_value;
  // NEG-17: an answer is the result already, so combining it with our offer must not move it.
  if (combine(rule.result, *key_state.mine, *his) != *his) {
    return NegotiationVerdict::outside_result_function;
  }
  key_state.his = his;
  key_state.active = his;
  return NegotiationVerdict::ok;
}

NegotiationVerdict Negotiation::on_proposal(const KeyRule& rule, std::string_view value,
                                            std::vector<std::byte>& answers) {
  if (is_reserved_answer(value)) return NegotiationVerdict::reserved_value_proposed;  // NEG-16
  KeyState& key_state = state(rule.key);
  if (rule.result == ResultFunction::obsolete || (rule.use == KeyUse::leading && !is_leading_)) {
    append_pair(answers, rule.name, kReject);  // NEG-27, NEG-22
    return NegotiationVerdict::ok;
  }
  if (is_irrelevant(rule)) {
    append_pair(answers, rule.name, kIrrelevant);  // DSC-04
    return NegotiationVerdict::ok;
  }
  if (rule.result == ResultFunction::first_supported) return answer_list(rule, value, answers);
  const auto his = parse_value(rule, value);
  if (!his) return NegotiationVerdict::illegal_value;
  key_state.his = his;
  key_state.mine = combine(rule.result, preference(rule.key), *his);
  key_state.active = key_state.mine;
  append_pair(answers, rule.name, value_text(rule, *key_state.mine));
  return NegotiationVerdict::ok;
}

// NEG-09, RFC 7143 6.2.1: the first value of the target's list that we support; Reject if there is
// none.
NegotiationVerdict Negotiation::answer_list(const KeyRule& rule, std::string_view value,
                                            std::vector<std::byte>& answers) {
  KeyState& key_state = state(rule.key);
  if (rule.type == ValueType::text_list) {
    // RFC 7143 13.23: we behave as RFC 3720 says, which is the default.
    const bool is_listed = wire::list_contains(value, "RFC3720");
    append_pair(answers, rule.name, is_listed ? "RFC3720" : kReject);
    return NegotiationVerdict::ok;
  }
  const std::vector<Digest>& supported = digests(rule.key);
  wire::ListSplitter list{value};
  while (const auto entry = list.next()) {
    const auto digest = find_digest(*entry);
    if (!digest || std::find(supported.begin(), supported.end(), *digest) == supported.end())
      continue;
    key_state.mine = static_cast<std::uint32_t>(*digest);
    key_state.active = key_state.mine;
    append_pair(answers, rule.name, *entry);
    return NegotiationVerdict::ok;
  }
  key_state.mine = rule.default_value;
  key_state.active = rule.default_value;
  append_pair(answers, rule.name, kReject);
  return NegotiationVerdict::ok;
}

// The value in force for a negotiated key.
std::uint32_t Negotiation::result_of(Key key) noexcept {
  const KeyRule& rule = key_rule(key);
  const KeyState& key_state = state(key);
  if (key_state.active) return *key_state.active;
  // NEG-18: a boolean whose result our offer fixes needs no answer. LOG-49: else the default holds.
  if (key_state.is_offered && rule.result == ResultFunction::logical_and && *key_state.mine == 0)
    return 0;
  if (key_state.is_offered && rule.result == ResultFunction::logical_or && *key_state.mine == 1)
    return 1;
  return rule.default_value;
}

NegotiationVerdict Negotiation::finish(OperationalParameters& parameters) {
  const std::uint32_t max_burst = result_of(Key::max_burst_length);
  std::uint32_t first_burst = result_of(Key::first_burst_length);
  if (first_burst > max_burst) {
    // NEG-23: an agreed value above MaxBurstLength is an error; a default one is held down.
    if (state(Key::first_burst_length).his) return NegotiationVerdict::first_burst_above_max_burst;
    first_burst = max_burst;
  }
  parameters.header_digest = result_of(Key::header_digest) != 0;
  parameters.data_digest = result_of(Key::data_digest) != 0;
  parameters.max_recv_data_segment_length =
      state(Key::max_recv_data_segment_length)
          .mine.value_or(key_rule(Key::max_recv_data_segment_length).default_value);
  parameters.target_max_recv_data_segment_length =
      state(Key::max_recv_data_segment_length)
          .his.value_or(key_rule(Key::max_recv_data_segment_length).default_value);
  parameters.max_burst_length = max_burst;
  parameters.first_burst_length = first_burst;
  parameters.initial_r2t = result_of(Key::initial_r2t) != 0;
  parameters.immediate_data = result_of(Key::immediate_data) != 0;
  parameters.data_pdu_in_order = result_of(Key::data_pdu_in_order) != 0;
  parameters.data_sequence_in_order = result_of(Key::data_sequence_in_order) != 0;
  parameters.default_time2wait = static_cast<std::uint16_t>(result_of(Key::default_time2wait));
  parameters.default_time2retain = static_cast<std::uint16_t>(result_of(Key::default_time2retain));
  parameters.max_connections = static_cast<std::uint16_t>(result_of(Key::max_connections));
  parameters.error_recovery_level = static_cast<std::uint8_t>(result_of(Key::error_recovery_level));
  parameters.max_outstanding_r2t = static_cast<std::uint16_t>(result_of(Key::max_outstanding_r2t));
  if (parameters.error_recovery_level > 0 && parameters.data_sequence_in_order) {
    parameters.max_outstanding_r2t = 1;  // KEY-14
  }
  if (const auto& tag = state(Key::target_portal_group_tag).his) {
    parameters.target_portal_group_tag = static_cast<std::uint16_t>(*tag);
  }
  parameters.target_alias = target_alias_;
  return NegotiationVerdict::ok;
}

}  // namespace pollux::session
