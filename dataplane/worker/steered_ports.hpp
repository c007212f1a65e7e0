// The local ports of one of several workers that share an address: TCP draws a port at random
// (RFC 6056), and this moves it to the nearest that the worker's replies come back to.
#pragma once

#include "dataplane/base/counter.hpp"
#include "dataplane/base/random.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/steering.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::worker {

/// Thread: the worker's.
class SteeredPorts {
 public:
  /// `steering` and `interface` outlive this.
  SteeredPorts(const platform::Steering& steering, unsigned worker, const net::Interface& interface,
               Random random) noexcept
      : steering_(steering), worker_(worker), interface_(interface), random_(random) {}
  SteeredPorts(const SteeredPorts&) = delete;
  SteeredPorts& operator=(const SteeredPorts&) = delete;

  /// Valid as long as this is.
  [[nodiscard]] tcp::PortPolicy policy() noexcept { return {&SteeredPorts::choose, this}; }
  /// Ports that were asked for, also those that turned out to be in use.
  [[nodiscard]] std::uint64_t tries() const noexcept { return tries_.get(); }

 private:
  static std::uint16_t choose(void* self, const net::Endpoint& remote,
                              std::uint16_t candidate) noexcept;

  const platform::Steering& steering_;
  unsigned worker_;
  const net::Interface& interface_;
  Random random_;
  Counter tries_;
};

}  // namespace pollux::worker
