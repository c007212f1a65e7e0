// Portal names to addresses. Numeric addresses are answered at once; DNS names on a helper thread, and
// the caller's own timer bounds the wait.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
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

/// getaddrinfo on `helper`.
class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(HelperThread& helper) : helper_(helper) {}
  void resolve(const std::string& host, std::uint16_t port, ResolutionDone done) override;

 private:
  HelperThread& helper_;
};

}  // namespace pollux::service
