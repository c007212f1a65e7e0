// The seam between the stack and whatever carries frames: a NIC, a tap, an in-process ring, a
// simulated wire. It is crossed once per burst with plain arrays of segments, never once per packet
// or field.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/platform/packet_memory.hpp"

namespace pollux::platform {

enum RxFlag : std::uint16_t {
  kRxMore = 1,            ///< the next element continues the same frame
  kRxIpChecksumGood = 2,  ///< the port has verified it
  kRxIpChecksumBad = 4,
  kRxL4ChecksumGood = 8,
  kRxL4ChecksumBad = 16,
  kRxHash = 32,             ///< rss_hash is what the port computed for this frame
  kRxCopy = 64,             ///< first segment: another worker has the frame as well, and answers it
  kRxVlanStripped = 0x100,  ///< first segment: the port has taken out the tag; see vlan
};

/// One contiguous piece of a received frame. Whoever holds it gives `handle` back exactly once.
struct RxSegment {
  std::byte* data = nullptr;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;  ///< RxFlag; the checksum flags are on the first segment of a frame
  std::uint16_t vlan = 0;   ///< tag control information, with kRxVlanStripped
  void* handle = nullptr;
  std::uint32_t rss_hash = 0;  ///< of the first segment; with kRxHash
};

enum TxFlag : std::uint16_t {
  kTxMore = 1,        ///< the next element continues the same frame
  kTxIpChecksum = 2,  ///< first segment: the port fills the IPv4 header checksum
  kTxL4Checksum =
      4,  ///< first segment: the port completes the TCP checksum (pseudo-header sum is in)
  kTxIpv6 = 0x100,  ///< first segment: the frame is IPv6
  kTxVlan = 0x200,  ///< first segment: the port puts in the tag `vlan`
};

/// One contiguous piece of a frame to send.
struct TxSegment {
  const std::byte* data = nullptr;
  std::uint32_t length = 0;    ///< never zero
  std::uint16_t flags = 0;     ///< TxFlag
  std::uint8_t l2_length = 0;  ///< first segment: header lengths, for checksum offload
  std::uint8_t l3_length = 0;
  std::uint8_t l4_length = 0;
  std::uint16_t vlan = 0;  ///< tag control information, with kTxVlan
  /// First segment: not 0: the frame is one large TCP segment that the port cuts into segments of
  /// this many payload bytes (TSO). Only where PortInfo::tso_bytes_max is not 0.
  std::uint16_t tso_segment_bytes = 0;
  void* handle = nullptr;        ///< frame buffer holding `data`; ownership passes with acceptance
  TxTracker* tracker = nullptr;  ///< instead of a handle: `data` is external memory counted here
};

using MacAddress = std::array<std::uint8_t, 6>;

/// What the port can do and what it is; constant after construction.
struct PortInfo {
  MacAddress mac{};
  std::uint16_t mtu = 1500;     ///< bytes of IP packet
  bool tx_ip_checksum = false;  ///< kTxIpChecksum is honoured (or not needed by the peer)
  bool tx_l4_checksum = false;
  bool tx_vlan_insert = false;       ///< kTxVlan is honoured
  std::uint8_t tx_segments_max = 8;  ///< segments of one frame
  /// Payload of one large TCP segment that the port cuts by itself; 0: it cannot. The pseudo-header
  /// sum in such a frame leaves the length out.
  std::uint32_t tso_bytes_max = 0;
  /// False: TxSegment::tracker is of no use, because the port copies what it finds there (and
  /// cannot for a large segment): better copy while building the frame.
  bool tx_external = true;
  std::uint8_t tso_segments_max = 0;  ///< pieces of such a frame
};

enum class PortState : std::uint8_t {
  up,
  down,     ///< nothing passes now; what is handed over may be lost
  removed,  ///< for good: the device has gone, or did not come back from a reset
};

struct Capabilities;  // platform/capabilities.hpp

/// One queue pair of one port. Thread: the worker's.
class Port {
 public:
  [[nodiscard]] virtual const PortInfo& info() const noexcept = 0;

  /// What was negotiated with a device; null for a port without one.
  [[nodiscard]] virtual const Capabilities* capabilities() const noexcept { return nullptr; }

  /// Fills whole frames into `segments`; returns the number of elements used. A frame of more
  /// segments than fit is left for the next call; one of more than segments.size() is dropped and
  /// counted.
  virtual std::size_t receive(std::span<RxSegment> segments) noexcept = 0;

  /// Frames received since the last call that were another worker's and have gone to it: work that
  /// receive() does not show.
  virtual std::size_t take_passed_on() noexcept { return 0; }

  /// Takes whole frames in order. Returns the number of elements taken; the caller keeps the
  /// others.
  virtual std::size_t transmit(std::span<const TxSegment> segments) noexcept = 0;

  /// Makes the driver give back what it has sent. Bounded.
  virtual void reclaim() noexcept = 0;

  /// Looks after the device; may be slow, so call it some times a second, not every turn. A device
  /// that asks for a reset is reset here, and `down` once after it. Once removed the port takes and
  /// gives nothing any more.
  [[nodiscard]] virtual PortState check() noexcept = 0;

  /// After `removed`: drops what the port still holds, so that its buffers and trackers come back.
  virtual void shut() noexcept = 0;

 protected:
  ~Port() = default;
};

}  // namespace pollux::platform
