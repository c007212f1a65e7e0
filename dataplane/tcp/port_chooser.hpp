// Which local ports a connection may have when several engines share one address: only those whose
// replies reach this engine. Where that knowledge comes from (a NIC's hash, a share of the ports)
// is not TCP's business.
#pragma once

#include <cstdint>

#include "dataplane/base/random.hpp"
#include "dataplane/net/ip_address.hpp"

namespace pollux::tcp {

/// Thread: the engine's.
class PortChooser {
 public:
  /// A port near `drawn` whose replies from `remote` arrive here; 0 when there is none near by. As
  /// random as `drawn` is (RFC 6056 3.3).
  virtual std::uint16_t move_to_ours(const net::Endpoint& remote, std::uint16_t drawn,
                                     Random& random) noexcept = 0;
  /// Whether replies from `remote` to `port` arrive here.
  [[nodiscard]] virtual bool is_ours(const net::Endpoint& remote, std::uint16_t port) noexcept = 0;

 protected:
  ~PortChooser() = default;
};

}  // namespace pollux::tcp
