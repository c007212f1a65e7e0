// Every session of the service. Operations are state machines driven by messages of the workers and
// by time; nothing here waits. Each operation ends by calling its `done` exactly once, on the
// control thread, perhaps before the call that began it has returned. Read first: DESIGN 3.2
// (LogoutFromTarget, SendTargets), RFC 7143 sections 6.3, 8, 11.9 and 11.14.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/service/config.hpp"
#include "control/service/isid_store.hpp"
#include "control/service/resolver.hpp"
#include "control/service/session_ids.hpp"
#include "control/service/session_record.hpp"
#include "control/service/worker_channel.hpp"

namespace pollux::service {

/// RFC 7143 6.3.1.1 sets no bound; more hops than this are a circle.
inline constexpr std::uint32_t kRedirectHopsMax = 8;
/// How long an answer that was too large waits for the retry (DESIGN 3.2).
inline constexpr Duration kKeptTextLifetime = std::chrono::seconds(30);
/// For FIN, then for RST; the worker answers in any case, so this bounds only our own mistakes.
inline constexpr Duration kCloseTimeout = std::chrono::seconds(1);

/// Only rising.
struct SessionCounters {
  std::uint64_t logins_succeeded = 0;
  std::uint64_t logins_failed = 0;
  std::uint64_t redirections = 0;
  std::uint64_t logouts = 0;
  std::uint64_t connections_lost = 0;
  std::uint64_t async_messages = 0;
  std::uint64_t rejects = 0;
  std::uint64_t stale_messages = 0;   ///< about an earlier use of a slot
  std::uint64_t unexpected_pdus = 0;  ///< nobody waited for them
};

struct SessionManagerOptions {
  const Config& config;  ///< must outlive the manager
  std::span<const std::unique_ptr<WorkerChannel>> workers;
  Resolver& resolver;
  IsidStore& isids;
  Random& random;
  std::uint32_t boot_epoch = 1;
  /// One sentence for each thing that happened to a session. May be empty.
  std::function<void(const std::string&)> log;
};

class SessionManager {
 public:
  explicit SessionManager(const SessionManagerOptions& options);

  /// The returned id names the attempt for cancel_login(); it becomes the UniqueSessionId. 0:
  /// `done` was called with the reason already.
  std::uint64_t login(const LoginRequest& request, Instant now, LoginDone done);
  /// `done` of the login is not called any more. A login that has succeeded stays.
  void cancel_login(std::uint64_t id, Instant now);

  /// `text` as in SendTargets_IN. The exchange ends at `deadline` at the latest.
  void send_targets(std::uint64_t id, std::string_view text, Instant now, Instant deadline,
                    TextDone done);
  /// Keeps an answer that did not fit for the retry.
  void keep_text(std::uint64_t id, std::string_view text, std::vector<std::byte> answer,
                 Instant now);

  void logout(std::uint64_t id, Instant now, LogoutDone done);
  /// Ends every login and logs every session out. is_empty() tells when that is over.
  void logout_all(Instant now);

  void on_message(std::uint32_t worker, const iscsi::ToControl& message, Instant now);
  void on_time(Instant now);
  [[nodiscard]] Instant next_deadline() const noexcept;

  /// Sessions that a client may name: logged in, logging out, or failed. Null otherwise.
  [[nodiscard]] const SessionRecord* find(std::uint64_t id) const noexcept;
  /// In order of login.
  [[nodiscard]] std::vector<const SessionRecord*> sessions() const;
  [[nodiscard]] bool is_empty() const noexcept { return records_.empty(); }
  /// Logins, logouts or text exchanges are under way.
  [[nodiscard]] bool is_busy() const noexcept;
  [[nodiscard]] const SessionCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] const std::string& initiator_name() const noexcept { return initiator_name_; }

 private:
  // login_flow.cpp
  [[nodiscard]] Outcome admit(const LoginRequest& request) const;
  void try_portal(SessionRecord& record, const session::TargetAddress& portal, Instant now);
  void on_resolved(std::uint64_t id, std::uint32_t resolution, Resolution answer);
  void try_next_address(SessionRecord& record, Instant now);
  void on_connected(SessionRecord& record, std::uint16_t local_port);
  void on_login_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now);
  void on_redirected(SessionRecord& record, session::LoginRedirected redirected, Instant now);
  void on_logged_in(SessionRecord& record, session::LoginResult result, Instant now);
  void on_login_connection_ended(SessionRecord& record, const iscsi::ToControl& message,
                                 Instant now);
  void on_login_deadline(SessionRecord& record, Instant now);
  void fail_login(SessionRecord& record, Outcome outcome, Instant now);

  // logout_flow.cpp
  void begin_logout(SessionRecord& record, Instant now);
  void send_logout(SessionRecord& record, Instant now);
  void on_logout_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now);
  void close_connection(SessionRecord& record, bool orderly, Instant now);
  void on_logout_deadline(SessionRecord& record, Instant now);
  void on_established_connection_ended(SessionRecord& record, const iscsi::ToControl& message);
  void become_failed(SessionRecord& record, const std::string& why);
  void drop_connection(SessionRecord& record, const std::string& why, Instant now);

  // text_flow.cpp
  void on_full_feature_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now);
  void on_text_step(SessionRecord& record, session::TextStep step, Instant now);
  void end_text(SessionRecord& record, TextReply reply);
  void start_next_text(SessionRecord& record);
  /// True when some were late.
  bool expire_waiting_texts(SessionRecord& record, Instant now);
  void on_async_message(SessionRecord& record, const wire::AsyncMessage& message, Instant now);
  void on_reject(SessionRecord& record, const iscsi::Slab& slab, Instant now);

  // session_manager.cpp
  void on_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now);
  void on_ended(SessionRecord& record, const iscsi::ToControl& message, Instant now);
  void expire(SessionRecord& record, Instant now);
  [[nodiscard]] SessionRecord* find_by_connection(std::uint32_t worker,
                                                  iscsi::ConnectionRef connection) noexcept;
  void release_resources(SessionRecord& record);
  void erase(SessionRecord& record);
  void drop_oldest_failed();
  void arm(SessionRecord& record);
  void note(std::string sentence) const;
  [[nodiscard]] WorkerChannel& channel(const SessionRecord& record) noexcept {
    return *workers_[record.worker];
  }

  const Config& config_;
  std::span<const std::unique_ptr<WorkerChannel>> workers_;
  Resolver& resolver_;
  IsidStore& isids_;
  Random& random_;
  SessionIds ids_;
  std::string initiator_name_;
  std::function<void(const std::string&)> log_;
  std::map<std::uint64_t, SessionRecord> records_;
  std::vector<std::vector<SessionRecord*>> by_slot_;  ///< [worker][slot]
  std::set<std::pair<Instant, std::uint64_t>> deadlines_;
  SessionCounters counters_;
  Instant now_{};  ///< of the latest call; for answers that come without a time of their own
};

/// "10.99.0.1:3260" as the request named it.
[[nodiscard]] std::string portal_text(const SessionRecord& record);
/// The words of the CLI: LOGGED_IN, FREE and so on are iscsiadm's, FAILED is ours.
[[nodiscard]] std::string_view step_name(SessionStep step) noexcept;

}  // namespace pollux::service
