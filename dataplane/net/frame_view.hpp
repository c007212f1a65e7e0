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

namespace pollux::net {

inline constexpr std::size_t kTcpHeaderBytesMax = 60;
/// All headers of the longest kind; a frame's head holds as many bytes, or the whole frame if
/// shorter.
inline constexpr std::size_t kHeadBytes =
    kEthernetHeaderBytes + wire::Ipv4Header::kBytesMax + kTcpHeaderBytesMax;

struct FrameView {
  std::span<platform::RxSegment> segments;
  std::uint32_t bytes = 0;          ///< of the whole frame
  std::span<const std::byte> head;  ///< at least min(bytes, kHeadBytes)
};

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
