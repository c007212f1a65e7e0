// One port of one worker below TCP: Ethernet, ARP, IPv4, ICMP echo on the way in, neighbour
// resolution, checksums and the ordered transmit queue on the way out. Knows nothing of
// connections. Read first: RFC 826, RFC 791, RFC 792, RFC 1122 sections 2.3.2 and 3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/time.hpp"
#include "dataplane/net/interface_config.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/platform/port.hpp"

namespace pollux::net {

struct Counters;  // net/counters.hpp

inline constexpr std::size_t kEthernetHeaderBytes = 14;
inline constexpr std::size_t kIpv4HeaderBytes = 20;

/// One received TCP segment. The header lies together and has been checked: length, data offset,
/// checksum (by the port or in software), destination is ours, source is neither multicast nor
/// broadcast.
struct TcpDatagram {
  IpAddress source;
  IpAddress destination;
  std::span<const std::byte> header;  ///< TCP header with options; 20 to 60 bytes
  std::span<const platform::RxSegment>
      payload;  ///< trimmed to the IP total length; owns its handles
  std::uint32_t payload_bytes = 0;
};

/// What a frame to one destination starts with.
struct Route {
  std::array<std::byte, kEthernetHeaderBytes> ethernet{};  ///< ready header, ethertype included
  IpAddress source;
  std::uint16_t mtu = 1500;  ///< of the IP packet
  std::uint32_t generation =
      0;  ///< equals Interface::neighbour_generation() while the route is fresh
};

enum class RouteState : std::uint8_t {
  resolved,
  pending,      ///< an ARP request is under way; ask again when neighbour_generation() has changed
  unreachable,  ///< no route, or the neighbour did not answer within the bound (RFC 1122 2.3.2.1)
};

class Interface {
 public:
  Interface(const InterfaceConfig& config, platform::Port& port, platform::PacketMemory& memory,
            Instant start);
  ~Interface();
  Interface(const Interface&) = delete;
  Interface& operator=(const Interface&) = delete;

  /// One receive burst. ARP and ICMP are answered here; TCP segments fill `datagrams`. The
  /// datagrams (not the handles of their payload, which the caller takes over) are valid until the
  /// next call. Returns the number of datagrams; `frames` gets the number of frames of any kind.
  std::size_t receive(Instant now, std::span<TcpDatagram> datagrams, std::size_t& frames) noexcept;

  /// Neighbour ageing and ARP retries. Cheap when there is nothing to do.
  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept;

  RouteState route(const IpAddress& destination, Instant now, Route& route) noexcept;
  /// Changes whenever any neighbour entry changes: every cached Route is then asked for again.
  [[nodiscard]] std::uint32_t neighbour_generation() const noexcept;

  /// Frames are built only while there is room, so a full transmit ring backs up into TCP.
  [[nodiscard]] bool can_send(std::size_t segments) const noexcept;
  /// A buffer for the head of a frame; data is null when the pool is empty.
  platform::FrameBuffer take_buffer() noexcept;
  void give_back(const platform::FrameBuffer& buffer) noexcept;
  /// Queues one whole frame that starts with Ethernet, IPv4 and TCP headers whose checksum fields
  /// are zero: fills the checksums (or asks the port to). can_send(frame.size()) must hold.
  void send_tcp(std::span<platform::TxSegment> frame, std::size_t tcp_header_bytes) noexcept;
  /// Hands queued frames to the port, in order; what it does not take stays queued.
  std::size_t flush() noexcept;
  /// Forgets what is queued: the link is down.
  void drop_queued() noexcept;
  /// platform::Port::check(): some times a second.
  platform::PortState check_port() noexcept;
  /// The port is gone: drops what is queued here and there.
  void shut_port() noexcept;
  /// Makes the port give back what it has sent. Bounded.
  void reclaim() noexcept;
  /// Segments queued and not yet taken by the port.
  [[nodiscard]] std::size_t queued() const noexcept;

  [[nodiscard]] const IpAddress& address() const noexcept;
  /// True when `destination` is reached without a gateway.
  [[nodiscard]] bool on_link(const IpAddress& destination) const noexcept;
  [[nodiscard]] bool has_gateway() const noexcept;
  [[nodiscard]] const platform::PortInfo& port_info() const noexcept;
  [[nodiscard]] const Counters& counters() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::net
