// login, logout and sessions.
#include <fmt/format.h>

#include "control/cli/interrupt.hpp"
#include "control/cli/operation.hpp"
#include "control/cli/render.hpp"
#include "control/cli/session_calls.hpp"
#include "control/cli/verbs.hpp"
#include "control/url/lun.hpp"
#include "pollux/iscsierr.h"

namespace pollux::cli {
namespace {

LoginRequest discovery_request_of(const Options& options) {
  if (options.subject.empty() == options.portal.empty() || !options.target.empty())
    throw Failure(
        ExitCode::invalid_argument,
        "A discovery session names a portal and no target: give either iscsi://HOST[:PORT] "
        "or --portal.");
  if (!options.portal.empty()) {
    const Result<url::Portal> portal = url::parse_portal(options.portal);
    if (!portal)
      throw Failure(ExitCode::invalid_argument, fmt::format("{}.", portal.error().message));
    return {*portal, "", options.header_digest, options.data_digest};
  }
  const Result<url::IscsiUrl> url = url::parse_url(options.subject);
  if (!url) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", url.error().message));
  if (!url->target.empty())
    throw Failure(
        ExitCode::invalid_argument,
        fmt::format("A discovery session names no target, and '{}' does.", options.subject));
  return login_request_of(*url, options);
}

LoginRequest request_of(const Options& options) {
  if (options.discovery) return discovery_request_of(options);
  if (!options.subject.empty()) {
    if (!options.portal.empty() || !options.target.empty())
      throw Failure(ExitCode::invalid_argument,
                    "Give a URL, or --portal and --target, but not both.");
    const Result<url::IscsiUrl> url = url::parse_url(options.subject);
    if (!url) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", url.error().message));
    if (url->target.empty())
      throw Failure(ExitCode::invalid_argument,
                    fmt::format("'{}' names no target. 'pollux discover {}' lists the portal's "
                                "targets.",
                                options.subject, url::format_portal(url->portal)));
    return login_request_of(*url, options);
  }
  if (options.portal.empty() || options.target.empty())
    throw Failure(ExitCode::invalid_argument,
                  "Where to? Give an iscsi:// URL, or both --portal and --target.");
  const Result<url::Portal> portal = url::parse_portal(options.portal);
  if (!portal)
    throw Failure(ExitCode::invalid_argument, fmt::format("{}.", portal.error().message));
  if (!url::is_iscsi_name(options.target))
    throw Failure(ExitCode::invalid_argument,
                  fmt::format("'{}' is not an iSCSI name: it begins with iqn., eui. or naa.",
                              options.target));
  return {*portal, options.target, options.header_digest, options.data_digest};
}

/// A logout that fails for a reason without an exit code of its own is still a failed logout.
Failure logout_failure(std::uint64_t session_id, std::uint32_t status) {
  const std::string what = fmt::format("Logout of session {}", format_id(session_id));
  const Failure failure = failure_of_status(what, status);
  if (failure.code() != ExitCode::generic) return failure;
  return {ExitCode::logout_failed, failure.what(), status};
}

struct Logout {
  std::uint64_t session_id = 0;
  std::string target;
  std::uint32_t status = 0;
};

void print_logouts(const Options& options, const std::vector<Logout>& logouts) {
  if (options.json) {
    Json json = document("logout");
    json["sessions"] = Json::array();
    for (const Logout& logout : logouts)
      json["sessions"].push_back({{"session_id", format_id(logout.session_id)},
                                  {"target", logout.target},
                                  {"status", pollux_isdsc_name(logout.status)}});
    print_json(json);
    return;
  }
  for (const Logout& logout : logouts)
    if (logout.status == 0)
      print(fmt::format("Logged out of session {}{}{}.\n", format_id(logout.session_id),
                        logout.target.empty() ? "" : ", target ", logout.target));
}

ExitCode log_out_everywhere(Connection& connection, const Options& options) {
  const auto sessions = list_sessions(connection, options.deadline_ms());
  if (sessions.empty()) throw Failure(ExitCode::no_objects, "There is no session to log out of.");
  std::vector<Logout> logouts;
  ExitCode worst = ExitCode::ok;
  for (const SessionRow& session : sessions) {
    const std::uint32_t status = log_out(connection, session.id, options.deadline_ms());
    logouts.push_back({session.id, session.target, status});
    // Somebody else may have logged it out since the list was made; that is what was wanted.
    if (status == 0 || status == ISDSC_INVALID_SESSION_ID) continue;
    fmt::print(stderr, "pollux: {}\n", logout_failure(session.id, status).what());
    worst = ExitCode::logout_failed;
  }
  print_logouts(options, logouts);
  return worst;
}

}  // namespace

ExitCode run_login(const Options& options) {
  const LoginRequest request = request_of(options);
  Connection connection(options.service);
  const LoginResult result = log_in(connection, request, options.deadline_ms(kLoginSecondsDefault));
  if (options.json) {
    Json json = document("login");
    json["session_id"] = format_id(result.session_id);
    json["connection_id"] = format_id(result.connection_id);
    json["target"] = request.target;
    json["portal"] = url::format_portal(request.portal);
    print_json(json);
  } else {
    print(fmt::format("Logged in {} at {}: session {}.\n",
                      options.discovery ? "for discovery" : fmt::format("to {}", request.target),
                      url::format_portal(request.portal), format_id(result.session_id)));
  }
  return ExitCode::ok;
}

ExitCode run_logout(const Options& options) {
  if (options.all != options.subject.empty())
    throw Failure(ExitCode::invalid_argument,
                  "Give a session or --all. 'pollux sessions' lists the sessions.");
  Connection connection(options.service);
  if (options.all) return log_out_everywhere(connection, options);
  const SessionRef ref = parse_session_ref(options.subject);
  std::uint64_t session_id = 0;
  std::string target;
  if (const auto id = ref.url ? std::nullopt : parse_session_id(ref.session)) {
    session_id = *id;
  } else {
    const auto sessions = list_sessions(connection, options.deadline_ms());
    const SessionRow& session = find_session(sessions, ref);
    session_id = session.id;
    target = session.target;
  }
  const std::uint32_t status = log_out(connection, session_id, options.deadline_ms());
  if (status != 0) throw logout_failure(session_id, status);
  print_logouts(options, {{session_id, target, status}});
  return ExitCode::ok;
}

ExitCode run_sessions(const Options& options) {
  Connection connection(options.service);
  auto sessions = list_sessions(connection, options.deadline_ms());
  if (!sessions.empty()) find_workers(connection, options.deadline_ms(), sessions);
  if (options.json) {
    print_json(sessions_json(sessions));
  } else if (!sessions.empty()) {
    print(sessions_table(sessions));
  }
  if (sessions.empty())
    throw Failure(
        ExitCode::no_objects,
        "There are no sessions. 'pollux discover PORTAL' finds targets, 'pollux login URL' "
        "makes a session.");
  return ExitCode::ok;
}

}  // namespace pollux::cli
