// The login phase of one connection (RFC 7143 sections 6.3, 11.12 and 11.13) without I/O: Login
// Responses in, Login Requests and a verdict out. It owns no clock and no socket: the caller bounds
// the whole login with one timer (LOG-37) and reports its end with on_deadline() or
// on_connection_lost(). Read first: reference rows LOG and STS; keys are in negotiation, AuthMethod
// in security_stage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/session/negotiation.hpp"
#include "control/session/security_stage.hpp"
#include "control/session/session_types.hpp"
#include "control/session/target_address.hpp"
#include "dataplane/base/serial_number.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::session {

/// RFC 7143 6.2 asks for at least six; SPDK and LIO stay far below.
inline constexpr int kLoginExchangesMax = 64;
/// RFC 7143 13.12: until declared otherwise a data segment has at most 8192 bytes, each way.
inline constexpr std::size_t kLoginSegmentBytesMax = 8192;
/// One C-bit chain of the target. RFC 7143 6.1 asks for 8192 at least.
inline constexpr std::size_t kLoginTextBytesMax = 65536;

struct LoginOptions {
  std::string initiator_name;
  std::string target_name;      ///< empty for discovery
  std::string initiator_alias;  ///< empty: not sent
  SessionType session_type = SessionType::normal;
  wire::Isid isid{};       ///< is_legal_isid()
  std::uint16_t tsih = 0;  ///< 0: a new session
  std::uint16_t cid = 0;
  std::uint32_t initiator_task_tag = 0;
  CmdSn cmd_sn;        ///< of the first command of the session
  StatSn exp_stat_sn;  ///< of the first request; 0 on a new session
  Offer offer;
  int exchanges_max = kLoginExchangesMax;
};

struct LoginResult {
  OperationalParameters parameters;
  std::uint16_t tsih = 0;
  StatSn exp_stat_sn;
  CmdSn exp_cmd_sn;
  CmdSn max_cmd_sn;
  CmdSn cmd_sn;  ///< of the first non-immediate command (LOG-06)
};

enum class LoginFailureKind : std::uint8_t {
  refused,          ///< status class 2, or one that does not exist
  target_error,     ///< status class 3
  protocol_error,   ///< the target broke a rule of the PDUs or stages
  negotiation,      ///< the target broke a rule of the keys
  authentication,   ///< no common method, or the method failed
  bad_redirection,  ///< class 1 without a usable address
  too_many_exchanges,
  timed_out,
  connection_lost,
};
inline constexpr std::size_t kLoginFailureKindCount = 9;

struct LoginFailure {
  LoginFailureKind kind;
  std::uint8_t status_class = 0;
  std::uint8_t status_detail = 0;
  std::string sentence;  ///< for people: starts small, no full stop, peer text escaped
  std::uint32_t isdsc = 0;
  int exit_code = 0;  ///< iscsiadm's
  bool is_retryable = false;
};

struct SendPdu {
  OutgoingPdu pdu;
};
struct LoginSucceeded {
  LoginResult result;
};
struct LoginRedirected {
  std::vector<TargetAddress> addresses;  ///< to be tried in order; at least one
  bool is_permanent;                     ///< 0102: replaces the stored portal
};
struct LoginFailed {
  LoginFailure failure;
};
/// Every step but SendPdu ends the login; all but LoginSucceeded mean: close the connection, send
/// nothing.
using LoginStep = std::variant<SendPdu, LoginSucceeded, LoginRedirected, LoginFailed>;

class Login {
 public:
  /// AuthMethod=None.
  explicit Login(LoginOptions options);
  Login(LoginOptions options, std::vector<std::unique_ptr<AuthenticationMethod>> methods);

  /// The first Login Request. Called once, before anything else.
  [[nodiscard]] OutgoingPdu start();
  /// Any PDU that arrives before the login has ended. `data` is the data segment without padding.
  [[nodiscard]] LoginStep on_pdu(const wire::Bhs& bhs, std::span<const std::byte> data);
  [[nodiscard]] LoginFailed on_deadline();
  [[nodiscard]] LoginFailed on_connection_lost(std::string_view reason);

 private:
  enum class Stage : std::uint8_t { security = 0, operational = 1, full_feature = 3 };

  [[nodiscard]] OutgoingPdu build_request(bool wants_transit);
  [[nodiscard]] OutgoingPdu next_request();
  [[nodiscard]] LoginStep on_response(const wire::LoginResponse& response,
                                      std::span<const std::byte> data);
  [[nodiscard]] LoginStep on_status(const wire::LoginResponse& response,
                                    std::span<const std::byte> data);
  [[nodiscard]] LoginStep on_redirection(const wire::LoginResponse& response,
                                         std::span<const std::byte> data);
  [[nodiscard]] std::string_view find_fault(const wire::LoginResponse& response,
                                            std::span<const std::byte> data) const;
  [[nodiscard]] std::string_view find_stage_fault(std::uint8_t flags) const;
  [[nodiscard]] LoginStep on_text(const wire::LoginResponse& response);
  [[nodiscard]] std::optional<LoginFailure> on_pairs(bool is_last_of_stage);
  [[nodiscard]] std::optional<LoginFailure> on_pair(const wire::TextPair& pair,
                                                    bool is_last_of_stage);
  [[nodiscard]] LoginStep finish(const wire::LoginResponse& response);
  [[nodiscard]] LoginStep send_next();
  [[nodiscard]] LoginFailed fail(LoginFailure failure);
  [[nodiscard]] LoginFailed fail_protocol(std::string_view what);

  LoginOptions options_;
  SecurityStage security_;
  Negotiation negotiation_;
  Stage stage_ = Stage::security;
  std::vector<std::byte> text_to_send_;
  std::vector<std::byte> text_received_;  ///< of the C-bit chain under way
  StatSn exp_stat_sn_;
  int exchanges_ = 0;
  std::uint8_t sent_flags_ = 0;  ///< of the request that is outstanding
  bool has_stat_sn_ = false;
  bool is_over_ = false;
};

}  // namespace pollux::session
