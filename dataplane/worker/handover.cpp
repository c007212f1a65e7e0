#include "dataplane/worker/handover.hpp"

#include <algorithm>
#include <cstring>

namespace pollux::worker {
namespace {

constexpr std::size_t kPiecesMost = 64;  // of a received frame: a whole burst of the seam

struct Pieces {
  std::array<platform::RxSegment, kPiecesMost> segments;
  std::array<void*, kPiecesMost> handles;
  std::size_t count = 0;
  std::uint32_t bytes = 0;
};

/// The next whole frame of the lane; senders push frames whole.
bool next_frame(Lane& lane, Pieces& frame) noexcept {
  frame.count = 0;
  frame.bytes = 0;
  bool more = true;
  while (more) {
    platform::RxSegment& segment = frame.segments[frame.count];
    if (!lane.take(segment)) break;
    frame.handles[frame.count++] = segment.handle;
    frame.bytes += segment.length;
    more = (segment.flags & platform::kRxMore) != 0;
  }
  POLLUX_ASSERT(frame.count == 0 || !more);
  return frame.count != 0;
}

/// Copies the frame into as few buffers as hold it. Returns the elements used; 0: no buffers.
std::size_t copy_frame(const Pieces& frame, platform::PacketMemory& memory,
                       std::span<platform::RxSegment> out) noexcept {
  std::size_t used = 0;
  platform::FrameBuffer buffer;
  for (std::size_t i = 0; i < frame.count; ++i) {
    const std::byte* from = frame.segments[i].data;
    std::uint32_t left = frame.segments[i].length;
    while (left > 0) {
      if (buffer.capacity == 0) {
        if (used == out.size() || memory.allocate_received({&buffer, 1}) == 0) {
          for (std::size_t k = 0; k < used; ++k) memory.release({&out[k].handle, 1});
          return 0;
        }
        out[used++] = {.data = buffer.data,
                       .length = 0,
                       .flags = platform::kRxMore,
                       .handle = buffer.handle,
                       .rss_hash = 0};
      }
      const std::uint32_t n = std::min(left, buffer.capacity);
      std::memcpy(buffer.data, from, n);
      buffer.data += n;
      buffer.capacity -= n;
      out[used - 1].length += n;
      from += n;
      left -= n;
    }
  }
  const unsigned more = platform::kRxMore;
  out[0].flags = static_cast<std::uint16_t>(out[0].flags | frame.segments[0].flags);
  out[0].vlan = frame.segments[0].vlan;
  out[used - 1].flags = static_cast<std::uint16_t>(out[used - 1].flags & ~more);
  return used;
}

}  // namespace

std::size_t take_frames(Lane& lane, platform::PacketMemory& memory,
                        std::span<platform::RxSegment> out, HandoverCounters& counters) noexcept {
  // The longest frame there is (64 KiB, coalesced by the port) in buffers of 2 KiB.
  constexpr std::size_t kRoom = 34;
  std::size_t used = 0;
  Pieces frame;
  while (out.size() - used >= kRoom && next_frame(lane, frame)) {
    const std::size_t n = copy_frame(frame, memory, out.subspan(used));
    lane.give_back({frame.handles.data(), frame.count});
    if (n == 0) {
      counters.dropped_no_buffer.add();
      continue;
    }
    used += n;
    counters.taken.add();
    counters.copied_bytes.add(frame.bytes);
  }
  return used;
}

std::size_t take_relayed(Relay& relay, platform::PacketMemory& memory,
                         std::span<platform::TxSegment> out, HandoverCounters& counters) noexcept {
  std::size_t used = 0;
  while (used < out.size() && relay.front() != nullptr) {
    platform::FrameBuffer buffer;
    if (memory.allocate({&buffer, 1}) == 0) break;
    platform::TxSegment& segment = out[used++];
    relay.take(segment);
    POLLUX_ASSERT(segment.length <= buffer.capacity);
    std::memcpy(buffer.data, segment.data, segment.length);
    relay.give_back({&segment.handle, 1});
    segment.data = buffer.data;
    segment.handle = buffer.handle;
    counters.copied_bytes.add(segment.length);
  }
  return used;
}

bool relay_frame(Relay& relay, platform::PacketMemory& memory,
                 std::span<const platform::TxSegment> frame, HandoverCounters& counters) noexcept {
  if (!relay.has_room(1)) return false;
  if (frame.size() == 1 && frame.front().handle != nullptr) {
    counters.relayed.add();
    return relay.give(frame);
  }
  std::uint32_t bytes = 0;
  for (const platform::TxSegment& segment : frame) bytes += segment.length;
  platform::FrameBuffer buffer;
  if (memory.allocate({&buffer, 1}) == 0) return false;
  platform::TxSegment flat = frame.front();
  flat.data = buffer.data;
  flat.length = 0;
  flat.flags = static_cast<std::uint16_t>(flat.flags & ~unsigned{platform::kTxMore});
  flat.handle = buffer.handle;
  flat.tracker = nullptr;
  const bool fits = bytes <= buffer.capacity;
  for (const platform::TxSegment& segment : frame) {
    if (fits) std::memcpy(buffer.data + flat.length, segment.data, segment.length);
    flat.length += segment.length;
    if (segment.handle != nullptr) memory.release({&segment.handle, 1});
  }
  if (!fits) {
    memory.release({&flat.handle, 1});
    counters.relay_dropped_oversize.add();
    return true;
  }
  counters.relayed.add();
  counters.copied_bytes.add(bytes);
  return relay.give({&flat, 1});
}

}  // namespace pollux::worker
