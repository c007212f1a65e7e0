// LoginToTarget: a structure with many members of which most may be wrong. Every member is either
// honoured or refused by name; none is ignored.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "control/ring/text.hpp"
#include "control/service/config_text.hpp"
#include "control/service/operations.hpp"
#include "control/session/iscsi_name.hpp"

namespace pollux::service {
namespace {

std::vector<session::Digest> digest_list(DigestPreference preference) {
  using session::Digest;
  switch (preference) {
    case DigestPreference::none:
      return {Digest::none};
    case DigestPreference::crc32c:
      return {Digest::crc32c};
    case DigestPreference::prefer_none:
      return {Digest::none, Digest::crc32c};
    case DigestPreference::prefer_crc32c:
      return {Digest::crc32c, Digest::none};
  }
  return {Digest::none};
}

/// Key, Username and Password lie behind the mapping, one after the other.
Outcome check_variable_part(const LoginToTarget_IN& in, std::size_t input_bytes) {
  const std::uint64_t luns_behind = in.Mappings.LUNCount > 1 ? in.Mappings.LUNCount - 1 : 0;
  const std::uint64_t end = offsetof(LoginToTarget_IN, Key) + luns_behind * sizeof(ISCSI_LUNList) +
                            in.KeySize + in.UsernameSize + in.PasswordSize;
  if (in.Mappings.LUNCount > 0xffff || end > input_bytes) {
    return {ISDSC_INVALID_PARAMETER,
            "LUNCount, KeySize, UsernameSize and PasswordSize say more than the input holds"};
  }
  return {};
}

/// What this version does not do is refused, never quietly left out.
Outcome check_not_offered(const LoginToTarget_IN& in) {
  const ISCSI_LoginOptions& options = in.LoginOptions;
  const bool names_auth = (options.InformationSpecified & ISCSI_LOGIN_OPTIONS_AUTH_TYPE) != 0;
  if (names_auth && options.AuthType > ISCSI_MUTUAL_CHAP_AUTH_TYPE) {
    return {ISDSC_INVALID_LOGON_AUTH_TYPE,
            fmt::format("AuthType {} does not exist", options.AuthType)};
  }
  if (names_auth && options.AuthType != ISCSI_NO_AUTH_TYPE) {
    return {ISDSC_INVALID_LOGON_AUTH_TYPE, "CHAP is not available in this version; use AuthType 0"};
  }
  if (in.UsernameSize != 0 || in.PasswordSize != 0) {
    return {ISDSC_LOGIN_USER_INFO_BAD,
            "a user name or password was given, but CHAP is not available in this version"};
  }
  if (in.KeySize != 0 || (in.SecurityFlags & ISCSI_SECURITY_FLAG_IKE_IPSEC_ENABLED) != 0 ||
      (options.LoginFlags & ISCSI_LOGIN_FLAG_REQUIRE_IPSEC) != 0) {
    return {ISDSC_REQUEST_NOT_SUPPORTED, "IPsec is not available"};
  }
  if ((options.LoginFlags &
       (ISCSI_LOGIN_FLAG_USE_RADIUS_RESPONSE | ISCSI_LOGIN_FLAG_USE_RADIUS_VERIFICATION)) != 0) {
    return {ISDSC_REQUEST_NOT_SUPPORTED, "RADIUS is not available"};
  }
  if (in.PersistentLogin != 0) {
    return {ISDSC_REQUEST_NOT_SUPPORTED, "persistent logins are not available in this version"};
  }
  if (in.Mappings.LUNCount != 0) {
    return {ISDSC_TARGET_MAPPING_UNAVAILABLE, "LUN mappings are not available; leave LUNCount 0"};
  }
  return {};
}

Outcome read_name(std::span<const std::uint16_t> field, const char* member, std::string& name) {
  const auto text = ring::decode_text(field);
  if (!text) return {ISDSC_INVALID_PARAMETER, fmt::format("{} is no counted UTF-16 text", member)};
  if (text->empty()) return {};
  const session::FoldedName folded = session::fold_iscsi_name(*text);
  if (folded.verdict != session::NameVerdict::ok) {
    return {ISDSC_INVALID_ISCSI_NAME, fmt::format("{} is no iSCSI name: {}", member,
                                                  session::name_verdict_words(folded.verdict))};
  }
  name = folded.name;
  return {};
}

Outcome read_portal(const ISCSI_TargetPortal& portal, session::TargetAddress& address) {
  std::string text;
  switch (portal.Address.Type) {
    case ISCSI_IP_ADDRESS_TEXT: {
      const auto decoded = ring::decode_text(portal.Address.TextAddress);
      if (!decoded) return {ISDSC_INVALID_PARAMETER, "TextAddress is no counted UTF-16 text"};
      text = *decoded;
      break;
    }
    case ISCSI_IP_ADDRESS_IPV4:
      text = to_text(net::IpAddress::from_v4_host(ntohl(portal.Address.IpV4Address)));
      break;
    case ISCSI_IP_ADDRESS_IPV6: {
      net::IpAddress remote;
      std::copy(std::begin(portal.Address.IpV6Address), std::end(portal.Address.IpV6Address),
                remote.bytes.begin());
      if (portal.Address.IpV6ScopeId > 0xff)
        return {ISDSC_INVALID_PARAMETER, "IpV6ScopeId names no port"};
      text = to_text(remote.with_zone(portal.Address.IpV6ScopeId));
      break;
    }
    case ISCSI_IP_ADDRESS_EMPTY:
      break;
    default:
      return {ISDSC_INVALID_PARAMETER,
              fmt::format("address type {} does not exist", portal.Address.Type)};
  }
  if (text.empty()) return {ISDSC_NO_PORTAL_SPECIFIED, "no portal was named"};
  // A bare IPv6 address has no port behind it.
  if (std::count(text.begin(), text.end(), ':') > 1 && text.front() != '[')
    text = fmt::format("[{}]", text);
  const auto parsed = session::parse_target_address(text, session::Zone::allowed);
  if (!parsed) return {ISDSC_INVALID_PARAMETER, "the portal is no address a target can have"};
  address = *parsed;
  if (portal.Socket != 0) address.port = portal.Socket;
  return {};
}

Outcome read_options(const ISCSI_LoginOptions& options, session::Offer& offer) {
  const auto has = [&](std::uint32_t bit) { return (options.InformationSpecified & bit) != 0; };
  const auto digest = [](std::uint32_t value) {
    return std::vector{value == ISCSI_DIGEST_TYPE_CRC32C ? session::Digest::crc32c
                                                         : session::Digest::none};
  };
  constexpr std::uint32_t kSecondsMax = 3600;  // RFC 7143 13.15, 13.16
  if (has(ISCSI_LOGIN_OPTIONS_HEADER_DIGEST)) {
    if (options.HeaderDigest > ISCSI_DIGEST_TYPE_CRC32C)
      return {ISDSC_INVALID_PARAMETER, "HeaderDigest is 0 or 1"};
    offer.header_digest = digest(options.HeaderDigest);
  }
  if (has(ISCSI_LOGIN_OPTIONS_DATA_DIGEST)) {
    if (options.DataDigest > ISCSI_DIGEST_TYPE_CRC32C)
      return {ISDSC_INVALID_PARAMETER, "DataDigest is 0 or 1"};
    offer.data_digest = digest(options.DataDigest);
  }
  // One connection is what this version has: any limit a caller may set allows it.
  if (has(ISCSI_LOGIN_OPTIONS_MAXIMUM_CONNECTIONS) && options.MaximumConnections > 0xffff) {
    return {ISDSC_INVALID_PARAMETER, "MaximumConnections is at most 65535"};
  }
  if (has(ISCSI_LOGIN_OPTIONS_DEFAULT_TIME_2_WAIT)) {
    if (options.DefaultTime2Wait > kSecondsMax)
      return {ISDSC_INVALID_PARAMETER, "DefaultTime2Wait is at most 3600"};
    offer.default_time2wait = options.DefaultTime2Wait;
  }
  if (has(ISCSI_LOGIN_OPTIONS_DEFAULT_TIME_2_RETAIN)) {
    if (options.DefaultTime2Retain > kSecondsMax)
      return {ISDSC_INVALID_PARAMETER, "DefaultTime2Retain is at most 3600"};
    offer.default_time2retain = options.DefaultTime2Retain;
  }
  return {};
}

Outcome read_request(const LoginToTarget_IN& in, std::size_t input_bytes, const Config& config,
                     LoginRequest& request) {
  if (Outcome bad = check_variable_part(in, input_bytes); !bad.is_ok()) return bad;
  if (Outcome bad = check_not_offered(in); !bad.is_ok()) return bad;
  if (in.SessionType > ISCSI_SESSION_DATA) {
    return {ISDSC_INVALID_PARAMETER, fmt::format("SessionType {} does not exist", in.SessionType)};
  }
  if (in.PortNumber != POLLUX_ISCSI_ANY_PORT && in.PortNumber >= config.ports.size()) {
    return {ISDSC_INVALID_PORT_NUMBER, fmt::format("there is no port {}; the service has {}",
                                                   in.PortNumber, config.ports.size())};
  }
  request.kind = static_cast<SessionKind>(in.SessionType);
  if (Outcome bad = read_portal(in.TargetPortal, request.portal); !bad.is_ok()) return bad;
  if (Outcome bad = read_name(in.TargetName, "TargetName", request.target_name); !bad.is_ok())
    return bad;
  if (Outcome bad = read_name(in.InitiatorNode, "InitiatorNode", request.initiator_name);
      !bad.is_ok())
    return bad;
  const auto alias = ring::decode_text(in.InitiatorAlias);
  if (!alias) return {ISDSC_INVALID_PARAMETER, "InitiatorAlias is no counted UTF-16 text"};
  request.initiator_alias = *alias;
  request.offer = make_offer(config.login);
  if (in.UniqueIdForISID != 0) request.isid_qualifier = in.UniqueIdForISID;
  request.allows_several = (in.LoginOptions.LoginFlags & ISCSI_LOGIN_FLAG_MULTIPATH_ENABLED) != 0;
  return read_options(in.LoginOptions, request.offer);
}

}  // namespace

session::Offer make_offer(const LoginConfig& login) {
  session::Offer offer;
  offer.header_digest = digest_list(login.header_digest);
  offer.data_digest = digest_list(login.data_digest);
  offer.max_recv_data_segment_length = login.max_recv_data_segment_length;
  offer.max_burst_length = login.max_burst_length;
  offer.first_burst_length = login.first_burst_length;
  offer.max_outstanding_r2t = login.max_outstanding_r2t;
  offer.initial_r2t = login.initial_r2t;
  offer.immediate_data = login.immediate_data;
  return offer;
}

std::uint32_t least_loaded_worker(std::span<const std::unique_ptr<WorkerChannel>> workers) {
  const auto at = std::max_element(
      workers.begin(), workers.end(),
      [](const auto& a, const auto& b) { return a->free_slot_count() < b->free_slot_count(); });
  return static_cast<std::uint32_t>(at - workers.begin());
}

void Operations::login(Serial serial, Instant now) {
  const auto in = input<LoginToTarget_IN>(serial);
  LoginRequest request;
  const Outcome bad = read_request(in, pending_.at(serial).input.size(), options_.config, request);
  if (!bad.is_ok()) {
    LoginToTarget_OUT out{};
    out.Status = bad.status;
    return answer_failure(serial, out, bad.sentence);
  }
  request.worker = least_loaded_worker(options_.workers);
  // The login gives up before the command does, so that the reason reaches the client.
  const Duration left = pending_.at(serial).deadline - now;
  request.timeout = std::min(std::chrono::duration_cast<Duration>(options_.config.login.timeout),
                             left - left / 20);
  const std::uint64_t id =
      options_.sessions.login(request, now, [this, serial](const LoginReply& reply) {
        LoginToTarget_OUT out{};
        out.Status = reply.status;
        out.UniqueSessionId = reply.session_id;
        out.UniqueConnectionId = reply.connection_id;
        if (reply.is_ok()) return answer(serial, out);
        answer_failure(serial, out, reply.sentence);
      });
  if (!is_pending(serial)) return;
  pending_.at(serial).abandon = [this, id] {
    options_.sessions.cancel_login(id, options_.clock());
  };
}

}  // namespace pollux::service
