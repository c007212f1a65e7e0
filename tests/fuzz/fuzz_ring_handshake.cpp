// Any bytes as a client's first message: the verdict is a refusal with a sentence, or a geometry
// that is sound and within the limits.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "control/ring/handshake.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pollux::ring;
  const GeometryLimits limits;
  const std::span<const std::byte> message(reinterpret_cast<const std::byte*>(data), size);
  const pollux_ring_reply reply = answer_hello(message, limits);
  if (std::memchr(reply.sentence, '\0', sizeof reply.sentence) == nullptr) __builtin_trap();
  if (reply.sentence[0] == '\0') __builtin_trap();
  if (reply.result != POLLUX_RING_WELCOME) return 0;
  if (!is_sound(reply.geometry)) __builtin_trap();
  if (reply.geometry.arena_bytes > limits.arena_bytes_max) __builtin_trap();
  if (reply.geometry.command_slots > limits.slots_max) __builtin_trap();
  if (reply.geometry.completion_slots < reply.geometry.command_slots) __builtin_trap();
  if ((reply.features & ~POLLUX_RING_FEATURES_ALL) != 0) __builtin_trap();
  return 0;
}
