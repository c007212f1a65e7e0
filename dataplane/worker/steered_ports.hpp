// The local ports of one of several workers that share an address.
#pragma once

#include "dataplane/base/counter.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/platform/steering.hpp"
#include "dataplane/tcp/port_chooser.hpp"

namespace pollux::worker {

class SteeredPorts final : public tcp::PortChooser {
 public:
  /// `steering` outlives this.
  SteeredPorts(const platform::Steering& steering, unsigned worker,
               const net::IpAddress& local) noexcept
      : steering_(steering), worker_(worker), local_(local) {}

  std::uint16_t move_to_ours(const net::Endpoint& remote, std::uint16_t drawn,
                             Random& random) noexcept override;
  [[nodiscard]] bool is_ours(const net::Endpoint& remote, std::uint16_t port) noexcept override;

  /// Ports that were tried, in use or not.
  [[nodiscard]] std::uint64_t tries() const noexcept { return tries_.get(); }

 private:
  [[nodiscard]] platform::FlowTuple tuple(const net::Endpoint& remote,
                                          std::uint16_t port) const noexcept;

  const platform::Steering& steering_;
  unsigned worker_;
  net::IpAddress local_;
  Counter tries_;
};

}  // namespace pollux::worker
