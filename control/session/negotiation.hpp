// Negotiation of the operational keys during login (RFC 7143 sections 6.2 and 13): what we offer,
// what the target may answer or propose, and the values both end up with. Driven by session/login;
// knows nothing of PDUs. Results exist only once finish() succeeded: a failed negotiation changes
// nothing (NEG-24).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/session/key_table.hpp"
#include "control/session/session_types.hpp"
#include "dataplane/wire/text.hpp"

namespace pollux::session {

enum class Digest : std::uint8_t { none = 0, crc32c = 1 };

/// What we ask for. Digest lists are in order of preference and must not be empty.
struct Offer {
  std::vector<Digest> header_digest{Digest::none};
  std::vector<Digest> data_digest{Digest::none};
  std::uint32_t max_recv_data_segment_length = 262144;  ///< what we can receive, bytes
  std::uint32_t max_burst_length = 1048576;
  std::uint32_t first_burst_length = 262144;  ///< sent no larger than max_burst_length
  std::uint32_t max_outstanding_r2t = 1;
  std::uint32_t max_connections = 1;
  std::uint32_t default_time2wait = 2;     ///< seconds
  std::uint32_t default_time2retain = 20;  ///< seconds
  std::uint32_t error_recovery_level = 0;
  bool initial_r2t = false;
  bool immediate_data = true;
  bool data_pdu_in_order = true;
  bool data_sequence_in_order = true;
};

/// Values in force after login. Lengths in bytes, times in seconds.
struct OperationalParameters {
  bool header_digest = false;  ///< CRC32C
  bool data_digest = false;
  std::uint32_t max_recv_data_segment_length = 8192;         ///< ours: the target's PDUs to us
  std::uint32_t target_max_recv_data_segment_length = 8192;  ///< his: our PDUs to him
  std::uint32_t max_burst_length = 262144;
  std::uint32_t first_burst_length = 65536;  ///< never above max_burst_length
  bool initial_r2t = true;
  bool immediate_data = true;
  std::uint16_t max_outstanding_r2t = 1;
  bool data_pdu_in_order = true;
  bool data_sequence_in_order = true;
  std::uint16_t default_time2wait = 2;
  std::uint16_t default_time2retain = 20;
  std::uint16_t max_connections = 1;
  std::uint8_t error_recovery_level = 0;
  std::optional<std::uint16_t> target_portal_group_tag;
  std::string target_alias;  ///< for display only, escaped (NEG-34)
};

enum class NegotiationVerdict : std::uint8_t {
  ok,
  duplicate_key,
  not_allowed_in_stage,
  not_sent_by_targets,
  illegal_value,
  outside_result_function,
  not_offered,
  reserved_value_proposed,
  not_understood,            ///< for a key every implementation knows
  needs_answer_in_last_pdu,  ///< proposed in a T=1 response
  first_burst_above_max_burst,
  too_many_keys,
};
inline constexpr std::size_t kNegotiationVerdictCount = 12;
[[nodiscard]] std::string_view negotiation_verdict_words(NegotiationVerdict verdict) noexcept;

/// Where a pair of the target arrived.
struct PairContext {
  bool is_security_stage;  ///< CSG = 0
  bool is_last_of_stage;   ///< T = 1: nothing more of this stage can be answered
};

/// Appends a pair to text that will be sent.
void append_pair(std::vector<std::byte>& text, std::string_view key, std::string_view value);

class Negotiation {
 public:
  /// `is_leading` is false when a connection is added to a session: session-wide keys are then left
  /// out.
  Negotiation(const Offer& offer, SessionType session_type, bool is_leading);

  /// Our offers and declarations, sent once, when the operational stage begins.
  void append_offers(std::vector<std::byte>& text);

  /// One pair of the target, status class 0. Answers it calls for are appended to `answers`.
  [[nodiscard]] NegotiationVerdict on_pair(const wire::TextPair& pair, const PairContext& context,
                                           std::vector<std::byte>& answers);

  /// At the end of login: unanswered offers fall back to defaults (LOG-49), relations are checked.
  [[nodiscard]] NegotiationVerdict finish(OperationalParameters& parameters);

 private:
  struct KeyState {
    std::optional<std::uint32_t> mine;    ///< offered or answered by us
    std::optional<std::uint32_t> his;     ///< offered, answered or declared by the target
    std::optional<std::uint32_t> active;  ///< the agreed value
    bool is_offered = false;
    bool was_received = false;
  };

  [[nodiscard]] KeyState& state(Key key) noexcept { return states_[key_index(key)]; }
  [[nodiscard]] std::uint32_t preference(Key key) const noexcept;
  [[nodiscard]] const std::vector<Digest>& digests(Key key) const noexcept;
  [[nodiscard]] bool is_irrelevant(const KeyRule& rule) const noexcept;
  [[nodiscard]] std::uint32_t result_of(Key key) noexcept;
  void offer_value(Key key, std::vector<std::byte>& text);

  [[nodiscard]] NegotiationVerdict on_unknown(const wire::TextPair& pair,
                                              const PairContext& context,
                                              std::vector<std::byte>& answers);
  [[nodiscard]] NegotiationVerdict on_declaration(const KeyRule& rule, std::string_view value);
  [[nodiscard]] NegotiationVerdict on_answer(const KeyRule& rule, std::string_view value);
  [[nodiscard]] NegotiationVerdict on_proposal(const KeyRule& rule, std::string_view value,
                                               std::vector<std::byte>& answers);
  [[nodiscard]] NegotiationVerdict answer_list(const KeyRule& rule, std::string_view value,
                                               std::vector<std::byte>& answers);

  Offer offer_;
  SessionType session_type_;
  bool is_leading_;
  std::array<KeyState, kKeyCount> states_{};
  std::set<std::string, std::less<>> unknown_keys_;  ///< to find repetitions; bounded
  std::string target_alias_;
};

}  // namespace pollux::session
