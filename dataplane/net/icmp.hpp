// ICMP (RFC 792, RFC 1122 3.2.2): echo requests are answered, within a rate; errors about
// TCP are checked and queued for it. Redirects are ignored: a path is what the operator configured.
#pragma once

#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/ipv4_input.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pollux::net {

class Icmp {
 public:
  static constexpr Duration kReplyCost = 1ms;     ///< 1,000 replies a second
  static constexpr Duration kReplyCredit = 64ms;  ///< 64 of them at once
  static constexpr std::size_t kReplySegmentsMax = 8;

  Icmp(const wire::EthernetAddress& mac, Egress& egress, const platform::PortInfo& info,
       const Ipv4Subnet& subnet, Counters& counters, PathErrorQueue& errors,
       Instant start) noexcept;

  /// A checked IPv4 packet of protocol 1. Keeps nothing of the frame.
  void input(const FrameView& frame, const Ipv4Packet& packet, Instant now) noexcept;

 private:
  void input_error(const FrameView& frame, const Ipv4Packet& packet, PathErrorKind kind,
                   std::uint16_t mtu) noexcept;
  bool spend(Instant now) noexcept;
  void reply(const FrameView& frame, const Ipv4Packet& packet) noexcept;
  std::size_t copy_out(const FrameView& frame, const Ipv4Packet& packet,
                       std::span<platform::TxSegment> reply) noexcept;

  wire::EthernetAddress mac_;
  Egress& egress_;
  const platform::PortInfo& info_;
  const Ipv4Subnet& subnet_;
  Counters& counters_;
  PathErrorQueue& errors_;
  Duration credit_ = kReplyCredit;
  Instant credited_at_;
};

}  // namespace pollux::net
