// Logout (RFC 7143 11.14, 11.15): building the request and reading the response code.
// ITT, CmdSN and ExpStatSN stay zero here: in full feature phase the worker stamps them.
#pragma once

#include <cstdint>
#include <string_view>

#include "control/session/login_status.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::session {

/// RFC 7143 11.14.1.
enum class LogoutReason : std::uint8_t {
  close_session = 0,
  close_connection = 1,
  remove_connection_for_recovery = 2,
};

/// `cid` is carried unless the reason is close_session, where the field is reserved (LGO-01).
[[nodiscard]] inline wire::LogoutRequest build_logout_request(LogoutReason reason,
                                                              std::uint16_t cid) noexcept {
  wire::LogoutRequest request;
  request.reason = static_cast<std::uint8_t>(wire::kFinal | static_cast<std::uint8_t>(reason));
  if (reason != LogoutReason::close_session) request.cid.set(cid);
  return request;
}

struct LogoutOutcome {
  bool is_closed;  ///< session or connection is gone in order: nothing to recover
  std::string_view sentence;
  std::uint32_t isdsc;
  std::uint16_t wait_seconds;  ///< before a new attempt; 0 where 11.15.3 gives Time2Wait no meaning
};

/// 0: done. 1: the CID is gone already, treat as clean. Everything else, unknown codes included, is
/// a failure that leaves cleanup to session recovery (LGO-06).
[[nodiscard]] inline LogoutOutcome interpret_logout_response(
    const wire::LogoutResponse& response) noexcept {
  const std::uint16_t wait_seconds = response.time2wait.get();
  switch (response.response) {
    case 0:
      return {true, "logged out", 0, 0};
    case 1:
      return {true, "the target no longer had the connection", 0, 0};
    case 2:
      return {false, "the target does not support connection recovery", isdsc::kNonSpecificError,
              wait_seconds};
    case 3:
      return {false, "the target could not clean up", isdsc::kNonSpecificError, wait_seconds};
    default:
      return {false, "the target answered the logout with an unknown code",
              isdsc::kNonSpecificError, wait_seconds};
  }
}

}  // namespace pollux::session
