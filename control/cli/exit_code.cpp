// The table from operation statuses to exit codes: one row a status, in the order of iscsierr.h.
#include "control/cli/exit_code.hpp"

#include <algorithm>
#include <array>

#include "pollux/iscsierr.h"

namespace pollux::cli {
namespace {

struct Row {
  std::uint32_t isdsc;
  ExitCode exit_code;
};

// The refusals of a login that iscsiadm calls fatal are those that stay the same when it is tried
// again: RFC 7143 11.13.5, status class 2 without the authentication details.
// clang-format off
constexpr auto kRows = std::to_array<Row>({
    {ISDSC_SUCCESS, ExitCode::ok},
    {ISDSC_NON_SPECIFIC_ERROR, ExitCode::generic},
    {ISDSC_LOGIN_FAILED, ExitCode::login_failed},
    {ISDSC_CONNECTION_FAILED, ExitCode::connect},
    {ISDSC_INITIATOR_NODE_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_INITIATOR_NODE_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_TARGET_MOVED_TEMPORARILY, ExitCode::login_failed},
    {ISDSC_TARGET_MOVED_PERMANENTLY, ExitCode::login_failed},
    {ISDSC_INITIATOR_ERROR, ExitCode::fatal_login},
    {ISDSC_AUTHENTICATION_FAILURE, ExitCode::auth_failed},
    {ISDSC_AUTHORIZATION_FAILURE, ExitCode::auth_failed},
    {ISDSC_NOT_FOUND, ExitCode::fatal_login},
    {ISDSC_TARGET_REMOVED, ExitCode::fatal_login},
    {ISDSC_UNSUPPORTED_VERSION, ExitCode::fatal_login},
    {ISDSC_TOO_MANY_CONNECTIONS, ExitCode::fatal_login},
    {ISDSC_MISSING_PARAMETER, ExitCode::fatal_login},
    {ISDSC_CANT_INCLUDE_IN_SESSION, ExitCode::fatal_login},
    {ISDSC_SESSION_TYPE_NOT_SUPPORTED, ExitCode::not_supported},
    {ISDSC_TARGET_ERROR, ExitCode::login_failed},
    {ISDSC_SERVICE_UNAVAILABLE, ExitCode::login_failed},
    {ISDSC_OUT_OF_RESOURCES, ExitCode::login_failed},
    {ISDSC_CONNECTION_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_SESSION_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_INITIATOR_INSTANCE_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_TARGET_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_DRIVER_BUG, ExitCode::internal},
    {ISDSC_INVALID_TEXT_KEY, ExitCode::generic},
    {ISDSC_INVALID_SENDTARGETS_TEXT, ExitCode::generic},
    {ISDSC_INVALID_SESSION_ID, ExitCode::session_not_found},
    {ISDSC_SCSI_REQUEST_FAILED, ExitCode::generic},
    {ISDSC_TOO_MANY_SESSIONS, ExitCode::busy},
    {ISDSC_SESSION_BUSY, ExitCode::busy},
    {ISDSC_TARGET_MAPPING_UNAVAILABLE, ExitCode::busy},
    {ISDSC_ADDRESS_TYPE_NOT_SUPPORTED, ExitCode::invalid_argument},
    {ISDSC_LOGON_FAILED, ExitCode::login_failed},
    {ISDSC_SEND_FAILED, ExitCode::connect},
    {ISDSC_TRANSPORT_ERROR, ExitCode::connect},
    {ISDSC_VERSION_MISMATCH, ExitCode::fatal_login},
    {ISDSC_TARGET_MAPPING_OUT_OF_RANGE, ExitCode::invalid_argument},
    {ISDSC_TARGET_PRESHAREDKEY_UNAVAILABLE, ExitCode::auth_failed},
    {ISDSC_TARGET_AUTHINFO_UNAVAILABLE, ExitCode::auth_failed},
    {ISDSC_TARGET_NOT_FOUND, ExitCode::fatal_login},
    {ISDSC_LOGIN_USER_INFO_BAD, ExitCode::invalid_argument},
    {ISDSC_TARGET_MAPPING_EXISTS, ExitCode::session_exists},
    {ISDSC_HBA_SECURITY_CACHE_FULL, ExitCode::busy},
    {ISDSC_INVALID_PORT_NUMBER, ExitCode::invalid_argument},
    {ISDSC_OPERATION_NOT_ALL_SUCCESS, ExitCode::generic},
    {ISDSC_HBA_SECURITY_CACHE_NOT_SUPPORTED, ExitCode::not_supported},
    {ISDSC_IKE_ID_PAYLOAD_TYPE_NOT_SUPPORTED, ExitCode::not_supported},
    {ISDSC_IKE_ID_PAYLOAD_INCORRECT_SIZE, ExitCode::invalid_argument},
    {ISDSC_TARGET_PORTAL_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_TARGET_ADDRESS_ALREADY_EXISTS, ExitCode::session_exists},
    {ISDSC_NO_AUTH_INFO_AVAILABLE, ExitCode::auth_failed},
    {ISDSC_NO_TUNNEL_OUTER_MODE_ADDRESS, ExitCode::not_supported},
    {ISDSC_CACHE_CORRUPTED, ExitCode::generic},
    {ISDSC_REQUEST_NOT_SUPPORTED, ExitCode::not_supported},
    {ISDSC_TARGET_OUT_OF_RESORCES, ExitCode::login_failed},
    {ISDSC_SERVICE_DID_NOT_RESPOND, ExitCode::timeout},
    {ISDSC_ISNS_SERVER_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_OPERATION_REQUIRES_REBOOT, ExitCode::generic},
    {ISDSC_NO_PORTAL_SPECIFIED, ExitCode::invalid_argument},
    {ISDSC_CANT_REMOVE_LAST_CONNECTION, ExitCode::not_supported},
    {ISDSC_SERVICE_NOT_RUNNING, ExitCode::not_running},
    {ISDSC_TARGET_ALREADY_LOGGED_IN, ExitCode::session_exists},
    {ISDSC_DEVICE_BUSY_ON_SESSION, ExitCode::busy},
    {ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA, ExitCode::generic},
    {ISDSC_COULD_NOT_REMOVE_PERSISTENT_LOGIN_DATA, ExitCode::generic},
    {ISDSC_PORTAL_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_INITIATOR_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_DISCOVERY_MECHANISM_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_IPSEC_NOT_SUPPORTED_ON_OS, ExitCode::not_supported},
    {ISDSC_PERSISTENT_LOGIN_TIMEOUT, ExitCode::timeout},
    {ISDSC_SHORT_CHAP_SECRET, ExitCode::invalid_argument},
    {ISDSC_EVALUATION_PEROID_EXPIRED, ExitCode::generic},
    {ISDSC_INVALID_CHAP_SECRET, ExitCode::invalid_argument},
    {ISDSC_INVALID_TARGET_CHAP_SECRET, ExitCode::invalid_argument},
    {ISDSC_INVALID_INITIATOR_CHAP_SECRET, ExitCode::invalid_argument},
    {ISDSC_INVALID_CHAP_USER_NAME, ExitCode::invalid_argument},
    {ISDSC_INVALID_LOGON_AUTH_TYPE, ExitCode::invalid_argument},
    {ISDSC_INVALID_TARGET_MAPPING, ExitCode::invalid_argument},
    {ISDSC_INVALID_TARGET_ID, ExitCode::invalid_argument},
    {ISDSC_INVALID_ISCSI_NAME, ExitCode::invalid_argument},
    {ISDSC_INCOMPATIBLE_ISNS_VERSION, ExitCode::not_supported},
    {ISDSC_FAILED_TO_CONFIGURE_IPSEC, ExitCode::generic},
    {ISDSC_BUFFER_TOO_SMALL, ExitCode::internal},
    {ISDSC_INVALID_LOAD_BALANCE_POLICY, ExitCode::invalid_argument},
    {ISDSC_INVALID_PARAMETER, ExitCode::invalid_argument},
    {ISDSC_DUPLICATE_PATH_SPECIFIED, ExitCode::invalid_argument},
    {ISDSC_PATH_COUNT_MISMATCH, ExitCode::invalid_argument},
    {ISDSC_INVALID_PATH_ID, ExitCode::invalid_argument},
    {ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED, ExitCode::invalid_argument},
    {ISDSC_NO_PRIMARY_PATH_SPECIFIED, ExitCode::invalid_argument},
    {ISDSC_DEVICE_ALREADY_PERSISTENTLY_BOUND, ExitCode::session_exists},
    {ISDSC_DEVICE_NOT_FOUND, ExitCode::no_objects},
    {ISDSC_DEVICE_NOT_ISCSI_OR_PERSISTENT, ExitCode::no_objects},
    {ISDSC_DNS_NAME_UNRESOLVED, ExitCode::host_not_found},
    {ISDSC_NO_CONNECTION_AVAILABLE, ExitCode::not_connected},
    {ISDSC_LB_POLICY_NOT_SUPPORTED, ExitCode::not_supported},
    {ISDSC_REMOVE_CONNECTION_IN_PROGRESS, ExitCode::busy},
    {ISDSC_INVALID_CONNECTION_ID, ExitCode::session_not_found},
    {ISDSC_CANNOT_REMOVE_LEADING_CONNECTION, ExitCode::not_supported},
    {ISDSC_RESTRICTED_BY_GROUP_POLICY, ExitCode::access},
    {ISDSC_ISNS_FIREWALL_BLOCKED, ExitCode::generic},
    {ISDSC_FAILURE_TO_PERSIST_LB_POLICY, ExitCode::generic},
    {ISDSC_INVALID_HOST, ExitCode::host_not_found},
});
// clang-format on

const Row* find(std::uint32_t isdsc) noexcept {
  const auto* row =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.isdsc == isdsc; });
  return row == kRows.end() ? nullptr : row;
}

}  // namespace

ExitCode exit_code_of(std::uint32_t isdsc) noexcept {
  const Row* row = find(isdsc);
  return row == nullptr ? ExitCode::generic : row->exit_code;
}

bool has_exit_code(std::uint32_t isdsc) noexcept { return find(isdsc) != nullptr; }

}  // namespace pollux::cli
