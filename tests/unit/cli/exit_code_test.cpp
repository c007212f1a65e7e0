// The table from operation statuses to exit codes has every status, and the numbers scripts rely
// on.
#include "control/cli/exit_code.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "pollux/client.h"
#include "pollux/iscsierr.h"

namespace pollux::cli {
namespace {

constexpr std::uint32_t kError = 0xEFFF0000;
constexpr std::uint32_t kWarning = 0xAFFF0000;

TEST(ExitCode, EveryStatusHasARow) {
  EXPECT_TRUE(has_exit_code(ISDSC_SUCCESS));
  for (std::uint32_t code = 1; code <= ISDSC_LAST_CODE; ++code) {
    const bool is_error = std::strcmp(pollux_isdsc_name(kError | code), "ISDSC_UNKNOWN") != 0;
    const std::uint32_t value = (is_error ? kError : kWarning) | code;
    EXPECT_TRUE(has_exit_code(value)) << pollux_isdsc_name(value);
    EXPECT_NE(exit_code_of(value), ExitCode::ok) << pollux_isdsc_name(value);
  }
}

TEST(ExitCode, NumbersAreIscsiadms) {
  const std::pair<std::uint32_t, int> cases[] = {
      {ISDSC_SUCCESS, 0},
      {ISDSC_NON_SPECIFIC_ERROR, 1},
      {ISDSC_SCSI_REQUEST_FAILED, 1},
      {ISDSC_INVALID_SESSION_ID, 2},
      {ISDSC_CONNECTION_FAILED, 4},
      {ISDSC_LOGIN_FAILED, 5},
      {ISDSC_INVALID_PARAMETER, 7},
      {ISDSC_SERVICE_DID_NOT_RESPOND, 8},
      {ISDSC_TARGET_ALREADY_LOGGED_IN, 15},
      {ISDSC_SESSION_ALREADY_EXISTS, 15},
      {ISDSC_NOT_FOUND, 19},
      {ISDSC_SERVICE_NOT_RUNNING, 20},
      {ISDSC_PORTAL_NOT_FOUND, 21},
      {ISDSC_DNS_NAME_UNRESOLVED, 23},
      {ISDSC_AUTHENTICATION_FAILURE, 24},
      {ISDSC_REQUEST_NOT_SUPPORTED, 27},
      {ISDSC_SESSION_BUSY, 28},
      {ISDSC_NO_CONNECTION_AVAILABLE, 32},
  };
  for (const auto& [isdsc, code] : cases)
    EXPECT_EQ(static_cast<int>(exit_code_of(isdsc)), code) << pollux_isdsc_name(isdsc);
}

TEST(ExitCode, UnknownStatusIsGeneric) {
  EXPECT_FALSE(has_exit_code(0xEFFF1234));
  EXPECT_EQ(exit_code_of(0xEFFF1234), ExitCode::generic);
}

}  // namespace
}  // namespace pollux::cli
