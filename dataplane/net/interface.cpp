// Puts the parts of an interface together and takes received bursts apart. receive() is the hot
// path: a frame that is TCP in one segment goes through it without a call that is not inlined or
// needed; ARP, ICMP, VLAN tags and frames in pieces leave it for functions marked cold.
#include "dataplane/net/interface.hpp"

#include <cstring>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/arp_table.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/icmp.hpp"
#include "dataplane/net/ipv4_input.hpp"
#include "dataplane/net/ipv6_host.hpp"
#include "dataplane/net/ipv6_input.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/net/tcp_datagram.hpp"
#include "dataplane/wire/vlan.hpp"

namespace pollux::net {

namespace {

constexpr std::size_t kBurstSegments = 64;
constexpr std::size_t kPrefetchAhead = 4;
constexpr std::size_t kScratchBytes = kLongHeadBytes;
static_assert(kScratchBytes >= kHeadBytes);

}  // namespace

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

  bool plain_tcp(platform::RxSegment& segment, TcpDatagram& datagram) noexcept;
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
  std::array<std::array<std::byte, kScratchBytes>, kBurstSegments> scratch;
};

// The frame everybody waits for: IPv4 without options in one piece, whose sums the port has
// checked, with TCP inside. Reads the headers a word at a time. False: not such a frame, or
// something is wrong with it, which input() finds out and counts; nothing has changed then.
bool Interface::Impl::plain_tcp(platform::RxSegment& segment, TcpDatagram& datagram) noexcept {
  static_assert(std::endian::native == std::endian::little);
  constexpr unsigned kWanted = platform::kRxIpChecksumGood | platform::kRxL4ChecksumGood;
  constexpr unsigned kOdd = platform::kRxMore | platform::kRxVlanStripped |
                            platform::kRxIpChecksumBad | platform::kRxL4ChecksumBad;
  constexpr std::size_t kTcpAt = kEthernetHeaderBytes + kIpv4HeaderBytes;
  constexpr std::uint32_t kTcpHeaderBytes = 20;
  if ((segment.flags & (kWanted | kOdd)) != kWanted || segment.length < kTcpAt + kTcpHeaderBytes)
    return false;
  const std::byte* at = segment.data;
  const auto word = [at]<class T>(std::size_t offset, T value) {
    std::memcpy(&value, at + offset, sizeof value);
    return value;
  };
  // Ether type, version and header length; fragment bits; protocol.
  const std::uint64_t middle = word(8, std::uint64_t{});
  const std::uint64_t ip = word(kEthernetHeaderBytes + 2, std::uint64_t{});
  if ((word(0, std::uint64_t{}) & 0xffff'ffff'ffff) != plain_mac ||
      (middle >> 32 & 0xff'ffff) != 0x45'0008 || (ip >> 32 & 0xff3f) != 0 ||
      ip >> 56 != wire::kProtocolTcp)
    return false;
  const std::uint32_t source = word(kEthernetHeaderBytes + 12, std::uint32_t{});
  const std::uint32_t destination = word(kEthernetHeaderBytes + 16, std::uint32_t{});
  if (byteswap(destination) != subnet.address) return false;
  if (source != plain_source) [[unlikely]] {
    if (!subnet.is_other_host(byteswap(source))) return false;
    plain_source = source;
  }
  const std::uint32_t total = byteswap(static_cast<std::uint16_t>(ip));
  const std::uint32_t header = std::to_integer<std::uint32_t>(at[kTcpAt + 12]) >> 4 << 2;
  if (total > segment.length - kEthernetHeaderBytes || header < kTcpHeaderBytes ||
      kIpv4HeaderBytes + header > total)
    return false;
  datagram.source = IpAddress::from_v4_host(byteswap(source));
  datagram.destination = config.address;
  datagram.header = {at + kTcpAt, header};
  datagram.ecn = static_cast<std::uint8_t>(middle >> 56 & wire::kEcnMask);
  datagram.payload_bytes = static_cast<std::uint32_t>(total - kIpv4HeaderBytes - header);
  if (datagram.payload_bytes == 0) {
    drop(segment.handle);
    datagram.payload = {};
  } else {
    segment.data += kTcpAt + header;
    segment.length = datagram.payload_bytes;
    datagram.payload = {&segment, 1};
  }
  counters.rx_tcp.add();
  return true;
}

// The port hands over whole frames; the bound is for a port that forgets to end the last one.
FrameView Interface::Impl::next_frame() noexcept {
  const std::size_t first = next;
  FrameView frame;
  bool more = true;
  while (more && next < filled) {
    frame.bytes += burst[next].length;
    more = (burst[next].flags & platform::kRxMore) != 0;
    ++next;
  }
  frame.segments = {burst.data() + first, next - first};
  frame.head = {burst[first].data, burst[first].length};
  if (frame.segments.size() > 1 && frame.head.size() < kHeadBytes) [[unlikely]]
    pull_up(frame, kHeadBytes);
  return frame;
}

[[gnu::cold]] void Interface::Impl::pull_up(FrameView& frame, std::size_t bytes) noexcept {
  const auto slot = static_cast<std::size_t>(frame.segments.data() - burst.data());
  const std::span<std::byte> out{scratch[slot].data(), std::min<std::size_t>(bytes, frame.bytes)};
  copy_frame_bytes(frame.segments, 0, out);
  frame.head = out;
  counters.rx_pulled_up.add();
}

// Takes the 802.1Q tag off, whether it lies in the frame or the port has taken it out. False: the
// frame is not for us. Which station it is for has been checked, so each counter tells of our VLAN.
[[gnu::cold]] bool Interface::Impl::take_tag(FrameView& frame, std::uint16_t& type) noexcept {
  const platform::RxSegment& first = frame.segments.front();
  std::uint16_t control = first.vlan;
  if ((first.flags & platform::kRxVlanStripped) == 0) {
    if (frame.bytes < kEthernetHeaderBytes + wire::kVlanTagBytes) {
      counters.drop_short_frame.add();
      return false;
    }
    control = load<wire::VlanTag>(frame.head.data() + wire::kVlanTagOffset).control.get();
    frame.l2_bytes += wire::kVlanTagBytes;
    type = load<Be16>(frame.head.data() + frame.l2_bytes - sizeof(Be16)).get();
  }
  // IEEE 802.1Q 9.6 c: VID 0 names no VLAN, such a tag carries the priority alone.
  const unsigned id = control & wire::kVlanIdMask;
  if (id != 0 && id != config.vlan_id) {
    counters.drop_vlan_other.add();
    return false;
  }
  counters.rx_vlan_tagged.add();
  return true;
}

// IEEE 802.3 3.2.3: a source is one station. What ICMP answers goes back there, and an answer to a
// group would be heard by everybody. TCP asks ARP or discovery instead.
[[gnu::cold]] bool Interface::Impl::from_station(const FrameView& frame) noexcept {
  const auto source = load<wire::EthernetHeader>(frame.head.data()).source;
  if (!wire::is_group_address(source) && source != wire::EthernetAddress{}) return true;
  counters.drop_source_mac.add();
  return false;
}

[[gnu::cold]] void Interface::Impl::arp_input(const FrameView& frame, Instant now) noexcept {
  if (!config.has_ipv4()) {
    counters.drop_ether_type.add();
    return;
  }
  if (frame.bytes < frame.l2_bytes + sizeof(wire::ArpPacket)) {
    counters.drop_short_frame.add();
    return;
  }
  arp.input(load<wire::ArpPacket>(frame.head.data() + frame.l2_bytes), is_copy(frame), now);
}

// As input(), for a frame whose ether type is IPv6.
bool Interface::Impl::ipv6_input(FrameView& frame, bool to_group, TcpDatagram& datagram,
                                 Instant now) noexcept {
  if (has_extension_headers(frame) && frame.segments.size() > 1 &&
      frame.head.size() < kLongHeadBytes) [[unlikely]]
    pull_up(frame, kLongHeadBytes);
  Ipv6Packet packet;
  switch (check_ipv6(frame, ipv6.addresses(), to_group, counters, packet)) {
    case Ipv6Verdict::tcp:
      return make_datagram(frame, packet, counters, datagram,
                           [this](void* handle) { drop(handle); });
    case Ipv6Verdict::icmp:
      if (from_station(frame)) ipv6.icmp_input(frame, packet, now);
      break;
    case Ipv6Verdict::drop:
      break;
  }
  drop(frame);
  return false;
}

// True: `datagram` is filled and owns what it needs of the frame. False: the frame is done with.
bool Interface::Impl::input(FrameView& frame, TcpDatagram& datagram, Instant now) noexcept {
  if (frame.bytes < kEthernetHeaderBytes) [[unlikely]] {
    counters.drop_short_frame.add();
    drop(frame);
    return false;
  }
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  const bool to_group = wire::is_group_address(ethernet.destination);
  std::uint16_t type = ethernet.ether_type.get();
  Ipv4Packet packet;
  Ipv4Verdict verdict = Ipv4Verdict::drop;
  const bool tagged = type == wire::kEtherTypeVlan ||
                      (frame.segments.front().flags & platform::kRxVlanStripped) != 0;
  if (ethernet.destination != mac && !to_group) [[unlikely]] {
    counters.drop_other_mac.add();
  } else if (!tagged && config.vlan_id != 0) [[unlikely]] {
    counters.drop_vlan_untagged.add();
  } else if (tagged && !take_tag(frame, type)) [[unlikely]] {
    // Counted there.
  } else if (type == wire::kEtherTypeIpv4 && config.has_ipv4()) [[likely]] {
    verdict = check_ipv4(frame, subnet, to_group, counters, packet);
  } else if (type == wire::kEtherTypeIpv6 && ipv6.enabled()) {
    return ipv6_input(frame, to_group, datagram, now);
  } else if (type == wire::kEtherTypeArp) {
    arp_input(frame, now);
  } else {
    counters.drop_ether_type.add();
  }
  if (verdict == Ipv4Verdict::tcp) [[likely]]
    return make_datagram(frame, packet, counters, datagram, [this](void* handle) { drop(handle); });
  if (verdict == Ipv4Verdict::icmp && from_station(frame)) icmp.input(frame, packet, now);
  drop(frame);
  return false;
}

Interface::Interface(const InterfaceConfig& config, platform::Port& port,
                     platform::PacketMemory& memory, Instant start)
    : port_info_(port.info()), impl_(std::make_unique<Impl>(config, port, memory, start)) {
  POLLUX_ASSERT((config.has_ipv4() && config.prefix_length <= 32) || config.has_ipv6());
  POLLUX_ASSERT(config.prefix_length6 <= 128 && config.vlan_id <= wire::kVlanIdMax);
}

Interface::~Interface() {
  for (; impl_->next < impl_->filled; ++impl_->next) {
    void* handle = impl_->burst[impl_->next].handle;
    impl_->memory.release({&handle, 1});
  }
  impl_->release_dead();
}

std::size_t Interface::receive(Instant now, std::span<TcpDatagram> datagrams,
                               std::size_t& frames) noexcept {
  Impl& self = *impl_;
  self.release_dead();
  frames = 0;
  if (self.next == self.filled) {
    self.next = 0;
    self.filled = self.port.receive(self.burst);
    POLLUX_ASSERT(self.filled <= self.burst.size());
    for (std::size_t i = 0; i < std::min(kPrefetchAhead, self.filled); ++i)
      __builtin_prefetch(self.burst[i].data);
  }
  std::size_t count = 0;
  while (self.next < self.filled && count < datagrams.size()) {
    if (self.next + kPrefetchAhead < self.filled)
      __builtin_prefetch(self.burst[self.next + kPrefetchAhead].data);
    if (self.plain_tcp(self.burst[self.next], datagrams[count])) [[likely]] {
      ++self.next;
      ++frames;
      ++count;
      continue;
    }
    FrameView frame = self.next_frame();
    ++frames;
    if (self.input(frame, datagrams[count], now)) ++count;
  }
  if (frames != 0) self.counters.rx_frames.add(frames);
  return count;
}

std::size_t Interface::take_passed_on() noexcept { return impl_->port.take_passed_on(); }

std::size_t Interface::take_path_errors(std::span<PathError> errors) noexcept {
  return impl_->path_errors.take(errors);
}

void Interface::run_timers(Instant now) noexcept {
  impl_->arp.run_timers(now);
  impl_->ipv6.run_timers(now);
}
void Interface::suspect(const IpAddress& remote, Instant now) noexcept {
  if (!remote.is_v4()) return impl_->ipv6.suspect(remote, now);
  const std::uint32_t host = remote.v4_host();
  impl_->arp.suspect(impl_->subnet.on_link(host) ? host : impl_->config.gateway.v4_host(), now);
}
AddressState Interface::address_state() const noexcept { return impl_->arp.address_state(); }
bool Interface::is_refused_source(const IpAddress& destination) const noexcept {
  if (destination.is_v4())
    return impl_->config.has_ipv4() && impl_->arp.address_state() == AddressState::conflict;
  return impl_->ipv6.is_refused_source(destination);
}
Instant Interface::next_deadline() const noexcept {
  return std::min(impl_->arp.next_deadline(), impl_->ipv6.next_deadline());
}
std::uint32_t Interface::neighbour_generation() const noexcept {
  return impl_->arp.generation() + impl_->ipv6.generation();
}

RouteState Interface::Impl::route_v4(const IpAddress& destination, Instant now,
                                     wire::EthernetAddress& to, Route& route) noexcept {
  const auto no_route = [this] {
    counters.no_route.add();
    return RouteState::unreachable;
  };
  if (!config.has_ipv4() || !subnet.is_other_host(destination.v4_host())) return no_route();
  std::uint32_t hop = destination.v4_host();
  if (!subnet.on_link(hop)) {
    if (!config.gateway.is_v4()) return no_route();
    hop = config.gateway.v4_host();
    if (!subnet.is_other_host(hop) || !subnet.on_link(hop)) return no_route();
  }
  route.source = config.address;
  route.mtu = port.info().mtu;
  return arp.resolve(hop, now, to);
}

RouteState Interface::route(const IpAddress& destination, Instant now, Route& route) noexcept {
  Impl& self = *impl_;
  wire::EthernetHeader ethernet;
  const bool is_v4 = destination.is_v4();
  const RouteState state = is_v4 ? self.route_v4(destination, now, ethernet.destination, route)
                                 : self.ipv6.route(destination, now, ethernet.destination, route);
  if (state != RouteState::resolved) return state;
  ethernet.source = self.mac;
  ethernet.ether_type.set(is_v4 ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6);
  store(route.ethernet.data(), ethernet);
  route.traffic_class = static_cast<std::uint8_t>(self.config.dscp << 2);
  route.generation = neighbour_generation();
  return state;
}

bool Interface::can_send(std::size_t segments) const noexcept {
  return impl_->egress.can_send(segments);
}
platform::FrameBuffer Interface::take_buffer(platform::Urgency urgency) noexcept {
  return impl_->egress.take_buffer(urgency);
}
void Interface::give_back(const platform::FrameBuffer& buffer) noexcept {
  impl_->egress.give_back(buffer);
}
void Interface::send_tcp(std::span<platform::TxSegment> frame,
                         std::size_t tcp_header_bytes) noexcept {
  impl_->egress.send_tcp(frame, tcp_header_bytes);
}
void Interface::send(std::span<platform::TxSegment> frame) noexcept { impl_->egress.send(frame); }
std::size_t Interface::flush() noexcept { return impl_->egress.flush(); }
void Interface::drop_queued() noexcept { impl_->egress.drop_queued(); }
platform::PortState Interface::check_port(Instant now) noexcept {
  const platform::PortState state = impl_->port.check();
  const bool is_up = state == platform::PortState::up;
  const bool was_up = std::exchange(impl_->link_was_up, is_up);
  if (is_up && !was_up) {
    impl_->arp.on_link_up(now);
    impl_->ipv6.on_link_up(now);
  }
  if (!is_up && was_up) {
    impl_->arp.on_link_down();
    impl_->ipv6.on_link_down();
  }
  return state;
}
void Interface::shut_port() noexcept {
  impl_->egress.drop_queued();
  impl_->port.shut();
}
std::uint64_t Interface::egress_mark() const noexcept {
  return impl_->counters.tx_segments.get() + impl_->egress.queued();
}
bool Interface::has_left(std::uint64_t mark) const noexcept {
  return impl_->egress.queued() == 0 || impl_->counters.tx_segments.get() >= mark;
}
void Interface::reclaim() noexcept { impl_->port.reclaim(); }
std::size_t Interface::queued() const noexcept { return impl_->egress.queued(); }

void Interface::confirm_reachable(const IpAddress& remote, Instant now) noexcept {
  if (!remote.is_v4()) impl_->ipv6.confirm_reachable(remote, now);
}

const IpAddress& Interface::address() const noexcept { return impl_->config.address; }
IpAddress Interface::source_for(const IpAddress& destination) const noexcept {
  if (destination.is_v4()) return impl_->config.address;
  const Ipv6Addresses::Address* source = impl_->ipv6.addresses().source_for(destination, true);
  return source != nullptr ? source->address : IpAddress{};
}
bool Interface::is_own(const IpAddress& address) const noexcept {
  return address.is_v4() ? address == impl_->config.address
                         : impl_->ipv6.addresses().is_ours(address.bytes);
}
Ipv6State Interface::ipv6_state() const noexcept { return impl_->ipv6.state(); }
bool Interface::on_link(const IpAddress& destination) const noexcept {
  if (!destination.is_v4()) return impl_->ipv6.on_link(destination);
  return impl_->config.has_ipv4() && impl_->subnet.on_link(destination.v4_host());
}
bool Interface::has_gateway(const IpAddress& destination) const noexcept {
  return destination.is_v4() ? impl_->config.gateway.is_v4()
                             : impl_->ipv6.enabled() && impl_->ipv6.has_gateway();
}
const Counters& Interface::counters() const noexcept { return impl_->counters; }

}  // namespace pollux::net
