// Portal names to addresses. Numeric addresses are answered at once; DNS names on a helper thread,
// and the caller's own timer bounds the wait.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "control/service/helper_thread.hpp"
#include "dataplane/net/ip_address.hpp"

namespace pollux::service {

struct Resolution {
  std::vector<net::Endpoint> endpoints;  ///< empty: see sentence
  std::uint32_t status = 0;              ///< ISDSC, when there are none
  std::string sentence;
};
using ResolutionDone = std::function<void(Resolution)>;

class Resolver {
 public:
  virtual ~Resolver() = default;
  /// Calls `done` exactly once on the control thread, perhaps before returning.
  virtual void resolve(const std::string& host, std::uint16_t port, ResolutionDone done) = 0;
};

/// What a resolver knows of a port: its place in the list, from 1 on, is its zone (RFC 4007 6).
struct ResolverPort {
  std::string name;
  bool has_ipv4 = true;
  bool has_ipv6 = false;
};

/// getaddrinfo on `helper`, for the families that ports have.
class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(HelperThread& helper, std::vector<ResolverPort> ports = {ResolverPort{}})
      : helper_(helper), ports_(std::move(ports)) {}
  void resolve(const std::string& host, std::uint16_t port, ResolutionDone done) override;

 private:
  /// "fe80::1%lab0", or any other IPv6 address; an empty list of endpoints says why not.
  [[nodiscard]] Resolution resolve_ipv6(const std::string& host, std::uint16_t port) const;

  HelperThread& helper_;
  std::vector<ResolverPort> ports_;
};

}  // namespace pollux::service
