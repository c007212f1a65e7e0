// The rings between two workers of one port. A lane carries received frames to their owner; a relay
// carries frames to be sent to a worker that has a queue to send them by.
//
// Segments stay the sender's: the receiver copies them into memory of its own and gives the handles
// back through a second ring, so every buffer is taken and released by one thread, and what one
// worker keeps never comes out of another's pools (the memory plan of each holds). The copy is the
// price, paid only where a port cannot steer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/assert.hpp"
#include "dataplane/base/counter.hpp"
#include "dataplane/base/spsc_ring.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/platform/port.hpp"

namespace pollux::worker {

/// One writer (the worker), many readers. Frames unless the name says otherwise.
struct HandoverCounters {
  Counter given;              ///< received here, another's: handed over
  Counter taken;              ///< received elsewhere, ours
  Counter copied_bytes;       ///< of taken and relayed frames
  Counter notices_given;      ///< copies of what neighbours and routers say or ask, for others
  Counter errors_given;       ///< ICMP errors about another's connection
  Counter dropped_full;       ///< the owner did not keep up
  Counter dropped_no_buffer;  ///< nothing to copy into
  Counter relayed;            ///< sent by way of another worker's queue
  Counter relay_waits;  ///< calls that found the relay full: the frames stayed with the caller
  Counter relay_dropped_oversize;
  Counter hash_checked;     ///< first segments whose way here was compared with what we computed
  Counter hash_mismatches;  ///< of those, with another hash
  Counter wrong_queue;      ///< of those, on another queue
};

/// Whole items in, whole items out; what is out at the other side never exceeds the capacity, so
/// neither ring is ever found full behind that check.
template <class Segment>
class HandoverRing {
 public:
  explicit HandoverRing(std::size_t capacity) : items_(capacity), returned_(capacity) {}

  /// Sender.
  [[nodiscard]] bool has_room(std::size_t segments) const noexcept {
    return out_ + segments <= items_.capacity();
  }
  /// Sender. All of `segments` or nothing.
  [[nodiscard]] bool give(std::span<const Segment> segments) noexcept {
    if (!has_room(segments.size())) return false;
    out_ += segments.size();
    const std::size_t pushed = items_.push(segments);
    POLLUX_ASSERT(pushed == segments.size());
    return true;
  }
  /// Sender. Releases what has come back.
  void collect(platform::PacketMemory& memory) noexcept {
    if (out_ == 0) return;
    std::array<void*, 64> handles;
    for (std::size_t n = handles.size(); n == handles.size();) {
      n = returned_.pop(handles);
      if (n == 0) return;
      memory.release({handles.data(), n});
      out_ -= n;
    }
  }

  /// Receiver.
  [[nodiscard]] const Segment* front() noexcept { return items_.front(); }
  bool take(Segment& segment) noexcept { return items_.pop(segment); }
  void give_back(std::span<void* const> handles) noexcept {
    const std::size_t pushed = returned_.push(handles);
    POLLUX_ASSERT(pushed == handles.size());
  }

  /// When neither side turns any more: everything that is still on its way goes back to `memory`.
  void drain(platform::PacketMemory& memory) noexcept {
    Segment segment;
    while (take(segment)) memory.release({&segment.handle, 1});
    void* handle = nullptr;
    while (returned_.pop(handle)) memory.release({&handle, 1});
    out_ = 0;
  }

 private:
  SpscRing<Segment> items_;
  SpscRing<void*> returned_;
  std::size_t out_ = 0;  ///< sender's: given and not yet collected
};

using Lane = HandoverRing<platform::RxSegment>;
using Relay = HandoverRing<platform::TxSegment>;

/// Copies whole frames from `lane` into buffers of `memory`, as long as `out` has room for another.
/// Returns the elements used.
std::size_t take_frames(Lane& lane, platform::PacketMemory& memory,
                        std::span<platform::RxSegment> out, HandoverCounters& counters) noexcept;

/// Copies frames of `relay` into buffers of `memory` for `out`, one element each; what finds no
/// buffer waits.
std::size_t take_relayed(Relay& relay, platform::PacketMemory& memory,
                         std::span<platform::TxSegment> out, HandoverCounters& counters) noexcept;

/// One whole frame into the relay, in one buffer: memory that a tracker counts never leaves its
/// worker. False: no room or no buffer, nothing has happened.
[[nodiscard]] bool relay_frame(Relay& relay, platform::PacketMemory& memory,
                               std::span<const platform::TxSegment> frame,
                               HandoverCounters& counters) noexcept;

}  // namespace pollux::worker
