// What a Login Response's status means (RFC 7143 11.13.5): name, sentence, ISDSC code, exit code of
// the command line and whether trying again can help. One table; unknown details fall back to their
// class.
#pragma once

#include <cstdint>
#include <string_view>

namespace pollux::session {

/// The ISDSC values this folder reports. Numbers as in the operations' status member.
namespace isdsc {
inline constexpr std::uint32_t kNonSpecificError = 0xefff0001;
inline constexpr std::uint32_t kLoginFailed = 0xefff0002;
inline constexpr std::uint32_t kConnectionFailed = 0xefff0003;
inline constexpr std::uint32_t kTargetMovedTemporarily = 0xefff0006;
inline constexpr std::uint32_t kTargetMovedPermanently = 0xefff0007;
inline constexpr std::uint32_t kInitiatorError = 0xefff0008;
inline constexpr std::uint32_t kAuthenticationFailure = 0xefff0009;
inline constexpr std::uint32_t kAuthorizationFailure = 0xefff000a;
inline constexpr std::uint32_t kNotFound = 0xefff000b;
inline constexpr std::uint32_t kTargetRemoved = 0xefff000c;
inline constexpr std::uint32_t kUnsupportedVersion = 0xefff000d;
inline constexpr std::uint32_t kTooManyConnections = 0xefff000e;
inline constexpr std::uint32_t kMissingParameter = 0xefff000f;
inline constexpr std::uint32_t kCantIncludeInSession = 0xefff0010;
inline constexpr std::uint32_t kSessionTypeNotSupported = 0xefff0011;
inline constexpr std::uint32_t kTargetError = 0xefff0012;
inline constexpr std::uint32_t kServiceUnavailable = 0xefff0013;
inline constexpr std::uint32_t kOutOfResources = 0xefff0014;
inline constexpr std::uint32_t kInvalidTextKey = 0xefff001a;
inline constexpr std::uint32_t kInvalidSendTargetsText = 0xefff001b;
inline constexpr std::uint32_t kInvalidSessionId = 0xefff001c;
inline constexpr std::uint32_t kTransportError = 0xefff0024;
inline constexpr std::uint32_t kInvalidParameter = 0xefff0056;
}  // namespace isdsc

/// iscsiadm's exit codes, which scripts of our users know.
namespace exit_code {
inline constexpr int kTransport = 4;
inline constexpr int kLoginFailed = 5;
inline constexpr int kTransportTimeout = 8;
inline constexpr int kFatalLogin = 19;
inline constexpr int kLoginAuthFailed = 24;
}  // namespace exit_code

struct LoginStatus {
  std::uint8_t status_class;
  std::uint8_t status_detail;
  std::string_view name;      ///< of the RFC's table
  std::string_view sentence;  ///< for people: starts small, no full stop
  std::uint32_t isdsc;
  int exit_code;
  bool is_retryable;  ///< unchanged, after a delay
};

inline constexpr std::uint8_t kStatusClassSuccess = 0;
inline constexpr std::uint8_t kStatusClassRedirection = 1;
inline constexpr std::uint8_t kStatusClassInitiatorError = 2;
inline constexpr std::uint8_t kStatusClassTargetError = 3;
inline constexpr std::uint8_t kStatusDetailMovedPermanently = 2;

/// Never fails: an unknown detail is treated by its class, an unknown class as final (STS-14).
[[nodiscard]] const LoginStatus& login_status(std::uint8_t status_class,
                                              std::uint8_t status_detail) noexcept;

}  // namespace pollux::session
