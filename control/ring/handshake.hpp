// The verdict on a client's hello and the geometry it gets. Pure: no descriptors, no memory of its
// own, so that every byte a stranger may send first can be tried against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "pollux/ring.h"

namespace pollux::ring {

struct GeometryLimits {
  std::uint32_t slots_default = 256;
  std::uint32_t slots_max = 1024;
  std::uint64_t arena_bytes_default = std::uint64_t{4} << 20;
  std::uint64_t arena_bytes_max = std::uint64_t{64} << 20;
};

/// What to answer. `reply` is complete but for access, input_bytes_max and service_pid; its result
/// says whether the channel is to be made.
[[nodiscard]] pollux_ring_reply answer_hello(std::span<const std::byte> message,
                                             const GeometryLimits& limits) noexcept;

/// A reply that refuses, with its sentence (cut when it does not fit).
[[nodiscard]] pollux_ring_reply refusal(std::uint32_t result, std::string_view sentence) noexcept;

/// The layout of a region with these counts: powers of two within POLLUX_RING_SLOTS_MAX.
[[nodiscard]] pollux_ring_geometry geometry_of(std::uint32_t command_slots,
                                               std::uint32_t completion_slots,
                                               std::uint64_t arena_bytes) noexcept;

/// True when every part lies inside the region and none overlaps: what a client checks of a reply.
[[nodiscard]] bool is_sound(const pollux_ring_geometry& geometry) noexcept;

}  // namespace pollux::ring
