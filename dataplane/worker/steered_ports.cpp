#include "dataplane/worker/steered_ports.hpp"

namespace pollux::worker {

std::uint16_t SteeredPorts::choose(void* self, const net::Endpoint& remote,
                                   std::uint16_t candidate) noexcept {
  auto& ports = *static_cast<SteeredPorts*>(self);
  ports.tries_.add();
  platform::FlowTuple tuple{.remote = remote.address.bytes,
                            .local = ports.interface_.source_for(remote.address).bytes,
                            .remote_port = remote.port,
                            .local_port = candidate};
  const auto entropy = static_cast<std::uint32_t>(ports.random_.next() >> 32);
  tuple.local_port = ports.steering_.port_for(tuple, ports.worker_, entropy);
  return ports.steering_.owner(tuple) == ports.worker_ ? tuple.local_port : std::uint16_t{0};
}

}  // namespace pollux::worker
