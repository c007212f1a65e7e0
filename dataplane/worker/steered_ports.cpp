#include "dataplane/worker/steered_ports.hpp"

namespace pollux::worker {

platform::FlowTuple SteeredPorts::tuple(const net::Endpoint& remote,
                                        std::uint16_t port) const noexcept {
  return {.remote = remote.address.bytes,
          .local = local_.bytes,
          .remote_port = remote.port,
          .local_port = port};
}

std::uint16_t SteeredPorts::move_to_ours(const net::Endpoint& remote, std::uint16_t drawn,
                                         Random& random) noexcept {
  tries_.add();
  const std::uint16_t port =
      steering_.port_for(tuple(remote, drawn), worker_, static_cast<std::uint32_t>(random.next()));
  return port != 0 && is_ours(remote, port) ? port : 0;
}

bool SteeredPorts::is_ours(const net::Endpoint& remote, std::uint16_t port) noexcept {
  return steering_.owner(tuple(remote, port)) == worker_;
}

}  // namespace pollux::worker
