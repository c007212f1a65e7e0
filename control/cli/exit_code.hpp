// The exit codes of `pollux`, with iscsiadm's numbers where it has one, and the one table that says
// which ISDSC status ends in which of them.
#pragma once

#include <cstdint>

namespace pollux::cli {

enum class ExitCode : int {
  ok = 0,
  generic = 1,  ///< also: verify found a difference, a SCSI command failed
  session_not_found = 2,
  out_of_memory = 3,
  connect = 4,  ///< the portal cannot be reached or refused the connection
  login_failed = 5,
  invalid_argument = 7,
  timeout = 8,  ///< connecting or logging in took too long
  internal = 9,
  logout_failed = 10,
  pdu_timeout = 11,  ///< an established session did not answer in time
  access = 13,
  session_exists = 15,
  fatal_login = 19,  ///< the target said that trying again is of no use
  not_running = 20,
  no_objects = 21,
  host_not_found = 23,
  auth_failed = 24,
  not_supported = 27,
  busy = 28,
  not_connected = 32,
  interrupted = 130,  ///< 128 + SIGINT, as shells have it
};

/// The exit code of an operation status; ExitCode::generic for a number without a row.
[[nodiscard]] ExitCode exit_code_of(std::uint32_t isdsc) noexcept;

/// True when the table has a row for exactly this value.
[[nodiscard]] bool has_exit_code(std::uint32_t isdsc) noexcept;

}  // namespace pollux::cli
