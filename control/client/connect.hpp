// The client's half of the handshake: find the socket, say hello, take the region and the doorbell.
#pragma once

#include <cstdint>
#include <string>

#include "control/result.hpp"
#include "control/ring/descriptor.hpp"
#include "pollux/ring.h"

namespace pollux::client {

struct ConnectOptions {
  std::string socket_path;  ///< empty: by instance
  std::string instance;
  std::uint64_t arena_bytes = 0;
  std::uint32_t command_slots = 0;
  std::uint32_t completion_slots = 0;
  std::uint32_t connect_ms = 0;
};

struct Connection {
  ring::Descriptor socket;
  ring::Descriptor doorbell;
  ring::Mapping region;
  pollux_ring_reply reply{};
};

/// Bounded by connect_ms. Errors carry POLLUX_E... codes and a sentence.
[[nodiscard]] Result<Connection> connect(const ConnectOptions& options);

}  // namespace pollux::client
