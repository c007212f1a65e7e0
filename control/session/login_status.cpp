// The table of login statuses (RFC 7143 11.13.5). See login_status.hpp.
#include "control/session/login_status.hpp"

#include <array>

namespace pollux::session {
namespace {

using namespace isdsc;
using exit_code::kFatalLogin;
using exit_code::kLoginAuthFailed;

// Class 2 is never retried unchanged (STS-09), class 3 may be (STS-13).
constexpr auto kStatuses = std::to_array<LoginStatus>({
    {0, 0x00, "Success", "login is proceeding", 0, 0, false},
    {1, 0x01, "Target moved temporarily", "the target has moved for now", kTargetMovedTemporarily,
     exit_code::kLoginFailed, false},
    {1, 0x02, "Target moved permanently", "the target has moved for good", kTargetMovedPermanently,
     exit_code::kLoginFailed, false},
    {2, 0x00, "Initiator error", "the target reports an error of the initiator", kInitiatorError,
     kFatalLogin, false},
    {2, 0x01, "Authentication failure",
     "the target did not accept the credentials, or requires some", kAuthenticationFailure,
     kLoginAuthFailed, false},
    {2, 0x02, "Authorization failure", "this initiator is not allowed to use the target",
     kAuthorizationFailure, kLoginAuthFailed, false},
    {2, 0x03, "Not found", "no target of that name is there", kNotFound, kFatalLogin, false},
    {2, 0x04, "Target removed", "the target was removed and has no new address", kTargetRemoved,
     kFatalLogin, false},
    {2, 0x05, "Unsupported version", "the target speaks no protocol version of ours",
     kUnsupportedVersion, kFatalLogin, false},
    {2, 0x06, "Too many connections", "the session has as many connections as the target allows",
     kTooManyConnections, kFatalLogin, false},
    {2, 0x07, "Missing parameter", "the target misses a key it requires", kMissingParameter,
     kFatalLogin, false},
    {2, 0x08, "Can't include in session", "the target cannot add this connection to the session",
     kCantIncludeInSession, kFatalLogin, false},
    {2, 0x09, "Session type not supported", "the target does not offer this type of session",
     kSessionTypeNotSupported, kFatalLogin, false},
    {2, 0x0a, "Session does not exist", "the target no longer knows the session",
     isdsc::kLoginFailed, kFatalLogin, false},
    {2, 0x0b, "Invalid during login", "the target calls a request invalid during login",
     kInitiatorError, kFatalLogin, false},
    {3, 0x00, "Target error", "the target has a hardware or software error", kTargetError,
     exit_code::kLoginFailed, true},
    {3, 0x01, "Service unavailable", "the target is not operational at present",
     kServiceUnavailable, exit_code::kLoginFailed, true},
    {3, 0x02, "Out of resources", "the target has no resources for another session or connection",
     kOutOfResources, exit_code::kLoginFailed, true},
});

constexpr LoginStatus kUnknownRedirection{1,
                                          0,
                                          "Redirection",
                                          "the target redirects in an unknown way",
                                          isdsc::kLoginFailed,
                                          exit_code::kLoginFailed,
                                          false};
constexpr LoginStatus kUnknownInitiatorError{
    2,
    0,
    "Initiator error",
    "the target refuses the login for a reason unknown to us",
    kInitiatorError,
    kFatalLogin,
    false};
constexpr LoginStatus kUnknownTargetError{3,
                                          0,
                                          "Target error",
                                          "the target has an error unknown to us",
                                          kTargetError,
                                          exit_code::kLoginFailed,
                                          true};
constexpr LoginStatus kUnknownClass{4,
                                    0,
                                    "Unknown status class",
                                    "the target answered with a status of no known class",
                                    isdsc::kLoginFailed,
                                    kFatalLogin,
                                    false};

}  // namespace

const LoginStatus& login_status(std::uint8_t status_class, std::uint8_t status_detail) noexcept {
  for (const LoginStatus& status : kStatuses) {
    if (status.status_class == status_class && status.status_detail == status_detail) return status;
  }
  if (status_class == kStatusClassRedirection) return kUnknownRedirection;
  if (status_class == kStatusClassInitiatorError) return kUnknownInitiatorError;
  if (status_class == kStatusClassTargetError) return kUnknownTargetError;
  return kUnknownClass;
}

}  // namespace pollux::session
