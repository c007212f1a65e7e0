#include "control/service/config_text.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <vector>

#include "dataplane/wire/ipv6.hpp"

namespace pollux::service {

std::optional<net::IpAddress> parse_ipv4(std::string_view text) noexcept {
  // inet_pton wants a terminated string; 15 characters are the longest dotted form.
  char terminated[16]{};
  if (text.empty() || text.size() >= sizeof(terminated)) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated);
  in_addr parsed{};
  if (inet_pton(AF_INET, terminated, &parsed) != 1) return std::nullopt;
  return net::IpAddress::from_v4_host(ntohl(parsed.s_addr));
}

std::optional<net::IpAddress> parse_ipv6(std::string_view text) noexcept {
  char terminated[INET6_ADDRSTRLEN]{};
  if (text.empty() || text.size() >= sizeof(terminated)) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated);
  net::IpAddress address;
  if (inet_pton(AF_INET6, terminated, address.bytes.data()) != 1 || address.is_v4())
    return std::nullopt;
  // RFC 4291 2.5.6: 54 zero bits behind the prefix of link-local addresses. Zones stand there.
  if (address.is_link_local() && !wire::same_ipv6_prefix(address.bytes, {0xfe, 0x80}, 64))
    return std::nullopt;
  return address;
}

namespace {

/// "ADDRESS/LENGTH".
std::optional<unsigned> parse_prefix_length(std::string_view text, unsigned most) noexcept {
  unsigned length = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (length < 1 || length > most) return std::nullopt;
  return length;
}

}  // namespace

std::optional<net::InterfaceConfig> parse_interface_address(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_ipv4(text.substr(0, slash));
  const auto length = parse_prefix_length(text.substr(slash + 1), 32);
  if (!address || !length) return std::nullopt;
  const std::uint32_t host = address->v4_host();
  // RFC 1122 3.2.1.3: 0/8, loopback, multicast and the reserved class are no host's own address.
  const std::uint32_t first = host >> 24;
  if (first == 0 || first == 127 || first >= 224) return std::nullopt;
  net::InterfaceConfig interface;
  interface.address = *address;
  interface.prefix_length = static_cast<std::uint8_t>(*length);
  return interface;
}

std::optional<Ipv6Prefix> parse_interface_ipv6(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_ipv6(text.substr(0, slash));
  const auto length = parse_prefix_length(text.substr(slash + 1), 128);
  if (!address || !length) return std::nullopt;
  // RFC 4291 2.5.2, 2.5.3, 2.7; the link-local address is formed from the hardware address.
  const wire::Ipv6Bytes& bytes = address->bytes;
  if (wire::is_ipv6_unspecified(bytes) || wire::is_ipv6_loopback(bytes) ||
      wire::is_ipv6_multicast(bytes) || address->is_link_local())
    return std::nullopt;
  return Ipv6Prefix{*address, static_cast<std::uint8_t>(*length)};
}

std::string to_text(const net::IpAddress& address) {
  char text[INET6_ADDRSTRLEN]{};
  if (address.is_v4()) {
    inet_ntop(AF_INET, address.bytes.data() + 12, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, address.with_zone(0).bytes.data(), text, sizeof(text));
  }
  if (address.zone() != 0) return fmt::format("{}%{}", text, address.zone());
  return text;
}

std::string to_text(const net::Endpoint& endpoint) {
  return endpoint.address.is_v4()
             ? fmt::format("{}:{}", to_text(endpoint.address), endpoint.port)
             : fmt::format("[{}]:{}", to_text(endpoint.address), endpoint.port);
}

namespace {

/// Levenshtein distance with one row.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string_view> nearest_word(std::string_view word,
                                             std::span<const std::string_view> candidates) {
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t best_distance = std::min<std::size_t>(3, word.size() / 3 + 2);
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace pollux::service
