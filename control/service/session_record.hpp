// One session as the control thread knows it: identity, what was negotiated, where its state
// machine stands, and who waits for what. Data only; the transitions are in login_flow.cpp,
// logout_flow.cpp and text_flow.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/session/login.hpp"
#include "control/session/session_types.hpp"
#include "control/session/target_address.hpp"
#include "control/session/text_exchange.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/iscsi/mailbox.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::service {

/// LOGINSESSIONTYPE of MSiSCSI_Operations, by its numbers.
enum class SessionKind : std::uint8_t { discovery = 0, informational = 1, data = 2 };

/// How an operation ended: an ISDSC status, and a sentence for a person (also of a success).
struct Outcome {
  std::uint32_t status = 0;
  std::string sentence;
  [[nodiscard]] bool is_ok() const noexcept { return status == 0; }
};

struct LoginRequest {
  std::uint32_t worker = 0;
  session::TargetAddress portal;
  std::string target_name;     ///< folded; empty for discovery
  std::string initiator_name;  ///< folded; empty: the configured one
  std::string initiator_alias;
  SessionKind kind = SessionKind::data;
  session::Offer offer;
  std::optional<std::uint16_t> isid_qualifier;  ///< absent: the service chooses
  bool allows_several = false;                  ///< a second session to the same target is meant
  Duration timeout{};                           ///< 0: configured
};

struct LoginReply : Outcome {
  std::uint64_t session_id = 0;
  std::uint64_t connection_id = 0;
};
using LoginDone = std::function<void(const LoginReply&)>;
using LogoutDone = std::function<void(const Outcome&)>;

struct TextReply : Outcome {
  std::vector<std::byte> text;
  bool was_kept = false;  ///< served from an answer that was too large the time before
};
using TextDone = std::function<void(const TextReply&)>;

enum class SessionStep : std::uint8_t {
  resolving,  ///< waiting for the portal's address
  connecting,
  negotiating,
  moving,  ///< redirected: the old connection ends before the next one opens
  logged_in,
  draining,     ///< logging out: commands in flight may finish
  logging_out,  ///< Logout Request sent
  closing,      ///< the connection ends; the record goes with it, unless it becomes `failed`
  failed,       ///< no connection; listed until logged out
};

struct TextTask {
  session::TextExchange exchange;
  std::string value;
  Instant deadline;
  TextDone done;
};

inline constexpr std::size_t kTextsWaitingMax = 16;

/// An answer that did not fit its caller's output area.
struct KeptText {
  std::string value;
  std::vector<std::byte> text;
  Instant expires;
};

struct SessionRecord {
  std::uint64_t id = 0;
  std::uint64_t connection_id = 0;
  std::uint32_t worker = 0;
  std::uint16_t slot = 0;
  bool has_slot = false;
  bool is_open = false;  ///< an open was sent and its `ended` has not come
  bool was_logged_in = false;
  iscsi::ConnectionRef connection;
  SessionStep step = SessionStep::resolving;
  Instant deadline = kNever;  ///< of the step; of the whole login while logging in
  Instant armed = kNever;     ///< what the manager's timer index holds for this record

  LoginRequest request;
  wire::Isid isid{};
  std::uint32_t isid_index = 0;
  session::LoginResult negotiated;
  net::Endpoint remote;
  std::uint16_t local_port = 0;
  std::string state_text;  ///< for people; why, when failed

  // Logging in.
  std::unique_ptr<session::Login> login;
  // Lists, because a deque takes 600 bytes even while it is empty, and there are many sessions.
  std::list<net::Endpoint> candidates;             ///< addresses of the portal not yet tried
  std::list<session::TargetAddress> next_portals;  ///< of the latest redirection, not yet tried
  std::uint32_t hops = 0;
  std::uint32_t resolution = 0;  ///< a late answer has an older number
  Outcome last_failure;          ///< of the latest address that was tried
  LoginDone login_done;

  // Full feature.
  std::optional<TextTask> text;
  /// One exchange at a time (RFC 7143 6.2): others wait, in their order, at most kTextsWaitingMax.
  std::list<TextTask> texts_waiting;
  std::optional<KeptText> kept;

  // Logging out.
  LogoutDone logout_done;
  Outcome logout_outcome;
  std::string end_reason;     ///< with stays_listed: why the session ends
  bool stays_listed = false;  ///< after `ended` the record becomes `failed` instead of going
};

}  // namespace pollux::service
