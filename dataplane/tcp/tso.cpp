// Large segments, which a port that can cut them (TSO) sends as many: how much goes into one, and
// how its frame is marked. A retransmission is never large: what was lost is rarely neighbouring.
// Read first: RFC 9293 3.8.6.2 (the sender's silly window), RFC 5681 4.1 (bursts).
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

// Drivers take shorter parts for an attack and drop the frame (i40e: below 256 bytes).
constexpr std::uint32_t kPartLeast = 256;

}  // namespace

/// What one frame may take instead of the `length` bytes that sendable() allows: at most the port's
/// limit, the windows and the pass's `budget`; whole segments, unless it takes the last byte
/// queued.
std::uint32_t Engine::Impl::large_length(const Connection& c, std::uint32_t in_pipe,
                                         std::uint32_t length,
                                         std::uint32_t budget) const noexcept {
  const std::uint32_t most = interface.port_info().tso_bytes_max;
  if (most <= c.mss || c.mss < kPartLeast || length < c.mss) return length;
  // In recovery, and for the segments of RFC 3042, every segment is a decision of its own.
  if (c.phase != Phase::open || c.dupacks != 0) return length;
  // RFC 3168 6.1.2: one segment says CWR. Not every port clears it from the parts behind the first.
  if (c.ecn.cwr_pending) return length;
  const std::uint32_t in_window = c.snd_wnd > c.flight() ? c.snd_wnd - c.flight() : 0;
  const std::uint32_t in_cwnd = c.congestion.cwnd > in_pipe ? c.congestion.cwnd - in_pipe : 0;
  const std::uint32_t room = std::min({most, budget, in_window, in_cwnd, c.unsent()});
  if (room <= c.mss) return length;
  return room == c.unsent() ? room : room - room % c.mss;
}

/// After begin_frame(): a large segment may have more pieces than a frame of one segment.
void Engine::Impl::widen_frame(Frame& frame) const noexcept {
  const std::size_t pieces =
      std::min<std::size_t>(interface.port_info().tso_segments_max, Frame::kSegmentsMax);
  if (pieces > frame.limit && interface.can_send(pieces)) frame.limit = pieces;
}

/// A wide frame of short pieces may hold no more than one segment: then the port does not cut it,
/// and takes only as many pieces as of any other.
bool Engine::Impl::is_large_enough(const Connection& c, const Frame& frame,
                                   std::uint32_t placed) const noexcept {
  return placed > c.mss || frame.count <= interface.port_info().tx_segments_max;
}

/// Before finish_frame(): `placed` bytes of payload are in.
void Engine::Impl::mark_large(const Connection& c, Frame& frame, std::uint32_t placed) noexcept {
  if (placed <= c.mss) return;
  frame.segments[0].tso_segment_bytes = static_cast<std::uint16_t>(c.mss);
  counters.large_segments_sent.add();
}

/// The scoreboard knows segments as they are on the wire: that is what the peer reports.
void Engine::Impl::note_sent(Connection& c, std::uint32_t placed, bool with_fin,
                             Instant now) noexcept {
  TcpSeq start = c.snd_nxt;
  for (; placed > c.mss; placed -= c.mss) {
    c.scoreboard.on_sent(start, start + std::uint32_t{c.mss}, now);
    start += std::uint32_t{c.mss};
  }
  c.scoreboard.on_sent(start, start + (placed + (with_fin ? 1u : 0u)), now);
}

}  // namespace pollux::tcp
