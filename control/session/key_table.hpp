// The text keys of RFC 7143 section 13 as one table: type, range, default, result function, scope
// and the places a key may appear in. Everything negotiation decides about a key it reads from its
// row.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pollux::session {

enum class Key : std::uint8_t {
  header_digest,
  data_digest,
  max_connections,
  send_targets,
  target_name,
  initiator_name,
  target_alias,
  initiator_alias,
  target_address,
  target_portal_group_tag,
  initial_r2t,
  immediate_data,
  max_recv_data_segment_length,
  max_burst_length,
  first_burst_length,
  default_time2wait,
  default_time2retain,
  max_outstanding_r2t,
  data_pdu_in_order,
  data_sequence_in_order,
  error_recovery_level,
  session_type,
  task_reporting,
  iscsi_protocol_level,
  node_architecture,
  if_marker,
  of_marker,
  if_mark_int,
  of_mark_int,
};
inline constexpr std::size_t kKeyCount = 29;

enum class ValueType : std::uint8_t { boolean, number, digest_list, text_list, text };

/// RFC 7143 6.2 and the "Result function" of each key.
enum class ResultFunction : std::uint8_t {
  declarative,  ///< stated, never answered
  minimum,
  maximum,
  logical_or,
  logical_and,
  first_supported,
  obsolete,  ///< 13.25: always answered Reject
};

/// "Use" of RFC 7143 section 13.
enum class KeyUse : std::uint8_t {
  login,         ///< IO: any login
  leading,       ///< LO: the leading connection's login only
  full_feature,  ///< FFPO
  all,
};

enum class KeySender : std::uint8_t { initiator, target, both };
enum class KeyScope : std::uint8_t { connection, session };

struct KeyRule {
  Key key;
  std::string_view name;
  ValueType type;
  std::uint32_t min;
  std::uint32_t max;
  std::uint32_t default_value;  ///< booleans: 1 = Yes; digests: 0 = None
  ResultFunction result;
  KeyUse use;
  KeySender sender;
  KeyScope scope;
  bool is_security_stage;          ///< may appear while CSG = 0
  bool is_discovery_irrelevant;    ///< Irrelevant when SessionType=Discovery
  bool is_not_understood_allowed;  ///< newer than RFC 3720: a peer may not know it
  std::string_view section;        ///< of RFC 7143
};

namespace key_limits {
inline constexpr std::uint32_t kSegmentMin = 512;
inline constexpr std::uint32_t kSegmentMax = 0xff'ffff;
inline constexpr std::uint32_t kTimeMax = 3600;
inline constexpr std::uint32_t kU16Max = 0xffff;
inline constexpr std::uint32_t kAliasBytesMax = 255;
}  // namespace key_limits

