// ICMP (RFC 792, RFC 1122 3.2.2): echo requests are answered, within a rate; errors are counted.
#pragma once

#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/ipv4_input.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pollux::net {

class Icmp {
 public:
  static constexpr Duration kReplyCost = 1ms;     ///< 1,000 replies a second
  static constexpr Duration kReplyCredit = 64ms;  ///< 64 of them at once
  static constexpr std::size_t kReplySegmentsMax = 8;

  Icmp(const wire::EthernetAddress& mac, Egress& egress, const platform::PortInfo& info,
       Counters& counters, Instant start) noexcept;

  /// A checked IPv4 packet of protocol 1. Keeps nothing of the frame.
  void input(const FrameView& frame, const Ipv4Packet& packet, Instant now) noexcept;

 private:
  bool spend(Instant now) noexcept;
  void reply(const FrameView& frame, const Ipv4Packet& packet) noexcept;
  std::size_t copy_out(const FrameView& frame, const Ipv4Packet& packet,
                       std::span<platform::TxSegment> reply) noexcept;

  wire::EthernetAddress mac_;
  Egress& egress_;
  const platform::PortInfo& info_;
  Counters& counters_;
  Duration credit_ = kReplyCredit;
  Instant credited_at_;
};

}  // namespace pollux::net
