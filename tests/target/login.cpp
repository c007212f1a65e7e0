// Login as the target sees it (RFC 7143 section 6): stages, the answer to every key, the statuses.
#include <algorithm>
#include <cstring>

#include "tests/target/text_answer.hpp"

namespace pollux::target {
namespace {

constexpr std::uint8_t kSecurity = 0;  // RFC 7143 11.12.3
constexpr std::uint8_t kOperational = 1;
constexpr std::uint8_t kFullFeature = 3;

// RFC 7143 11.13.5, class and detail.
constexpr std::uint16_t kInitiatorError = 0x0200;
constexpr std::uint16_t kAuthenticationFailure = 0x0201;
constexpr std::uint16_t kNotFound = 0x0203;
constexpr std::uint16_t kUnsupportedVersion = 0x0205;
constexpr std::uint16_t kTooManyConnections = 0x0206;
constexpr std::uint16_t kMissingParameter = 0x0207;
constexpr std::uint16_t kSessionTypeNotSupported = 0x0209;
constexpr std::uint16_t kSessionDoesNotExist = 0x020a;
constexpr std::uint16_t kOutOfResources = 0x0302;

constexpr std::string_view kDiscovery = "Discovery";
constexpr std::uint32_t kSegmentMin = 512;
constexpr std::uint32_t kPortalGroup = 1;

/// Keys whose second appearance in a login is a violation, and whose number has a range.
struct NumberKey {
  std::string_view name;
  std::uint32_t min;
  std::uint32_t max;
};
constexpr std::uint32_t kSegmentMax = wire::kDataSegmentLengthMax;
constexpr std::array kNumberKeys{
    NumberKey{"MaxConnections", 1, 65535},
    NumberKey{"MaxRecvDataSegmentLength", kSegmentMin, kSegmentMax},
    NumberKey{"MaxBurstLength", kSegmentMin, kSegmentMax},
    NumberKey{"FirstBurstLength", kSegmentMin, kSegmentMax},
    NumberKey{"DefaultTime2Wait", 0, 3600},
    NumberKey{"DefaultTime2Retain", 0, 3600},
    NumberKey{"MaxOutstandingR2T", 1, 65535},
    NumberKey{"ErrorRecoveryLevel", 0, 2},
    NumberKey{"iSCSIProtocolLevel", 0, 31},
};
// RFC 7143 13: "Irrelevant when: SessionType=Discovery".
constexpr std::array<std::string_view, 9> kNormalOnly{
    "MaxConnections", "InitialR2T",          "ImmediateData",
    "MaxBurstLength", "FirstBurstLength",    "MaxOutstandingR2T",
    "DataPDUInOrder", "DataSequenceInOrder", "TaskReporting"};
constexpr std::array<std::string_view, 6> kSecurityStage{
    "InitiatorName", "InitiatorAlias", "TargetName", "SessionType", "AuthMethod", "TargetAddress"};

template <class Table>
bool has(const Table& table, std::string_view name) noexcept {
  return std::find(table.begin(), table.end(), name) != table.end();
}

}  // namespace

/// The text of one request (C-bit parts joined), split.
struct Protocol::LoginOffer {
  static constexpr std::size_t kPairsMax = 64;
  std::array<wire::TextPair, kPairsMax> pairs;
  std::size_t count = 0;
  std::string_view initiator_name;
  std::string_view target_name;
  std::string_view session_type;
};

void Protocol::begin_login_pdu(Connection& c) noexcept {
  const std::uint32_t room = gather_text(c);
  if (room >= c.input.data_length()) return;
  checks_.note(Violation::text, "login text too long", c.input.data_length(), room);
  c.drop_pdu = true;
  refuse_login(c, kOutOfResources);
}

bool Protocol::check_login_header(Connection& c, const wire::LoginRequest& request) noexcept {
  const unsigned stage =
      request.flags >> wire::LoginFlags::kCsgShift & wire::LoginFlags::kStageMask;
  const unsigned next = request.flags & wire::LoginFlags::kStageMask;
  const bool transit = (request.flags & wire::LoginFlags::kTransit) != 0;
  const bool more = (request.flags & wire::LoginFlags::kContinue) != 0;
  checks_.require((request.opcode & wire::kImmediate) != 0, Violation::immediate_bit,
                  "I bit of a Login Request");
  checks_.require((request.flags & 0x30) == 0, Violation::reserved_field, "Login Request byte 1",
                  request.flags);
  checks_.require(!(transit && more), Violation::login_stage, "T and C both set");
  // RFC 7143 11.12.3: NSG is reserved without T; with T it lies ahead and is never 2.
  const bool next_good = transit ? next > stage && next != 2 : next == 0;
  checks_.require(next_good, Violation::login_stage, "NSG", next);
  LoginState& login = c.login;
  if (login.is_first) {
    login.initiator_task_tag = request.initiator_task_tag.get();
    login.cmd_sn = request.cmd_sn.get();
    login.stage = static_cast<std::uint8_t>(stage);
    c.isid = request.isid;
    c.cid = request.cid.get();
    c.exp_cmd_sn = CmdSn{login.cmd_sn};
    c.max_cmd_sn = c.exp_cmd_sn - 1;
  } else {
    const bool same = login.initiator_task_tag == request.initiator_task_tag.get() &&
                      c.isid == request.isid && c.cid == request.cid.get();
    checks_.require(same, Violation::login_field, "ITT, ISID or CID changes during login");
    checks_.require(login.cmd_sn == request.cmd_sn.get(), Violation::login_field,
                    "CmdSN changes during login", request.cmd_sn.get(), login.cmd_sn);
    check_exp_stat_sn(c, request.exp_stat_sn.get());
  }
  const bool stage_good = stage == login.stage && stage <= kOperational;
  checks_.require(stage_good, Violation::login_stage, "CSG", stage, login.stage);
  if (request.version_min != 0) {
    refuse_login(c, kUnsupportedVersion);
    return false;
  }
  if (stage_good && next_good && !(transit && more)) return true;
  refuse_login(c, kInitiatorError);
  return false;
}

void Protocol::end_login_pdu(Connection& c) noexcept {
  const auto request = c.input.header<wire::LoginRequest>();
  c.text_bytes += c.input.data_length();
  if (!check_login_header(c, request)) return;
  c.login.is_first = false;
  TextAnswer answer;
  if ((request.flags & wire::LoginFlags::kContinue) != 0) {
    // RFC 7143 6.2: an empty answer asks for the rest.
    return send_login_response(c, request, answer, false);
  }
  LoginOffer offer;
  if (!read_offers(c, offer)) return refuse_login(c, kInitiatorError);
  if (c.initiator_name[0] == '\0' && !identify(c, request, offer)) return;
  answer_offers(c, offer, answer);
  c.text_bytes = 0;
  if (c.must_close) return;
  const bool transit = (request.flags & wire::LoginFlags::kTransit) != 0;
  send_login_response(c, request, answer, transit);
  if (!transit) return;
  c.login.stage = request.flags & wire::LoginFlags::kStageMask;
  if (c.login.stage == kFullFeature) enter_full_feature(c);
}

bool Protocol::read_offers(Connection& c, LoginOffer& offer) noexcept {
  wire::TextSplitter splitter{std::span{c.text.get(), c.text_bytes}};
  while (const auto pair = splitter.next()) {
    if (offer.count == LoginOffer::kPairsMax) return false;
    offer.pairs[offer.count++] = *pair;
    if (pair->key == "InitiatorName") offer.initiator_name = pair->value;
    if (pair->key == "TargetName") offer.target_name = pair->value;
    if (pair->key == "SessionType") offer.session_type = pair->value;
  }
  return checks_.require(splitter.verdict() == wire::TextVerdict::ok, Violation::text,
                         "text of a Login Request", static_cast<std::uint64_t>(splitter.verdict()));
}

/// RFC 7143 6.3, 11.12: who logs in, to what, into which session. False: refused.
bool Protocol::identify(Connection& c, const wire::LoginRequest& request,
                        const LoginOffer& offer) noexcept {
  const std::string_view name = offer.initiator_name;
  if (!checks_.require(!name.empty() && name.size() <= Connection::kNameBytesMax,
                       Violation::login_key, "InitiatorName", name.size())) {
    refuse_login(c, kMissingParameter);
    return false;
  }
  c.is_discovery = offer.session_type == kDiscovery;
  if (!offer.session_type.empty() && !c.is_discovery && offer.session_type != "Normal") {
    checks_.note(Violation::login_key, "SessionType");
    refuse_login(c, kSessionTypeNotSupported);
    return false;
  }
  if (!c.is_discovery) {
    if (!checks_.require(!offer.target_name.empty(), Violation::login_key, "TargetName missing")) {
      refuse_login(c, kMissingParameter);
      return false;
    }
    const auto at = std::find(config_.names.begin(), config_.names.end(), offer.target_name);
    if (at == config_.names.end()) {
      refuse_login(c, kNotFound);
      return false;
    }
    c.target_index = static_cast<std::uint32_t>(at - config_.names.begin());
  }
  if (request.tsih.get() != 0) {
    const bool known =
        std::any_of(connections_.begin(), connections_.end(), [&](const Connection& other) {
          return other.phase == Phase::full_feature && other.tsih == request.tsih.get();
        });
    refuse_login(c, known ? kTooManyConnections : kSessionDoesNotExist);
    return false;
  }
  std::memcpy(c.initiator_name.data(), name.data(), name.size());
  c.initiator_name[name.size()] = '\0';
  return true;
}

void Protocol::answer_offers(Connection& c, const LoginOffer& offer, TextAnswer& answer) noexcept {
  if (c.login.stage == kOperational) c.login.has_authenticated = true;
  for (std::size_t i = 0; i < offer.count; ++i) {
    for (std::size_t k = 0; k < i; ++k)
      checks_.require(offer.pairs[k].key != offer.pairs[i].key, Violation::login_key,
                      "a key twice in one request");
    answer_key(c, offer, i, answer);
    if (c.must_close) return;
  }
  if (!c.is_discovery && !c.login.has_group_tag) {
    // RFC 7143 13.9: in the first response behind a complete first request.
    answer.add("TargetPortalGroupTag", std::uint64_t{kPortalGroup});
    c.login.has_group_tag = true;
  }
  if (c.login.stage == kOperational && !c.login.has_declared) {
    answer.add("MaxRecvDataSegmentLength",
               std::uint64_t{config_.answers.max_recv_data_segment_length});
    c.login.has_declared = true;
  }
}

bool Protocol::answer_digest(std::string_view list, bool crc32c, bool none, bool& use) noexcept {
  // RFC 7143 6.2.1: the first of the offered values that is supported.
  wire::ListSplitter values{list};
  while (const auto value = values.next()) {
    if (*value == "CRC32C" && crc32c) return use = true;
    if (*value == "None" && none) {
      use = false;
      return true;
    }
  }
  return false;
}

void Protocol::answer_key(Connection& c, const LoginOffer& offer, std::size_t at,
                          TextAnswer& answer) noexcept {
  const std::string_view key = offer.pairs[at].key;
  const std::string_view value = offer.pairs[at].value;
  const Answers& ours = config_.answers;
  Negotiated& result = c.negotiated;
  if (key == "InitiatorName" || key == "InitiatorAlias" || key == "TargetName" ||
      key == "SessionType")
    return;
  if (key == "AuthMethod") {
    checks_.require(c.login.stage == kSecurity, Violation::login_key, "AuthMethod in this stage");
    if (!wire::list_contains(value, "None")) return refuse_login(c, kAuthenticationFailure);
    c.login.has_authenticated = true;
    return answer.add(key, "None");
  }
  if (c.login.stage == kSecurity && !has(kSecurityStage, key)) {
    checks_.note(Violation::login_key, "an operational key in the security stage");
    return answer.add(key, "Reject");
  }
  if (c.is_discovery && has(kNormalOnly, key)) return answer.add(key, "Irrelevant");
  if (key == "HeaderDigest" || key == "DataDigest") {
    const bool is_header = key == "HeaderDigest";
    bool& use = is_header ? c.login.digests.header : c.login.digests.data;
    const bool good =
        is_header ? answer_digest(value, ours.header_digest_crc32c, ours.header_digest_none, use)
                  : answer_digest(value, ours.data_digest_crc32c, ours.data_digest_none, use);
    return answer.add(key, !good ? "Reject" : use ? "CRC32C" : "None");
  }
  if (key == "InitialR2T" || key == "ImmediateData" || key == "DataPDUInOrder" ||
      key == "DataSequenceInOrder") {
    const auto offered = wire::parse_boolean(value);
    if (!checks_.require(offered.has_value(), Violation::login_key, "value of a boolean key"))
      return answer.add(key, "Reject");
    bool agreed = true;  // both ordering keys: we insist on Yes (OR)
    if (key == "InitialR2T") agreed = result.initial_r2t = *offered || ours.initial_r2t;
    if (key == "ImmediateData") agreed = result.immediate_data = *offered && ours.immediate_data;
    return answer.add(key, agreed);
  }
  if (key == "TaskReporting")
    return answer.add(key, wire::list_contains(value, "RFC3720") ? "RFC3720" : "Reject");
  if (key == "X#NodeArchitecture") return;
  if (key.starts_with("IFMark") || key.starts_with("OFMark")) return answer.add(key, "Reject");
  answer_number(c, offer, at, answer);
}

void Protocol::answer_number(Connection& c, const LoginOffer& offer, std::size_t at,
                             TextAnswer& answer) noexcept {
  const std::string_view key = offer.pairs[at].key;
  const std::string_view value = offer.pairs[at].value;
  const Answers& ours = config_.answers;
  Negotiated& result = c.negotiated;
  const auto range = std::find_if(kNumberKeys.begin(), kNumberKeys.end(),
                                  [&](const NumberKey& row) { return row.name == key; });
  if (range == kNumberKeys.end()) return answer.add(key, "NotUnderstood");
  const auto number = wire::parse_number(value, range->min, range->max);
  if (!checks_.require(number.has_value(), Violation::login_key, "value of a numeric key"))
    return answer.add(key, "Reject");
  const auto offered = static_cast<std::uint32_t>(*number);
  const auto agree = [&](std::uint32_t agreed) {
    answer.add(key, std::uint64_t{agreed});
    return agreed;
  };
  if (key == "MaxRecvDataSegmentLength") {
    result.initiator_segment_length = offered;  // declared, not negotiated (RFC 7143 13.12)
  } else if (key == "MaxBurstLength") {
    result.max_burst_length = agree(std::min(offered, ours.max_burst_length));
  } else if (key == "FirstBurstLength") {
    // RFC 7143 13.14: not above MaxBurstLength, whichever of the two keys comes first.
    std::uint32_t burst = result.max_burst_length;
    for (std::size_t i = at; i < offer.count; ++i)
      if (offer.pairs[i].key == "MaxBurstLength")
        burst = static_cast<std::uint32_t>(
            wire::parse_number(offer.pairs[i].value, kSegmentMin, kSegmentMax).value_or(burst));
    result.first_burst_length =
        agree(std::min({offered, ours.first_burst_length, ours.max_burst_length, burst}));
  } else if (key == "MaxOutstandingR2T") {
    result.max_outstanding_r2t = agree(std::min<std::uint32_t>(offered, ours.max_outstanding_r2t));
  } else if (key == "DefaultTime2Wait") {
    agree(offered);
  } else if (key == "iSCSIProtocolLevel" || key == "MaxConnections") {
    agree(std::min(offered, 1u));
  } else {
    agree(0);  // DefaultTime2Retain, ErrorRecoveryLevel: the minimum
  }
}

void Protocol::refuse_login(Connection& c, std::uint16_t status) noexcept {
  const auto request = c.input.header<wire::LoginRequest>();
  ++counters_.logins_refused;
  wire::LoginResponse response;
  response.flags = static_cast<std::uint8_t>(c.login.stage << wire::LoginFlags::kCsgShift);
  response.isid = request.isid;
  response.initiator_task_tag = request.initiator_task_tag;
  response.status_class = static_cast<std::uint8_t>(status >> 8);
  response.status_detail = static_cast<std::uint8_t>(status);
  stamp(c, response, true);
  out_.pdu(response, {}, Digests{});
  c.must_close = true;
}

void Protocol::send_login_response(Connection& c, const wire::LoginRequest& request,
                                   const TextAnswer& answer, bool transit) noexcept {
  wire::LoginResponse response;
  const std::uint8_t stages = wire::LoginFlags::kTransit | 0x0f;
  response.flags =
      static_cast<std::uint8_t>(transit ? request.flags & stages : request.flags & 0x0c);
  response.isid = c.isid;
  response.initiator_task_tag = request.initiator_task_tag;
  if (transit && (request.flags & wire::LoginFlags::kStageMask) == kFullFeature) {
    reinstate(c);
    // RFC 7143 11.13.2: assigned with the final response; zero means none.
    c.tsih = next_tsih_;
    next_tsih_ =
        next_tsih_ == 0xffff ? std::uint16_t{1} : static_cast<std::uint16_t>(next_tsih_ + 1);
    response.tsih.set(c.tsih);
  }
  stamp(c, response, true);
  out_.pdu(response, answer.text(), Digests{});
}

/// RFC 7143 6.3.5: a login with the ISID of a living session of the same initiator ends that
/// session.
void Protocol::reinstate(const Connection& c) noexcept {
  for (Connection& other : connections_) {
    const bool same = &other != &c && other.phase == Phase::full_feature && other.isid == c.isid &&
                      other.is_discovery == c.is_discovery &&
                      other.target_index == c.target_index && other.name() == c.name();
    if (!same) continue;
    ++counters_.reinstatements;
    drop_tasks(other);
    other.phase = Phase::ending;
    if ((flags_[other.index] & kWantReset) == 0) ++resets_wanted_;
    flags_[other.index] |= kWantReset;
  }
}

void Protocol::enter_full_feature(Connection& c) noexcept {
  ++counters_.logins;
  c.phase = Phase::full_feature;
  c.negotiated.digests = c.login.digests;  // RFC 7143 6.1.3: from the next PDU on, both directions
  if (config_.nop_in_after_login) send_ping(c);
}

}  // namespace pollux::target