inline constexpr auto kKeyTable = [] {
  using namespace key_limits;
  using K = Key;
  using V = ValueType;
  using R = ResultFunction;
  using U = KeyUse;
  using P = KeySender;
  using C = KeyScope;
  return std::to_array<KeyRule>({
      // key, name, type, min, max, default, result, use, sender, scope, security, irrelevant in
      // discovery, NotUnderstood allowed, section
      {K::header_digest, "HeaderDigest", V::digest_list, 0, 1, 0, R::first_supported, U::login,
       P::both, C::connection, false, false, false, "13.1"},
      {K::data_digest, "DataDigest", V::digest_list, 0, 1, 0, R::first_supported, U::login, P::both,
       C::connection, false, false, false, "13.1"},
      {K::max_connections, "MaxConnections", V::number, 1, kU16Max, 1, R::minimum, U::leading,
       P::both, C::session, false, true, false, "13.2"},
      {K::send_targets, "SendTargets", V::text, 0, 0, 0, R::declarative, U::full_feature,
       P::initiator, C::session, false, false, false, "13.3"},
      {K::target_name, "TargetName", V::text, 0, 0, 0, R::declarative, U::login, P::initiator,
       C::session, true, false, false, "13.4"},
      {K::initiator_name, "InitiatorName", V::text, 0, 0, 0, R::declarative, U::login, P::initiator,
       C::session, true, false, false, "13.5"},
      {K::target_alias, "TargetAlias", V::text, 0, 0, 0, R::declarative, U::all, P::target,
       C::session, true, false, false, "13.6"},
      {K::initiator_alias, "InitiatorAlias", V::text, 0, 0, 0, R::declarative, U::all, P::initiator,
       C::session, true, false, false, "13.7"},
      {K::target_address, "TargetAddress", V::text, 0, 0, 0, R::declarative, U::all, P::target,
       C::session, true, false, false, "13.8"},
      {K::target_portal_group_tag, "TargetPortalGroupTag", V::number, 0, kU16Max, 0, R::declarative,
       U::login, P::target, C::session, true, false, false, "13.9"},
      {K::initial_r2t, "InitialR2T", V::boolean, 0, 1, 1, R::logical_or, U::leading, P::both,
       C::session, false, true, false, "13.10"},
      {K::immediate_data, "ImmediateData", V::boolean, 0, 1, 1, R::logical_and, U::leading, P::both,
       C::session, false, true, false, "13.11"},
      {K::max_recv_data_segment_length, "MaxRecvDataSegmentLength", V::number, kSegmentMin,
       kSegmentMax, 8192, R::declarative, U::all, P::both, C::connection, false, false, false,
       "13.12"},
      {K::max_burst_length, "MaxBurstLength", V::number, kSegmentMin, kSegmentMax, 262144,
       R::minimum, U::leading, P::both, C::session, false, true, false, "13.13"},
      {K::first_burst_length, "FirstBurstLength", V::number, kSegmentMin, kSegmentMax, 65536,
       R::minimum, U::leading, P::both, C::session, false, true, false, "13.14"},
      {K::default_time2wait, "DefaultTime2Wait", V::number, 0, kTimeMax, 2, R::maximum, U::leading,
       P::both, C::session, false, false, false, "13.15"},
      {K::default_time2retain, "DefaultTime2Retain", V::number, 0, kTimeMax, 20, R::minimum,
       U::leading, P::both, C::session, false, false, false, "13.16"},
      {K::max_outstanding_r2t, "MaxOutstandingR2T", V::number, 1, kU16Max, 1, R::minimum,
       U::leading, P::both, C::session, false, true, false, "13.17"},
      {K::data_pdu_in_order, "DataPDUInOrder", V::boolean, 0, 1, 1, R::logical_or, U::leading,
       P::both, C::session, false, true, false, "13.18"},
      {K::data_sequence_in_order, "DataSequenceInOrder", V::boolean, 0, 1, 1, R::logical_or,
       U::leading, P::both, C::session, false, true, false, "13.19"},
      {K::error_recovery_level, "ErrorRecoveryLevel", V::number, 0, 2, 0, R::minimum, U::leading,
       P::both, C::session, false, false, false, "13.20"},
      {K::session_type, "SessionType", V::text, 0, 0, 0, R::declarative, U::leading, P::initiator,
       C::session, true, false, false, "13.21"},
      {K::task_reporting, "TaskReporting", V::text_list, 0, 0, 0, R::first_supported, U::leading,
       P::both, C::session, false, true, true, "13.23"},
      {K::iscsi_protocol_level, "iSCSIProtocolLevel", V::number, 0, 31, 1, R::minimum, U::leading,
       P::both, C::session, false, true, true, "13.24"},
      {K::node_architecture, "X#NodeArchitecture", V::text, 0, 0, 0, R::declarative, U::leading,
       P::both, C::session, false, false, true, "13.26"},
      {K::if_marker, "IFMarker", V::text, 0, 0, 0, R::obsolete, U::login, P::both, C::connection,
       false, false, false, "13.25"},
      {K::of_marker, "OFMarker", V::text, 0, 0, 0, R::obsolete, U::login, P::both, C::connection,
       false, false, false, "13.25"},
      {K::if_mark_int, "IFMarkInt", V::text, 0, 0, 0, R::obsolete, U::login, P::both, C::connection,
       false, false, false, "13.25"},
      {K::of_mark_int, "OFMarkInt", V::text, 0, 0, 0, R::obsolete, U::login, P::both, C::connection,
       false, false, false, "13.25"},
  });
}();

constexpr std::size_t key_index(Key key) noexcept { return static_cast<std::size_t>(key); }
constexpr const KeyRule& key_rule(Key key) noexcept { return kKeyTable[key_index(key)]; }

/// Keys are case sensitive (RFC 7143 6.1). Null when the table does not have it.
constexpr const KeyRule* find_key(std::string_view name) noexcept {
  for (const KeyRule& rule : kKeyTable) {
    if (rule.name == name) return &rule;
  }
  return nullptr;
}

consteval bool key_table_is_in_order() {
  for (std::size_t i = 0; i < kKeyTable.size(); ++i) {
    const KeyRule& rule = kKeyTable[i];
    if (key_index(rule.key) != i || find_key(rule.name) != &rule) return false;
    if (rule.default_value < rule.min || rule.default_value > rule.max) return false;
  }
  return kKeyTable.size() == kKeyCount;
}
static_assert(key_table_is_in_order());

}  // namespace pollux::session
