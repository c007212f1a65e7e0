// One port of one worker below TCP: Ethernet with its VLAN tag, ARP and neighbour discovery, IPv4
// and IPv6, ICMP echo on the way in, neighbour resolution, checksums and the ordered transmit queue
// on the way out. Knows nothing of connections. Read first: RFC 826, RFC 791, RFC 792, RFC 1122
// sections 2.3.2 and 3, RFC 8200, RFC 4861.
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

struct Counters;                         // net/counters.hpp
struct PathError;                        // net/path_error.hpp
enum class AddressState : std::uint8_t;  // net/address_claim.hpp

inline constexpr std::size_t kEthernetHeaderBytes = 14;
inline constexpr std::size_t kIpv4HeaderBytes = 20;
inline constexpr std::size_t kIpv6HeaderBytes = 40;

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
  /// wire::EcnCodepoint of the IPv4 header or of the IPv6 traffic class.
  std::uint8_t ecn = 0;
};

/// What a frame to one destination starts with.
struct Route {
  std::array<std::byte, kEthernetHeaderBytes> ethernet{};  ///< ready header, ethertype included
  IpAddress source;
  std::uint8_t traffic_class = 0;  ///< DSCP in its upper six bits, the ECN field zero
  std::uint8_t hop_limit = 64;     ///< or time to live
  std::uint16_t mtu = 1500;        ///< of the IP packet
  std::uint32_t generation =
      0;  ///< equals Interface::neighbour_generation() while the route is fresh
};

enum class RouteState : std::uint8_t {
  resolved,
  pending,      ///< the neighbour is being asked, or our address still checked; ask again when
                ///< neighbour_generation() has changed
  unreachable,  ///< no route, or the neighbour did not answer within the bound (RFC 1122 2.3.2.1)
};

/// RFC 4862 5.4: what has become of our IPv6 addresses.
enum class Ipv6State : std::uint8_t {
  off,
  checking,  ///< duplicate address detection is under way
  ready,
  duplicate,  ///< another station has one of them: it is not used
};

class Interface {
 public:
  Interface(const InterfaceConfig& config, platform::Port& port, platform::PacketMemory& memory,
            Instant start);
  ~Interface();
  Interface(const Interface&) = delete;
  Interface& operator=(const Interface&) = delete;

  /// One receive burst. ARP, neighbour discovery and ICMP are answered here; TCP segments fill
  /// `datagrams`. The datagrams (not the handles of their payload, which the caller takes over) are
  /// valid until the next call. Returns the number of datagrams; `frames` gets the number of frames
  /// of any kind.
  std::size_t receive(Instant now, std::span<TcpDatagram> datagrams, std::size_t& frames) noexcept;

  /// platform::Port::take_passed_on(): what receive() met and is none of ours.
  std::size_t take_passed_on() noexcept;

  /// The ICMP errors about TCP that receive() has met; whatever is not taken waits, bounded, and
  /// there is none unless receive() has seen a frame. Returns how many `errors` has got.
  std::size_t take_path_errors(std::span<PathError> errors) noexcept;

  /// Neighbour and address ageing, retries. Cheap when there is nothing to do.
  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept;

  /// TCP gets no answer from `remote`: the neighbour that leads there is asked for again, itself
  /// first and then everybody. As often as wanted: at most one request a second leaves.
  void suspect(const IpAddress& remote, Instant now) noexcept;
  /// Of the IPv4 address; see to_words(). The counter address_state shows it to other threads.
  [[nodiscard]] AddressState address_state() const noexcept;

  /// There is no route to `destination` because another station has the address that packets to it
  /// would come from (RFC 5227 2.1.1, RFC 4862 5.4.5).
  [[nodiscard]] bool is_refused_source(const IpAddress& destination) const noexcept;

  RouteState route(const IpAddress& destination, Instant now, Route& route) noexcept;
  /// Changes whenever any neighbour or address of ours does: every cached Route is then asked for
  /// again.
  [[nodiscard]] std::uint32_t neighbour_generation() const noexcept;

  /// Frames are built only while there is room, so a full transmit ring backs up into TCP.
  [[nodiscard]] bool can_send(std::size_t segments) const noexcept;
  /// A buffer for the head of a frame; data is null when the pool (and for what is urgent, the
  /// reserve) is empty.
  platform::FrameBuffer take_buffer(platform::Urgency urgency = platform::Urgency::normal) noexcept;
  void give_back(const platform::FrameBuffer& buffer) noexcept;
  /// Queues one whole frame that starts with Ethernet, IPv4 or IPv6, and TCP headers whose checksum
  /// fields are zero: fills the checksums (or asks the port to) and the VLAN tag. The first segment
  /// lies in a buffer of take_buffer(). can_send(frame.size()) must hold.
  void send_tcp(std::span<platform::TxSegment> frame, std::size_t tcp_header_bytes) noexcept;
  /// Queues one whole frame that starts with an Ethernet header and is finished but for the VLAN
  /// tag, which is put in. Buffers and room as for send_tcp().
  void send(std::span<platform::TxSegment> frame) noexcept;
  /// Hands queued frames to the port, in order; what it does not take stays queued.
  std::size_t flush() noexcept;
  /// Forgets what is queued: the link is down.
  void drop_queued() noexcept;
  /// platform::Port::check(): some times a second, and before the first run_timers(). While the
  /// link is down the check of our addresses for other users waits; one that is back has it
  /// started anew, and has the addresses in use announced.
  platform::PortState check_port(Instant now) noexcept;
  /// The port is gone: drops what is queued here and there.
  void shut_port() noexcept;
  /// Stands for all that is queued by now: has_left() tells when the port has taken it.
  [[nodiscard]] std::uint64_t egress_mark() const noexcept;
  [[nodiscard]] bool has_left(std::uint64_t mark) const noexcept;
  /// Makes the port give back what it has sent. Bounded.
  void reclaim() noexcept;
  /// Segments queued and not yet taken by the port.
  [[nodiscard]] std::size_t queued() const noexcept;

  /// RFC 4861 7.3.1: the peer has acknowledged something new, so the way to it works. At most once
  /// in confirm_interval() for each connection is enough.
  void confirm_reachable(const IpAddress& remote, Instant now) noexcept;
  static constexpr Duration confirm_interval() noexcept { return 5s; }

  /// The IPv4 address.
  [[nodiscard]] const IpAddress& address() const noexcept;
  /// What packets to `destination` carry as their source, also while it is still being checked.
  [[nodiscard]] IpAddress source_for(const IpAddress& destination) const noexcept;
  /// One of our addresses, and in use.
  [[nodiscard]] bool is_own(const IpAddress& address) const noexcept;
  /// Any thread may ask.
  [[nodiscard]] Ipv6State ipv6_state() const noexcept;
  /// True when `destination` is reached without a gateway. A zone it carries must be ours.
  [[nodiscard]] bool on_link(const IpAddress& destination) const noexcept;
  /// There is a gateway of the family of `destination`, or one may be advertised.
  [[nodiscard]] bool has_gateway(const IpAddress& destination) const noexcept;
  [[nodiscard]] const platform::PortInfo& port_info() const noexcept { return port_info_; }
  [[nodiscard]] const Counters& counters() const noexcept;

 private:
  struct Impl;
  const platform::PortInfo& port_info_;  // every frame asks for it
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::net
