#include "control/service/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <pollux/iscsierr.h>

#include "control/service/config_text.hpp"

namespace pollux::service {
namespace {

constexpr std::size_t kAddressesMax = 8;  ///< of one name that are tried

/// Runs on the helper thread.
Resolution look_up(const std::string& host, std::uint16_t port) {
  Resolution resolution;
  addrinfo wanted{};
  wanted.ai_family = AF_INET;  // ports carry IPv4 addresses so far
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int fault = getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  for (const addrinfo* at = fault == 0 ? found : nullptr; at != nullptr; at = at->ai_next) {
    if (resolution.endpoints.size() == kAddressesMax) break;
    const auto* address = reinterpret_cast<const sockaddr_in*>(at->ai_addr);
    resolution.endpoints.push_back(
        {net::IpAddress::from_v4_host(ntohl(address->sin_addr.s_addr)), port});
  }
  if (fault == 0) freeaddrinfo(found);
  if (resolution.endpoints.empty()) {
    resolution.status = ISDSC_DNS_NAME_UNRESOLVED;
    resolution.sentence = fmt::format("the name \"{}\" could not be resolved: {}", host,
                                      fault == 0 ? "no IPv4 address" : gai_strerror(fault));
  }
  return resolution;
}

}  // namespace

void SystemResolver::resolve(const std::string& host, std::uint16_t port, ResolutionDone done) {
  Resolution resolution;
  if (const auto address = parse_ipv4(host)) {
    resolution.endpoints.push_back({*address, port});
    return done(std::move(resolution));
  }
  if (host.find(':') != std::string::npos) {
    resolution.status = ISDSC_ADDRESS_TYPE_NOT_SUPPORTED;
    resolution.sentence = fmt::format("the portal {} is an IPv6 address; ports carry IPv4 so far", host);
    return done(std::move(resolution));
  }
  const auto answer = std::make_shared<Resolution>();
  const auto shared_done = std::make_shared<ResolutionDone>(std::move(done));
  if (helper_.post([=] { *answer = look_up(host, port); },
                   [=] { (*shared_done)(std::move(*answer)); })) {
    return;
  }
  resolution.status = ISDSC_DNS_NAME_UNRESOLVED;
  resolution.sentence = "too many names are being resolved; try again";
  (*shared_done)(std::move(resolution));
}

}  // namespace pollux::service
