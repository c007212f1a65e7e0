// One received frame as the input functions see it: its segments, and its first bytes lying
// together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/net/interface.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::net {

inline constexpr std::size_t kTcpHeaderBytesMax = 60;
/// All headers of the longest kind but for IPv6 extension headers; a frame's head holds as many
/// bytes, or the whole frame if shorter.
inline constexpr std::size_t kHeadBytes =
    kEthernetHeaderBytes + wire::kVlanTagBytes + wire::Ipv4Header::kBytesMax + kTcpHeaderBytesMax;
/// As much of a frame as extension headers are looked for in.
inline constexpr std::size_t kLongHeadBytes = 512;

struct FrameView {
  std::span<platform::RxSegment> segments;
  std::uint32_t bytes = 0;                        ///< of the whole frame
  std::uint32_t l2_bytes = kEthernetHeaderBytes;  ///< Ethernet, and the VLAN tag if there is one
  std::span<const std::byte> head;                ///< at least min(bytes, kHeadBytes)
};

/// Another worker has the frame too, and answers it.
inline bool is_copy(const FrameView& frame) noexcept {
  return (frame.segments.front().flags & platform::kRxCopy) != 0;
}

/// Copies the frame's bytes from `first` on, which must be there, until `out` is full.
inline void copy_frame_bytes(std::span<const platform::RxSegment> segments, std::size_t first,
                             std::span<std::byte> out) noexcept {
  std::size_t filled = 0;
  for (const platform::RxSegment& segment : segments) {
    if (first >= segment.length) {
      first -= segment.length;
      continue;
    }
    const std::size_t n = std::min<std::size_t>(segment.length - first, out.size() - filled);
    if (n == 0) return;
    std::memcpy(out.data() + filled, segment.data + first, n);
    filled += n;
    first = 0;
  }
}

/// Cuts the segments down to the frame's bytes [first, end), which lie within the frame. Returns
/// the segments that are left, in place; `dropped(handle)` takes those that hold none of these
/// bytes.
template <class Dropped>
std::span<platform::RxSegment> trim(std::span<platform::RxSegment> segments, std::uint32_t first,
                                    std::uint32_t end, Dropped dropped) noexcept {
  std::size_t kept = 0;
  std::uint32_t at = 0;
  for (const platform::RxSegment& segment : segments) {
    const std::uint32_t from = std::max(at, first);
    const std::uint32_t to = std::min(at + segment.length, end);
    const std::uint32_t start = at;
    at += segment.length;
    if (from >= to) {
      dropped(segment.handle);
      continue;
    }
    // A piece without bytes may lie between others: what is kept moves up.
    platform::RxSegment cut = segment;
    cut.data += from - start;
    cut.length = to - from;
    segments[kept++] = cut;
  }
  const auto result = segments.first(kept);
  if (!result.empty()) {
    auto& last = result.back();
    last.flags = static_cast<std::uint16_t>(last.flags & ~unsigned{platform::kRxMore});
  }
  return result;
}

}  // namespace pollux::net
