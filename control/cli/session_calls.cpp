// See session_calls.hpp.
#include "control/cli/session_calls.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstring>

#include "control/cli/interrupt.hpp"
#include "control/cli/operation.hpp"
#include "control/url/lun.hpp"
#include "pollux/iscsierr.h"
#include "pollux/iscsiop.h"

namespace pollux::cli {
namespace {

constexpr std::size_t kSendTargetsFirstBytes = std::size_t{16} << 10;
constexpr std::uint32_t kLeaveDeadlineMs = 10'000;

void fill_address(ISCSI_IP_Address& address, const std::string& host) {
  if (inet_pton(AF_INET, host.c_str(), &address.IpV4Address) == 1) {
    address.Type = ISCSI_IP_ADDRESS_IPV4;
  } else if (inet_pton(AF_INET6, host.c_str(), address.IpV6Address) == 1) {
    address.Type = ISCSI_IP_ADDRESS_IPV6;
  } else {
    address.Type = ISCSI_IP_ADDRESS_TEXT;
    encode_text(address.TextAddress, host, "host name");
  }
}

std::uint32_t digest_value(url::Digest digest) noexcept {
  return digest == url::Digest::crc32c ? ISCSI_DIGEST_TYPE_CRC32C : ISCSI_DIGEST_TYPE_NONE;
}

LoginToTarget_IN login_input(const LoginRequest& request) {
  LoginToTarget_IN in{};
  in.PortNumber = POLLUX_ISCSI_ANY_PORT;
  in.SessionType = request.target.empty() ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_DATA;
  if (request.header_digest) {
    in.LoginOptions.InformationSpecified |= ISCSI_LOGIN_OPTIONS_HEADER_DIGEST;
    in.LoginOptions.HeaderDigest = digest_value(*request.header_digest);
  }
  if (request.data_digest) {
    in.LoginOptions.InformationSpecified |= ISCSI_LOGIN_OPTIONS_DATA_DIGEST;
    in.LoginOptions.DataDigest = digest_value(*request.data_digest);
  }
  fill_address(in.TargetPortal.Address, request.portal.host);
  in.TargetPortal.Socket = request.portal.port;
  encode_text(in.TargetName, request.target, "target name");
  return in;
}

std::string login_name(const LoginRequest& request) {
  const std::string portal = url::format_portal(request.portal);
  return request.target.empty() ? fmt::format("Login for discovery at {}", portal)
                                : fmt::format("Login to {} at {}", request.target, portal);
}

/// A login that fails for a reason without an exit code of its own is still a failed login.
Failure login_failure(const std::string& what, std::uint32_t status, const std::string& reason) {
  const Failure failure = failure_of_status(what, status, reason);
  if (failure.code() != ExitCode::generic) return failure;
  return {ExitCode::login_failed, failure.what(), status};
}

}  // namespace

LoginResult log_in(Connection& connection, const LoginRequest& request, std::uint32_t deadline_ms) {
  const std::string what = login_name(request);
  const LoginToTarget_IN in = login_input(request);
  try {
    const Answer answer = connection.call(what, MSiSCSI_LoginToTarget, input_of(in),
                                          sizeof(LoginToTarget_OUT) + kReasonBytesMax, deadline_ms);
    if (const std::uint32_t status = status_of(what, answer); status != 0)
      throw login_failure(what, status, reason_of(answer, sizeof(LoginToTarget_OUT)));
    const auto out = output_of<LoginToTarget_OUT>(answer);
    return {out.UniqueSessionId, out.UniqueConnectionId};
  } catch (const Failure& failure) {
    if (failure.code() != ExitCode::pdu_timeout) throw;
    throw Failure(ExitCode::timeout,
                  fmt::format("{} failed: the portal did not answer within {} seconds. Check that "
                              "it is reachable from the service's port, or give more --timeout.",
                              what, deadline_ms / 1000));
  }
}

std::uint32_t log_out(Connection& connection, std::uint64_t session_id, std::uint32_t deadline_ms) {
  const std::string what = fmt::format("Logout of session {}", format_id(session_id));
  const LogoutFromTarget_IN in{session_id};
  const Answer answer = connection.call(what, MSiSCSI_LogoutFromTarget, input_of(in),
                                        sizeof(LogoutFromTarget_OUT), deadline_ms);
  return status_of(what, answer);
}

std::vector<std::byte> send_targets(Connection& connection, std::uint64_t session_id,
                                    const std::string& text, std::uint32_t deadline_ms) {
  const std::string what = fmt::format("SendTargets on session {}", format_id(session_id));
  SendTargets_IN in{};
  in.UniqueSessionId = session_id;
  encode_text(in.SendTargetsText, text, "SendTargets text");
  const Answer answer =
      connection.call(what, MSiSCSI_SendTargets, input_of(in), kSendTargetsFirstBytes, deadline_ms);
  if (const std::uint32_t status = status_of(what, answer); status != 0)
    throw failure_of_status(what, status, reason_of(answer, offsetof(SendTargets_OUT, Response)));
  const auto out = output_of<SendTargets_OUT>(answer);
  const auto bytes = answer.bytes_at(offsetof(SendTargets_OUT, Response), out.ResponseSize);
  return {bytes.begin(), bytes.end()};
}

LoginRequest login_request_of(const url::IscsiUrl& url, const Options& options) {
  if (!url.user.empty())
    throw Failure(
        ExitCode::not_supported,
        fmt::format("Login to {} as '{}' failed: this version does not do CHAP. Leave the "
                    "user out of the URL.",
                    url.target, url.user));
  LoginRequest request{url.portal, url.target, url.header_digest, url.data_digest};
  if (options.header_digest) request.header_digest = options.header_digest;
  if (options.data_digest) request.data_digest = options.data_digest;
  return request;
}

TemporarySession::TemporarySession(Connection& connection, const LoginRequest& request,
                                   std::uint32_t deadline_ms)
    : connection_(connection), id_(log_in(connection, request, deadline_ms).session_id) {}

TemporarySession::~TemporarySession() {
  const UninterruptedScope scope;
  try {
    connection_.drain();
    const std::uint32_t status = log_out(connection_, id_, kLeaveDeadlineMs);
    // A target that is gone ends the session as surely as a logout does.
    if (status != 0 && status != ISDSC_INVALID_SESSION_ID)
      fmt::print(stderr, "pollux: Logout of session {} failed: {}.\n", format_id(id_),
                 status_text(status));
  } catch (const Failure& failure) {
    fmt::print(stderr, "pollux: {}\n", failure.what());
  }
}

SessionUse::SessionUse(Connection& connection, const Options& options) {
  const SessionRef ref = parse_session_ref(options.subject);
  lun_ = ref.lun;
  if (options.lun) {
    const Result<std::uint64_t> lun = url::parse_lun(*options.lun);
    if (!lun) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", lun.error().message));
    if (lun_ && *lun_ != *lun)
      throw Failure(
          ExitCode::invalid_argument,
          fmt::format("'{}' names one LUN and --lun {} another.", options.subject, *options.lun));
    lun_ = *lun;
  }
  // An id is taken at its word: whether it lives is for the service to say, with its own status.
  if (const auto id = ref.url ? std::nullopt : parse_session_id(ref.session)) {
    id_ = *id;
    return;
  }
  try {
    id_ = find_session(list_sessions(connection, options.deadline_ms()), ref).id;
  } catch (const Failure& failure) {
    const bool may_log_in =
        failure.code() == ExitCode::session_not_found && ref.url && options.temporary_login;
    if (failure.code() == ExitCode::session_not_found && ref.url && !options.temporary_login)
      throw Failure(failure.code(),
                    fmt::format("No session fits '{}'. Log in with 'pollux login {}', or add "
                                "--login to log in for the duration of this command.",
                                options.subject, options.subject));
    if (!may_log_in) throw;
    temporary_.emplace(connection, login_request_of(*ref.url, options),
                       options.deadline_ms(kLoginSecondsDefault));
    id_ = temporary_->id();
  }
}

std::uint64_t SessionUse::lun() const {
  if (!lun_)
    throw Failure(
        ExitCode::invalid_argument,
        "Which LUN? Write SESSION/LUN or an iscsi:// URL that ends in one, or give --lun. "
        "'pollux luns SESSION' lists them.");
  return *lun_;
}

std::string SessionUse::lun_name() const {
  return fmt::format("LUN {} of session {}", url::format_lun(lun()), format_id(id_));
}

}  // namespace pollux::cli
