// The way out of one interface: buffers to build frames in and the queue in front of the port.
// Frames leave in the order in which they were queued, whole, and what the port does not take
// stays.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface_config.hpp"
#include "dataplane/platform/port.hpp"

namespace pollux::net {

class Egress {
 public:
  /// Segments. A burst of a full congestion window of jumbo frames fits; more backs up into TCP.
  static constexpr std::size_t kQueueSegments = 1024;
  static constexpr std::size_t kCachedBuffers = 32;

  Egress(platform::Port& port, platform::PacketMemory& memory, Counters& counters,
         const InterfaceConfig& config = {});
  /// Releases what is queued and cached. References of trackers are only taken by the port.
  ~Egress();
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;

  [[nodiscard]] std::size_t queued() const noexcept { return tail_ - head_; }
  [[nodiscard]] bool can_send(std::size_t segments) const noexcept {
    return queued() + segments <= kQueueSegments;
  }
  /// ARP and ICMP answers may fill half of the queue: a flood of questions must not stop TCP.
  [[nodiscard]] bool can_reply(std::size_t segments) const noexcept {
    return queued() + segments <= kQueueSegments / 2;
  }

  /// With room for a VLAN tag in front when one has to be put in here.
  platform::FrameBuffer take_buffer(platform::Urgency urgency = platform::Urgency::normal) noexcept;
  void give_back(const platform::FrameBuffer& buffer) noexcept;

  /// One whole frame with finished headers but for the VLAN tag, which is put in here; sets
  /// kTxMore. Its first segment lies in a buffer of take_buffer(). can_send(frame.size()) holds.
  void send(std::span<platform::TxSegment> frame) noexcept;
  /// As send(), for Ethernet, IPv4 without options or IPv6 without extension headers, and TCP:
  /// fills the checksums first.
  void send_tcp(std::span<platform::TxSegment> frame, std::size_t tcp_header_bytes) noexcept;
  std::size_t flush() noexcept;
  /// Forgets what is queued: the link is down, or the port gone.
  void drop_queued() noexcept;

 private:
  void refill() noexcept;
  void make_room(std::size_t segments) noexcept;
  void reserve_tag(platform::FrameBuffer& buffer) const noexcept;
  void put_tag(platform::TxSegment& first) noexcept;

  platform::Port& port_;
  const platform::PortInfo& info_;
  platform::PacketMemory& memory_;
  Counters& counters_;
  bool tagged_;
  std::uint16_t tag_control_;
  std::uint32_t tag_room_;  // in front of each buffer; 0 when the port puts the tag in
  // A port wants whole frames that lie together, which a ring cannot give where it wraps. The queue
  // runs empty nearly every turn, so an array that starts over costs nothing.
  std::unique_ptr<platform::TxSegment[]> queue_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::array<platform::FrameBuffer, kCachedBuffers> cache_;
  std::size_t cached_ = 0;
};

}  // namespace pollux::net
