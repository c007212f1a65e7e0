// Hello, reply and geometry.
#include "control/ring/handshake.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pollux::ring {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
// Fewer would not leave a client a slot to cancel with.
constexpr std::uint32_t kSlotsMin = 8;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

std::uint32_t granted_slots(std::uint32_t wanted, const GeometryLimits& limits) noexcept {
  const std::uint32_t most =
      std::bit_floor(std::clamp(limits.slots_max, kSlotsMin, POLLUX_RING_SLOTS_MAX));
  const std::uint32_t count = wanted == 0 ? limits.slots_default : wanted;
  return count >= most ? most : std::bit_ceil(std::max(count, kSlotsMin));
}

std::uint64_t granted_arena(std::uint64_t wanted, const GeometryLimits& limits) noexcept {
  const std::uint64_t most = std::max(limits.arena_bytes_max, POLLUX_RING_ARENA_BYTES_MIN);
  const std::uint64_t bytes = wanted == 0 ? limits.arena_bytes_default : wanted;
  return round_up(std::clamp(bytes, POLLUX_RING_ARENA_BYTES_MIN, most), kPageBytes);
}

constexpr bool is_slot_count(std::uint32_t count) {
  return std::has_single_bit(count) && count <= POLLUX_RING_SLOTS_MAX;
}

// Whether [offset, offset + bytes) lies between the header and the end of the region.
bool is_inside(std::uint64_t offset, std::uint64_t bytes, std::uint64_t region_bytes) noexcept {
  return offset >= sizeof(pollux_ring_header) && offset % POLLUX_RING_LINE_BYTES == 0 &&
         bytes <= region_bytes && offset <= region_bytes - bytes;
}

}  // namespace

pollux_ring_geometry geometry_of(std::uint32_t command_slots, std::uint32_t completion_slots,
                                 std::uint64_t arena_bytes) noexcept {
  pollux_ring_geometry geometry{};
  geometry.command_slots = command_slots;
  geometry.completion_slots = completion_slots;
  geometry.arena_bytes = arena_bytes;
  geometry.commands_offset = sizeof(pollux_ring_header);
  geometry.completions_offset = round_up(
      geometry.commands_offset + std::uint64_t{command_slots} * sizeof(pollux_ring_command),
      POLLUX_RING_LINE_BYTES);
  geometry.arena_offset = round_up(geometry.completions_offset + std::uint64_t{completion_slots} *
                                                                     sizeof(pollux_ring_completion),
                                   kPageBytes);
  geometry.region_bytes = round_up(geometry.arena_offset + arena_bytes, kPageBytes);
  return geometry;
}

bool is_sound(const pollux_ring_geometry& geometry) noexcept {
  if (!is_slot_count(geometry.command_slots) || !is_slot_count(geometry.completion_slots))
    return false;
  const std::uint64_t command_bytes =
      std::uint64_t{geometry.command_slots} * sizeof(pollux_ring_command);
  const std::uint64_t completion_bytes =
      std::uint64_t{geometry.completion_slots} * sizeof(pollux_ring_completion);
  return is_inside(geometry.commands_offset, command_bytes, geometry.region_bytes) &&
         is_inside(geometry.completions_offset, completion_bytes, geometry.region_bytes) &&
         is_inside(geometry.arena_offset, geometry.arena_bytes, geometry.region_bytes) &&
         geometry.commands_offset + command_bytes <= geometry.completions_offset &&
         geometry.completions_offset + completion_bytes <= geometry.arena_offset;
}

pollux_ring_reply refusal(std::uint32_t result, std::string_view sentence) noexcept {
  pollux_ring_reply reply{};
  reply.magic = POLLUX_RING_MAGIC;
  reply.version = POLLUX_RING_VERSION;
  reply.result = result;
  std::memcpy(reply.sentence, sentence.data(),
              std::min(sentence.size(), sizeof reply.sentence - 1));
  return reply;
}

pollux_ring_reply answer_hello(std::span<const std::byte> message,
                               const GeometryLimits& limits) noexcept {
  pollux_ring_hello hello{};
  // A newer client may say more; what this version does not know it does not need.
  if (message.size() < sizeof hello) {
    return refusal(POLLUX_RING_REFUSED_HELLO, "the hello is too short to be one");
  }
  std::memcpy(&hello, message.data(), sizeof hello);
  if (hello.magic != POLLUX_RING_MAGIC) {
    return refusal(POLLUX_RING_REFUSED_HELLO, "this socket speaks pollux's command ring only");
  }
  if (hello.version < POLLUX_RING_VERSION_OLDEST || hello.version_oldest > POLLUX_RING_VERSION ||
      hello.version_oldest > hello.version) {
    return refusal(POLLUX_RING_REFUSED_VERSION,
                   "client and service have no ring version in common; upgrade the older one");
  }
  const bool is_reserved_zero = std::all_of(std::begin(hello.reserved), std::end(hello.reserved),
                                            [](std::uint64_t word) { return word == 0; });
  if (!is_reserved_zero && hello.version <= POLLUX_RING_VERSION) {
    return refusal(POLLUX_RING_REFUSED_HELLO, "reserved words of the hello are not zero");
  }
  pollux_ring_reply reply = refusal(POLLUX_RING_WELCOME, "welcome");
  reply.version = std::min(hello.version, POLLUX_RING_VERSION);
  reply.features = hello.features & POLLUX_RING_FEATURES_ALL;
  const std::uint32_t command_slots = granted_slots(hello.command_slots, limits);
  // Fewer completion than command slots would leave command slots that can never be taken.
  const std::uint32_t completion_slots =
      std::max(command_slots, granted_slots(hello.completion_slots, limits));
  reply.geometry =
      geometry_of(command_slots, completion_slots, granted_arena(hello.arena_bytes, limits));
  return reply;
}

}  // namespace pollux::ring
