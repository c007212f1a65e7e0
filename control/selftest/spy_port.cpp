#include "control/selftest/spy_port.hpp"

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::selftest {
namespace {

constexpr std::size_t kEthernet = 14;

}  // namespace

void SpyPort::use_offload(bool use) noexcept {
  const platform::PortInfo& real = inner_.info();
  info_.tx_ip_checksum = use && real.tx_ip_checksum;
  info_.tx_l4_checksum = use && real.tx_l4_checksum;
}

std::size_t SpyPort::receive(std::span<platform::RxSegment> segments) noexcept {
  const std::size_t count = inner_.receive(segments);
  std::vector<std::byte> frame;
  unsigned flags = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (frame.empty()) flags = segments[i].flags;
    frame.insert(frame.end(), segments[i].data, segments[i].data + segments[i].length);
    if ((segments[i].flags & platform::kRxMore) != 0) continue;
    look_at(frame, flags);
    frame.clear();
  }
  return count;
}

void SpyPort::look_at(std::span<const std::byte> frame, unsigned flags) {
  // One 802.1Q tag, where the port has left it in. Which VLAN is the interface's business.
  std::size_t l2_bytes = kEthernet;
  if (frame.size() >= kEthernet &&
      load<wire::EthernetHeader>(frame.data()).ether_type.get() == wire::kEtherTypeVlan)
    l2_bytes += wire::kVlanTagBytes;
  if (frame.size() < l2_bytes + sizeof(wire::Ipv4Header)) return;
  if (load<Be16>(&frame[l2_bytes - sizeof(Be16)]).get() != wire::kEtherTypeIpv4) return;
  const auto ip = load<wire::Ipv4Header>(&frame[l2_bytes]);
  const std::size_t total = ip.total_length.get();
  if (ip.header_bytes() < 20 || total < ip.header_bytes() || l2_bytes + total > frame.size())
    return;
  const auto payload = frame.subspan(l2_bytes + ip.header_bytes(), total - ip.header_bytes());
  if (ip.protocol == wire::kProtocolIcmp && payload.size() >= sizeof(wire::IcmpHeader)) {
    const auto icmp = load<wire::IcmpHeader>(payload.data());
    wire::InternetSum sum;
    sum.add(payload);
    if (icmp.type == wire::IcmpHeader::kEchoReply && sum.verifies())
      replies_.push_back({icmp.identifier.get(), icmp.sequence.get(), total});
  }
  constexpr unsigned kSaid = platform::kRxL4ChecksumGood | platform::kRxL4ChecksumBad;
  if (ip.protocol != wire::kProtocolTcp || (flags & kSaid) == 0) return;
  auto sum = wire::InternetSum::pseudo_header(ip.source, ip.destination, wire::kProtocolTcp,
                                              static_cast<std::uint16_t>(payload.size()));
  sum.add(payload);
  ++verdicts_.frames;
  const bool said_good = (flags & platform::kRxL4ChecksumGood) != 0;
  ++(said_good == sum.verifies() ? verdicts_.agreed : verdicts_.wrong);
}

}  // namespace pollux::selftest
