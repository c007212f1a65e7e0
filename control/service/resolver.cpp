#include "control/service/resolver.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pollux/iscsierr.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "control/service/config_text.hpp"

namespace pollux::service {
namespace {

constexpr std::size_t kAddressesMax = 8;  ///< of one name that are tried

/// Runs on the helper thread.
Resolution look_up(const std::string& host, std::uint16_t port, int family) {
  Resolution resolution;
  addrinfo wanted{};
  wanted.ai_family = family;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int fault = getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  for (const addrinfo* at = fault == 0 ? found : nullptr; at != nullptr; at = at->ai_next) {
    if (resolution.endpoints.size() == kAddressesMax) break;
    net::IpAddress address;
    if (at->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(at->ai_addr);
      address = net::IpAddress::from_v4_host(ntohl(v4->sin_addr.s_addr));
    } else {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(at->ai_addr);
      std::memcpy(address.bytes.data(), &v6->sin6_addr, address.bytes.size());
    }
    resolution.endpoints.push_back({address, port});
  }
  if (fault == 0) freeaddrinfo(found);
  if (resolution.endpoints.empty()) {
    resolution.status = ISDSC_DNS_NAME_UNRESOLVED;
    resolution.sentence = fmt::format("the name \"{}\" could not be resolved: {}", host,
                                      fault == 0 ? "no address" : gai_strerror(fault));
  }
  return resolution;
}

Resolution refusal(std::uint32_t status, std::string sentence) {
  Resolution resolution;
  resolution.status = status;
  resolution.sentence = std::move(sentence);
  return resolution;
}

}  // namespace

Resolution SystemResolver::resolve_ipv6(const std::string& host, std::uint16_t port) const {
  const std::size_t percent = host.find('%');
  const auto address = parse_ipv6(host.substr(0, percent));
  if (!address) return refusal(ISDSC_INVALID_PARAMETER, fmt::format("{} is no IPv6 address", host));
  std::vector<std::string> names;
  std::size_t only = 0;
  std::size_t zone = 0;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (!ports_[i].has_ipv6) continue;
    names.push_back(ports_[i].name);
    only = i + 1;
    if (percent == std::string::npos) continue;
    const std::string_view wanted = std::string_view(host).substr(percent + 1);
    if (wanted == ports_[i].name || wanted == std::to_string(i + 1)) zone = i + 1;
  }
  if (names.empty()) {
    return refusal(ISDSC_ADDRESS_TYPE_NOT_SUPPORTED,
                   fmt::format("the portal {} is an IPv6 address and no port has one: set "
                               "ipv6_address",
                               host));
  }
  if (percent != std::string::npos && (zone == 0 || !address->is_link_local())) {
    return refusal(ISDSC_INVALID_PARAMETER,
                   address->is_link_local()
                       ? fmt::format("no port with IPv6 is called \"{}\"; there are {}",
                                     host.substr(percent + 1), fmt::join(names, ", "))
                       : fmt::format("{} is no link-local address: it takes no %port", host));
  }
  if (address->is_link_local() && zone == 0) {
    if (names.size() != 1) {
      return refusal(ISDSC_INVALID_PARAMETER,
                     fmt::format("{} exists on every link: say through which port, like {}%{}",
                                 host, host, names.front()));
    }
    zone = only;
  }
  Resolution resolution;
  resolution.endpoints.push_back({address->with_zone(static_cast<unsigned>(zone)), port});
  return resolution;
}

void SystemResolver::resolve(const std::string& host, std::uint16_t port, ResolutionDone done) {
  Resolution resolution;
  if (const auto address = parse_ipv4(host)) {
    resolution.endpoints.push_back({*address, port});
    return done(std::move(resolution));
  }
  if (host.find(':') != std::string::npos) return done(resolve_ipv6(host, port));
  const auto has = [this](bool ResolverPort::*member) {
    return std::any_of(ports_.begin(), ports_.end(),
                       [member](const ResolverPort& each) { return each.*member; });
  };
  const bool v4 = has(&ResolverPort::has_ipv4);
  const bool v6 = has(&ResolverPort::has_ipv6);
  const int family = v4 && v6 ? AF_UNSPEC : v6 ? AF_INET6 : AF_INET;
  const auto answer = std::make_shared<Resolution>();
  const auto shared_done = std::make_shared<ResolutionDone>(std::move(done));
  if (helper_.post([=] { *answer = look_up(host, port, family); },
                   [=] { (*shared_done)(std::move(*answer)); })) {
    return;
  }
  resolution.status = ISDSC_DNS_NAME_UNRESOLVED;
  resolution.sentence = "too many names are being resolved; try again";
  (*shared_done)(std::move(resolution));
}

}  // namespace pollux::service
