// The IPv6 side of one interface: addresses, neighbours, routers and ICMPv6 put together. Next-hop
// choice and timers are in ipv6_host.cpp, ICMPv6 in icmpv6_input.cpp.
// Read first: RFC 4861 5.2, 6.3 and 7.2, RFC 4862 5.4, RFC 4443 2.4 and 4.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/ipv6_addresses.hpp"
#include "dataplane/net/ipv6_input.hpp"
#include "dataplane/net/nd_messages.hpp"
#include "dataplane/net/nd_table.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/net/rate_limit.hpp"
#include "dataplane/net/router_list.hpp"

namespace pollux::net {

class Ipv6Host {
 public:
  static constexpr unsigned kRouterSolicits = 3;  ///< RFC 4861 10
  static constexpr Duration kRouterSolicitInterval = 4s;
  static constexpr Duration kReplyCost = 1ms;     ///< 1,000 replies of each kind a second
  static constexpr Duration kReplyCredit = 64ms;  ///< 64 of them at once
  static constexpr std::uint8_t kHopLimit = 64;   ///< until a router says otherwise
  /// An ICMPv6 message in pieces is put together up to this size; larger ones are dropped.
  static constexpr std::size_t kMessageMax = 2048;

  Ipv6Host(const InterfaceConfig& config, const wire::EthernetAddress& mac, Egress& egress,
           const platform::PortInfo& info, Counters& counters, PathErrorQueue& errors,
           Instant start) noexcept;

  [[nodiscard]] bool enabled() const noexcept { return enabled_; }
  [[nodiscard]] const Ipv6Addresses& addresses() const noexcept { return addresses_; }

  /// A checked packet of Next Header 58. Keeps nothing of the frame. An error about a TCP segment
  /// of ours is queued; whether it is true is for TCP to judge.
  void icmp_input(const FrameView& frame, const Ipv6Packet& packet, Instant now) noexcept;

  RouteState route(const IpAddress& destination, Instant now, wire::EthernetAddress& mac,
                   Route& route) noexcept;
  [[nodiscard]] bool on_link(const IpAddress& destination) const noexcept;
  [[nodiscard]] bool has_gateway() const noexcept {
    return config_.gateway6 != IpAddress{} || routers_.has_router() || config_.accept_ra;
  }
  /// TCP gets no answer: the neighbour that leads to `remote` is asked, itself first.
  void suspect(const IpAddress& remote, Instant now) noexcept;
  [[nodiscard]] bool is_refused_source(const IpAddress& destination) const noexcept;
  void confirm_reachable(const IpAddress& remote, Instant now) noexcept;
  /// The port's link is down: what is being checked waits.
  void on_link_down() noexcept;
  /// The port's link is back: checks start anew, neighbours hear of our addresses, and routers are
  /// asked anew.
  void on_link_up(Instant now) noexcept;
  /// Any thread may ask.
  [[nodiscard]] Ipv6State state() const noexcept {
    return published_.load(std::memory_order_relaxed);
  }

  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept;
  [[nodiscard]] std::uint32_t generation() const noexcept {
    return addresses_.generation() + neighbours_.generation() + routers_.generation();
  }

 private:
  [[nodiscard]] std::optional<IpAddress> next_hop(const IpAddress& destination) noexcept;
  [[nodiscard]] bool waits_for_router() const noexcept { return router_solicit_at_ != kNever; }

  void publish_state() noexcept;
  std::span<const std::byte> gather(const FrameView& frame, const Ipv6Packet& packet) noexcept;
  void nd_input(const FrameView& frame, const Ipv6Packet& packet,
                std::span<const std::byte> message, Instant now) noexcept;
  void on_solicitation(const FrameView& frame, const Ipv6Packet& packet, const NeighborInput& input,
                       Instant now) noexcept;
  void on_advertisement(const NeighborInput& input, Instant now) noexcept;
  void on_router(const Ipv6Packet& packet, const RouterInput& input, Instant now) noexcept;
  void on_echo_request(const FrameView& frame, const Ipv6Packet& packet,
                       std::span<const std::byte> message, Instant now) noexcept;
  void on_error(std::span<const std::byte> message) noexcept;

  InterfaceConfig config_;
  bool enabled_;
  wire::EthernetAddress mac_;
  Egress& egress_;
  const platform::PortInfo& info_;
  Counters& counters_;
  PathErrorQueue& errors_;
  NdSender sender_;
  Ipv6Addresses addresses_;
  NdTable neighbours_;
  RouterList routers_;
  RateLimit echo_limit_;
  RateLimit advertisement_limit_;
  std::uint8_t hop_limit_ = kHopLimit;
  std::uint16_t mtu_;
  std::atomic<Ipv6State> published_{Ipv6State::off};
  std::uint32_t published_generation_ = 0;
  unsigned router_solicits_ = 0;
  Instant router_solicit_at_ = kNever;
  std::array<std::byte, kMessageMax> gathered_{};
};

}  // namespace pollux::net
