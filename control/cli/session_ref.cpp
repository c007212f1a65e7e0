// See session_ref.hpp.
#include "control/cli/session_ref.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "control/cli/failure.hpp"
#include "control/url/lun.hpp"

namespace pollux::cli {
namespace {

constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kCandidatesShown = 8;

std::optional<std::uint64_t> parse_number(std::string_view digits, int base) noexcept {
  std::uint64_t value = 0;
  const auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || failure != std::errc{} || end != digits.end()) return std::nullopt;
  return value;
}

/// Every numeric form of the host, itself included: a session knows addresses, a user knows names.
std::vector<std::string> host_addresses(const std::string& host) {
  std::vector<std::string> addresses{host};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return addresses;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0)
      addresses.emplace_back(text.data());
  }
  return addresses;
}

bool is_at_portal(const SessionRow& session, const std::vector<std::string>& hosts,
                  std::uint16_t port) {
  return std::any_of(
      session.connections.begin(), session.connections.end(), [&](const ConnectionRow& connection) {
        return connection.remote.port == port &&
               std::find(hosts.begin(), hosts.end(), connection.remote.host) != hosts.end();
      });
}

std::vector<const SessionRow*> matches_of_url(const std::vector<SessionRow>& sessions,
                                              const url::IscsiUrl& url) {
  const auto hosts = host_addresses(url.portal.host);
  std::vector<const SessionRow*> matches;
  for (const SessionRow& session : sessions)
    if (session.target == url.target && is_at_portal(session, hosts, url.portal.port))
      matches.push_back(&session);
  return matches;
}

std::vector<const SessionRow*> matches_of_text(const std::vector<SessionRow>& sessions,
                                               const std::string& text) {
  std::vector<const SessionRow*> matches;
  // A whole name wins over the same text at the end of a longer one.
  for (const SessionRow& session : sessions)
    if (session.target == text) matches.push_back(&session);
  if (!matches.empty()) return matches;
  const Result<url::Portal> portal = url::parse_portal(text);
  for (const SessionRow& session : sessions) {
    const bool is_suffix = !session.target.empty() && session.target.ends_with(text);
    const bool is_portal = portal && is_at_portal(session, {portal->host}, portal->port);
    if (is_suffix || is_portal) matches.push_back(&session);
  }
  return matches;
}

const SessionRow& only_one(const std::vector<const SessionRow*>& matches, const std::string& text) {
  if (matches.size() == 1) return *matches.front();
  if (matches.empty())
    throw Failure(ExitCode::session_not_found,
                  fmt::format("No session fits '{}'. 'pollux sessions' lists those there are, "
                              "'pollux login' makes one.",
                              text));
  std::string candidates;
  for (std::size_t i = 0; i < std::min(matches.size(), kCandidatesShown); ++i)
    candidates += fmt::format("\n  {}  {}  {}", format_id(matches[i]->id),
                              matches[i]->portal_text(), matches[i]->target);
  if (matches.size() > kCandidatesShown) candidates += "\n  ...";
  throw Failure(ExitCode::invalid_argument,
                fmt::format("'{}' fits {} sessions. Name one of them by its id:{}", text,
                            matches.size(), candidates));
}

}  // namespace

std::optional<std::uint64_t> parse_session_id(std::string_view text) noexcept {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_number(text.substr(2), 16);
  if (text.size() == 2 * kIdDigits + 1 && text[kIdDigits] == '-') {
    const auto adapter = parse_number(text.substr(0, kIdDigits), 16);
    return adapter ? parse_number(text.substr(kIdDigits + 1), 16) : std::nullopt;
  }
  return parse_number(text, 10);
}

SessionRef parse_session_ref(const std::string& text) {
  SessionRef ref;
  if (url::is_url(text)) {
    const Result<url::IscsiUrl> url = url::parse_url(text);
    if (!url) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", url.error().message));
    if (url->target.empty())
      throw Failure(
          ExitCode::invalid_argument,
          fmt::format("'{}' names a portal but no target: write iscsi://HOST/TARGET/LUN.", text));
    ref.session = text;
    ref.url = *url;
    ref.lun = url->lun;
    return ref;
  }
  const std::size_t slash = text.find('/');
  ref.session = text.substr(0, slash);
  if (ref.session.empty())
    throw Failure(ExitCode::invalid_argument, fmt::format("'{}' names no session.", text));
  if (slash == std::string::npos) return ref;
  const Result<std::uint64_t> lun = url::parse_lun(std::string_view(text).substr(slash + 1));
  if (!lun) throw Failure(ExitCode::invalid_argument, fmt::format("{}.", lun.error().message));
  ref.lun = *lun;
  return ref;
}

const SessionRow& find_session(const std::vector<SessionRow>& sessions, const SessionRef& ref) {
  if (ref.url) return only_one(matches_of_url(sessions, *ref.url), ref.session);
  const auto id = parse_session_id(ref.session);
  if (!id) return only_one(matches_of_text(sessions, ref.session), ref.session);
  const auto found = std::find_if(sessions.begin(), sessions.end(),
                                  [&](const SessionRow& session) { return session.id == *id; });
  if (found == sessions.end())
    throw Failure(ExitCode::session_not_found,
                  fmt::format("There is no session {}. 'pollux sessions' lists those there are.",
                              format_id(*id)));
  return *found;
}

}  // namespace pollux::cli
