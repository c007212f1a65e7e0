// The inside of Interface: its parts, and the burst that is being taken apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/net/arp_table.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/icmp.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/ipv6_host.hpp"
#include "dataplane/net/path_error.hpp"

namespace pollux::net {

inline constexpr std::size_t kBurstSegments = 64;

struct Interface::Impl {
  Impl(const InterfaceConfig& interface_config, platform::Port& p, platform::PacketMemory& m,
       Instant start)
      : config(interface_config),
        port(p),
        memory(m),
        mac(p.info().mac),
        subnet(interface_config),
        egress(p, m, counters, interface_config),
        arp(subnet, mac, egress, counters,
            {interface_config.has_ipv4() && interface_config.detect_conflicts,
             interface_config.has_ipv4() && interface_config.announce},
            start),
        icmp(mac, egress, p.info(), subnet, counters, path_errors, start),
        ipv6(interface_config, mac, egress, p.info(), counters, path_errors, start) {
    if (interface_config.has_ipv4() && interface_config.vlan_id == 0 &&
        !wire::is_group_address(mac)) {
      plain_mac = 0;
      std::memcpy(&plain_mac, mac.data(), mac.size());
    }
  }

  void drop(void* handle) noexcept { dead[dead_count++] = handle; }
  void drop(const FrameView& frame) noexcept {
    for (const platform::RxSegment& segment : frame.segments) drop(segment.handle);
  }
  void release_dead() noexcept {
    if (dead_count == 0) return;
    memory.release({dead.data(), dead_count});
    dead_count = 0;
  }

  bool plain_tcp(TcpDatagram& datagram) noexcept;
  [[nodiscard]] std::size_t segments_of_frame(std::size_t bytes) const noexcept;
  FrameView next_frame() noexcept;
  void pull_up(FrameView& frame, std::size_t bytes) noexcept;
  bool input(FrameView& frame, TcpDatagram& datagram, Instant now) noexcept;
  bool take_tag(FrameView& frame, std::uint16_t& type) noexcept;
  bool ipv6_input(FrameView& frame, bool to_group, TcpDatagram& datagram, Instant now) noexcept;
  bool from_station(const FrameView& frame) noexcept;
  void arp_input(const FrameView& frame, Instant now) noexcept;
  RouteState route_v4(const IpAddress& destination, Instant now, wire::EthernetAddress& mac,
                      Route& route) noexcept;

  InterfaceConfig config;
  platform::Port& port;
  platform::PacketMemory& memory;
  wire::EthernetAddress mac;
  Ipv4Subnet subnet;
  Counters counters;
  Egress egress;
  ArpTable arp;
  PathErrorQueue path_errors;
  Icmp icmp;
  Ipv6Host ipv6;

  // What plain_tcp() compares with.
  std::uint64_t plain_mac = ~std::uint64_t{0};  // first six bytes of a frame; all ones: none fits
  std::uint64_t plain_source = ~std::uint64_t{0};  // as on the wire: the last one found to be good

  bool link_was_up = true;

  // The burst under way: segments [next, filled) wait for room among the caller's datagrams.
  std::array<platform::RxSegment, kBurstSegments> burst;
  std::size_t next = 0;
  std::size_t filled = 0;
  // Given back at the start of the next burst: headers of datagrams may still point there.
  std::array<void*, kBurstSegments> dead{};
  std::size_t dead_count = 0;
  // Headers of frames that came in pieces, by the frame's first segment.
  std::array<std::array<std::byte, kLongHeadBytes>, kBurstSegments> scratch;
};

}  // namespace pollux::net
