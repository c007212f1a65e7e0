// The operations that make, ask and end sessions, and a session that lasts as long as its holder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/options.hpp"
#include "control/cli/session_ref.hpp"

namespace pollux::cli {

/// How long a login may take when no --timeout was given.
inline constexpr std::uint32_t kLoginSecondsDefault = 30;

struct LoginRequest {
  url::Portal portal;
  std::string target;  ///< empty: a discovery session
  std::optional<url::Digest> header_digest;
  std::optional<url::Digest> data_digest;
};

struct LoginResult {
  std::uint64_t session_id = 0;
  std::uint64_t connection_id = 0;
};

/// Failure connect, timeout, login_failed, fatal_login, auth_failed, ... with portal and reason.
[[nodiscard]] LoginResult log_in(Connection& connection, const LoginRequest& request,
                                 std::uint32_t deadline_ms);

/// The operation status; zero is success. Failure only when the command did not reach the
/// operation.
[[nodiscard]] std::uint32_t log_out(Connection& connection, std::uint64_t session_id,
                                    std::uint32_t deadline_ms);

/// One SendTargets exchange; the bytes are the target's pairs, each ended by NUL.
[[nodiscard]] std::vector<std::byte> send_targets(Connection& connection, std::uint64_t session_id,
                                                  const std::string& text,
                                                  std::uint32_t deadline_ms);

/// A login request out of URL and options; an option wins over the URL's own.
[[nodiscard]] LoginRequest login_request_of(const url::IscsiUrl& url, const Options& options);

/// A session made for the duration of one verb. Logs out when it goes, also after Ctrl-C or a
/// failure.
class TemporarySession {
 public:
  TemporarySession(Connection& connection, const LoginRequest& request, std::uint32_t deadline_ms);
  ~TemporarySession();
  TemporarySession(const TemporarySession&) = delete;
  TemporarySession& operator=(const TemporarySession&) = delete;

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

 private:
  Connection& connection_;
  std::uint64_t id_ = 0;
};

/// The session (and LUN) a verb works on, found by the options' subject; with --login one is made
/// when a URL fits none.
class SessionUse {
 public:
  SessionUse(Connection& connection, const Options& options);

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  /// From --lun, else the subject. Failure invalid_argument when neither names one.
  [[nodiscard]] std::uint64_t lun() const;
  [[nodiscard]] bool has_lun() const noexcept { return lun_.has_value(); }
  /// "LUN 0 of session 0x..." for sentences.
  [[nodiscard]] std::string lun_name() const;

 private:
  std::uint64_t id_ = 0;
  std::optional<std::uint64_t> lun_;
  std::optional<TemporarySession> temporary_;
};

}  // namespace pollux::cli
