// discover and send-targets: which targets there are. Lines for people are iscsiadm's, since
// scripts parse them: "10.0.0.1:3260,1 iqn.2003-01.org.example:disk".
#include <fmt/format.h>

#include "control/cli/operation.hpp"
#include "control/cli/render.hpp"
#include "control/cli/session_calls.hpp"
#include "control/cli/verbs.hpp"
#include "control/session/discovery.hpp"
#include "pollux/iscsierr.h"

namespace pollux::cli {
namespace {

Json portal_json(const session::TargetAddress& portal) {
  Json json{{"portal", session::to_string(portal)}, {"portal_group_tag", nullptr}};
  if (portal.portal_group_tag) json["portal_group_tag"] = *portal.portal_group_tag;
  return json;
}

/// Prints the targets of an answer. Failure no_objects when there is none.
void print_targets(const Options& options, const std::string& what,
                   const std::vector<std::byte>& answer, const url::Portal& asked) {
  const session::DiscoveryResult result =
      session::parse_send_targets(answer, {asked.host, asked.port, std::nullopt});
  if (result.verdict != session::DiscoveryVerdict::ok)
    throw failure_of_status(what, result.isdsc, clean(result.sentence));
  if (options.json) {
    Json json = document("targets");
    json["targets"] = Json::array();
    for (const session::DiscoveredTarget& target : result.targets) {
      Json portals = Json::array();
      for (const auto& portal : target.portals) portals.push_back(portal_json(portal));
      json["targets"].push_back({{"target", target.name}, {"portals", std::move(portals)}});
    }
    print_json(json);
  } else {
    std::string lines;
    for (const session::DiscoveredTarget& target : result.targets)
      for (const auto& portal : target.portals)
        // iscsiadm's own way to write a portal group tag that the target did not tell.
        lines += fmt::format("{},{} {}\n", clean(session::to_string(portal)),
                             portal.portal_group_tag ? fmt::format("{}", *portal.portal_group_tag)
                                                     : std::string("-1"),
                             clean(target.name));
    print(lines);
  }
  if (result.names_dropped + result.addresses_dropped > 0)
    fmt::print(stderr, "pollux: {} names and {} addresses in the answer could not be used.\n",
               result.names_dropped, result.addresses_dropped);
  if (result.targets.empty())
    throw Failure(
        ExitCode::no_objects,
        fmt::format("{} found no targets. The target's access list may hide them from this "
                    "initiator.",
                    what));
}

url::Portal portal_of(const std::string& text) {
  if (url::is_url(text)) {
    const Result<url::IscsiUrl> url = url::parse_url(text);
    if (!url) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", url.error().message));
    return url->portal;
  }
  const Result<url::Portal> portal = url::parse_portal(text);
  if (!portal)
    throw Failure(ExitCode::invalid_argument, fmt::format("{}.", portal.error().message));
  return *portal;
}

/// All makes sense on a discovery session, the empty value on a normal one (RFC 7143 Appendix C).
std::string default_text(const SessionRow& session) {
  return session.type == ISCSI_SESSION_DISCOVERY ? "All" : "";
}

}  // namespace

ExitCode run_discover(const Options& options) {
  const url::Portal portal = portal_of(options.subject);
  Connection connection(options.service);
  const LoginRequest request{portal, "", options.header_digest, options.data_digest};
  std::vector<std::byte> answer;
  {
    const TemporarySession session(connection, request, options.deadline_ms(kLoginSecondsDefault));
    answer = send_targets(connection, session.id(), "All", options.deadline_ms());
  }
  print_targets(options, fmt::format("Discovery at {}", url::format_portal(portal)), answer,
                portal);
  return ExitCode::ok;
}

ExitCode run_send_targets(const Options& options) {
  Connection connection(options.service);
  const SessionRef ref = parse_session_ref(options.subject);
  const auto sessions = list_sessions(connection, options.deadline_ms());
  const SessionRow& session = find_session(sessions, ref);
  const std::string text = options.text ? *options.text : default_text(session);
  std::vector<std::byte> answer;
  try {
    answer = send_targets(connection, session.id, text, options.deadline_ms());
  } catch (const Failure& failure) {
    if (failure.isdsc() != ISDSC_TRANSPORT_ERROR || session.type == ISCSI_SESSION_DISCOVERY) throw;
    // Seen with tgt, which ends a normal session for any Text Request (RFC 7143 11.10 allows them).
    throw Failure(
        failure.code(),
        fmt::format("{} Some targets end a normal session that asks; 'pollux discover' and "
                    "'pollux login --discovery' ask over a discovery session.",
                    failure.what()),
        failure.isdsc());
  }
  const url::Portal asked =
      session.connections.empty() ? url::Portal{} : session.connections.front().remote;
  print_targets(options, fmt::format("SendTargets on session {}", format_id(session.id)), answer,
                asked);
  return ExitCode::ok;
}

}  // namespace pollux::cli
