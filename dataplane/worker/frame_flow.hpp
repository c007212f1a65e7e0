// What a received frame is to workers that share a port: whose connection it belongs to, or that it
// tells all of them something. Looks at headers only, believes none of them, and leaves what it
// does not know to the worker that has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/platform/steering.hpp"

namespace pollux::worker {

enum class FrameKind : std::uint8_t {
  other,     ///< echo, fragments, noise: whoever has it deals with it
  flow,      ///< a TCP segment
  error,     ///< an ICMP error about a segment of ours; the tuple is that connection's
  notice,    ///< what a neighbour or router says of itself: for every worker
  question,  ///< ARP request, neighbour solicitation: answered by whoever has it, but it tells
             ///< every worker who asks, and perhaps that our address is another's too
};

struct FrameFlow {
  FrameKind kind = FrameKind::other;
  bool is_syn_ack = false;    ///< the first segment of a connection that we have opened
  bool is_plain = false;      ///< no VLAN tag, no IP options: what any NIC hashes alike
  bool is_ipv6 = false;       ///< of flow
  platform::FlowTuple tuple;  ///< of flow and error
};

/// Bytes of a frame that classify() may want to see: tag, IPv6, ICMP, the IPv6 packet inside,
/// ports.
inline constexpr std::size_t kClassifyBytes = 160;

/// `head`: the first bytes of the frame, min(frame, kClassifyBytes) of them lying together.
void classify(std::span<const std::byte> head, FrameFlow& flow) noexcept;

}  // namespace pollux::worker
