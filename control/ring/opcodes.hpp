// The operations a ring takes: who may ask for them and how small their structures can be. What is
// checked here, before an operation sees the command, is the same for all of them.
#pragma once

#include <cstdint>
#include <span>

#include "pollux/ring.h"

namespace pollux::ring {

/// What a client may do; the values are those of pollux_ring_reply.access.
enum class Access : std::uint8_t {
  none = 0,
  monitor = POLLUX_RING_ACCESS_MONITOR,  ///< asks what the service knows
  manage = POLLUX_RING_ACCESS_MANAGE,    ///< operates on sessions
};

struct Operation {
  std::uint32_t opcode;
  const char* name;
  Access access;                   ///< the least that is needed
  std::uint32_t input_bytes_min;   ///< the structure without its variable part
  std::uint32_t output_bytes_min;  ///< refused before anything happens when there is less room
};

/// The operations of iscsiop.h and operations.h, in order of opcode.
[[nodiscard]] std::span<const Operation> standard_operations() noexcept;

/// Null when `operations`, which are in order of opcode, do not have it.
[[nodiscard]] const Operation* find_operation(std::span<const Operation> operations,
                                              std::uint32_t opcode) noexcept;

}  // namespace pollux::ring
