// See iscsi_url.hpp. Each part has a function of its own that answers with the sentence for that
// part.
#include "control/url/iscsi_url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "control/url/lun.hpp"
#include "pollux/errors.h"

namespace pollux::url {
namespace {

constexpr std::string_view kScheme = "iscsi://";
constexpr std::size_t kNameBytesMax = 223;  // RFC 7143 4.2.7.1
constexpr std::size_t kHostBytesMax = 255;  // RFC 1035 2.3.4
constexpr std::size_t kUrlBytesMax = 2048;

Error invalid(std::string message) { return Error{POLLUX_EINVAL, std::move(message)}; }

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_any_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

/// RFC 3986 2.1.
Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || failure != std::errc{} || end != digits.end())
      return invalid(fmt::format("'%' in '{}' is not followed by two hexadecimal digits", text));
    decoded.push_back(static_cast<char>(value));
    i += 2;
  }
  return decoded;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || failure != std::errc{} || end != text.end() || port == 0)
    return invalid(fmt::format("'{}' is not a TCP port: give a number from 1 to 65535", text));
  return port;
}

bool is_host_text(std::string_view host) noexcept {
  const auto is_host_char = [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '.' || c == '-' ||
           c == '_';
  };
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), is_host_char);
}

bool is_ipv6_text(std::string_view host) noexcept {
  const auto is_v6_char = [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.';
  };
  const std::size_t percent = host.find('%');  // RFC 4007 11: %zone
  const std::string_view address = host.substr(0, percent);
  const bool zone_good =
      percent == std::string_view::npos || is_host_text(host.substr(percent + 1));
  return zone_good && address.find(':') != std::string_view::npos && host.size() <= kHostBytesMax &&
         std::all_of(address.begin(), address.end(), is_v6_char);
}

Result<Portal> parse_host_and_port(std::string_view text) {
  std::string decoded;
  std::string_view host = text;
  std::string_view port_text;
  bool has_port = false;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos)
      return invalid(fmt::format("'{}' opens a bracket and does not close it", text));
    decoded = text.substr(1, close - 1);
    // RFC 6874 2: in a URL the zone's '%' is written as %25.
    if (const std::size_t at = decoded.find("%25");
        at != std::string::npos && at + 3 < decoded.size())
      decoded.erase(at + 1, 2);
    host = decoded;
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':')
      return invalid(fmt::format("after the bracket in '{}' only a port may follow", text));
    has_port = !rest.empty();
    port_text = has_port ? rest.substr(1) : rest;
    if (!is_ipv6_text(host))
      return invalid(fmt::format("'{}' in brackets is not an IPv6 address", host));
  } else if (std::count(text.begin(), text.end(), ':') > 1) {
    if (!is_ipv6_text(text)) return invalid(fmt::format("'{}' is not a host and port", text));
  } else {
    const std::size_t colon = text.find(':');
    has_port = colon != std::string_view::npos;
    host = text.substr(0, colon);
    if (has_port) port_text = text.substr(colon + 1);
    if (!is_host_text(host))
      return invalid(text.empty() ? std::string("the host is missing")
                                  : fmt::format("'{}' is not a host name or address", host));
  }
  Portal portal{std::string(host), kDefaultPort};
  if (has_port) {
    const Result<std::uint16_t> port = parse_port(port_text);
    if (!port) return port.error();
    portal.port = *port;
  }
  return portal;
}

Result<void> apply_option(std::string_view key, std::string_view value, IscsiUrl& url) {
  if (key == "header_digest" || key == "data_digest") {
    const Result<Digest> digest = parse_digest(value);
    if (!digest) return digest.error();
    (key == "header_digest" ? url.header_digest : url.data_digest) = *digest;
    return {};
  }
  if (key == "password" || key == "target_password")
    return invalid("a password does not belong in a URL, where everybody can see it");
  return invalid(
      fmt::format("'{}' is not an option of a URL: there are header_digest and data_digest", key));
}

Result<void> parse_query(std::string_view query, IscsiUrl& url) {
  while (!query.empty()) {
    const std::size_t separator = query.find('&');
    const std::string_view pair = query.substr(0, separator);
    query = separator == std::string_view::npos ? std::string_view{} : query.substr(separator + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos)
      return invalid(fmt::format("the URL's option '{}' has no value", pair));
    Result<void> applied = apply_option(pair.substr(0, equals), pair.substr(equals + 1), url);
    if (!applied) return applied;
  }
  return {};
}

Result<void> parse_path(std::string_view path, IscsiUrl& url) {
  if (path.empty()) return {};
  const std::size_t slash = path.find('/');
  Result<std::string> name = percent_decode(path.substr(0, slash));
  if (!name) return name.error();
  if (!is_iscsi_name(*name))
    return invalid(fmt::format(
        "'{}' is not an iSCSI name: it begins with iqn., eui. or naa. and has at most {} bytes",
        path.substr(0, slash), kNameBytesMax));
  url.target = *name;
  const std::string_view lun_text =
      slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  if (lun_text.empty()) return {};
  const Result<std::uint64_t> lun = parse_lun(lun_text);
  if (!lun) return lun.error();
  url.lun = *lun;
  return {};
}

}  // namespace

bool is_url(std::string_view text) noexcept { return text.find("://") != std::string_view::npos; }

bool is_iscsi_name(std::string_view text) noexcept {
  const bool has_type =
      text.starts_with("iqn.") || text.starts_with("eui.") || text.starts_with("naa.");
  const auto is_name_char = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && c != '/' && c != '?';
  };
  return has_type && text.size() > 4 && text.size() <= kNameBytesMax &&
         std::all_of(text.begin(), text.end(), is_name_char);
}

Result<Digest> parse_digest(std::string_view text) {
  if (equals_any_case(text, "none")) return Digest::none;
  if (equals_any_case(text, "crc32c")) return Digest::crc32c;
  return invalid(fmt::format("'{}' is not a digest: there are none and crc32c", text));
}

Result<Portal> parse_portal(std::string_view text) {
  return parse_host_and_port(text.substr(0, text.find(',')));
}

std::string format_portal(const Portal& portal) {
  return portal.host.find(':') == std::string::npos
             ? fmt::format("{}:{}", portal.host, portal.port)
             : fmt::format("[{}]:{}", portal.host, portal.port);
}

Result<IscsiUrl> parse_url(std::string_view text) {
  if (text.size() > kUrlBytesMax) return invalid("the URL is longer than 2048 bytes");
  if (!equals_any_case(text.substr(0, kScheme.size()), kScheme))
    return invalid(fmt::format("'{}' is not an iscsi:// URL", text));
  std::string_view rest = text.substr(kScheme.size());

  const std::size_t question = rest.find('?');
  const std::string_view query =
      question == std::string_view::npos ? std::string_view{} : rest.substr(question + 1);
  rest = rest.substr(0, question);
  const std::size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  const std::string_view path =
      slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);

  IscsiUrl url;
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view user = authority.substr(0, at);
    if (user.find_first_of("%:") != std::string_view::npos)
      return invalid("a password does not belong in a URL, where everybody can see it");
    if (user.empty()) return invalid("the user in front of '@' is missing");
    url.user = user;
    authority = authority.substr(at + 1);
  }
  Result<Portal> portal = parse_host_and_port(authority);
  if (!portal) return portal.error();
  url.portal = *portal;
  if (Result<void> parsed = parse_path(path, url); !parsed) return parsed.error();
  if (Result<void> parsed = parse_query(query, url); !parsed) return parsed.error();
  return url;
}

}  // namespace pollux::url
