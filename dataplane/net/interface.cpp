// Puts the parts of an interface together and takes received bursts apart. receive() is the hot
// path: a frame that is TCP over IPv4 in one segment goes through it without a call that is not
// inlined or needed; ARP, ICMP and frames in pieces leave it for functions marked cold.
#include "dataplane/net/interface.hpp"

#include "dataplane/base/assert.hpp"
#include "dataplane/net/arp_table.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/frame_view.hpp"
#include "dataplane/net/icmp.hpp"
#include "dataplane/net/ipv4_input.hpp"

namespace pollux::net {

namespace {

constexpr std::size_t kBurstSegments = 64;
constexpr std::size_t kPrefetchAhead = 4;
constexpr std::size_t kScratchBytes = (kHeadBytes + 63) / 64 * 64;

}  // namespace

struct Interface::Impl {
  Impl(const InterfaceConfig& interface_config, platform::Port& p, platform::PacketMemory& m,
       Instant start)
      : config(interface_config),
        port(p),
        memory(m),
        mac(p.info().mac),
        subnet(interface_config),
        egress(p, m, counters),
        arp(subnet, mac, egress, counters, start),
        icmp(mac, egress, p.info(), counters, start) {}

  void drop(void* handle) noexcept { dead[dead_count++] = handle; }
  void drop(const FrameView& frame) noexcept {
    for (const platform::RxSegment& segment : frame.segments) drop(segment.handle);
  }
  void release_dead() noexcept {
    if (dead_count == 0) return;
    memory.release({dead.data(), dead_count});
    dead_count = 0;
  }

  FrameView next_frame() noexcept;
  void pull_up(FrameView& frame, std::size_t slot) noexcept;
  bool input(const FrameView& frame, TcpDatagram& datagram, Instant now) noexcept;
  void arp_input(const FrameView& frame, Instant now) noexcept;

  InterfaceConfig config;
  platform::Port& port;
  platform::PacketMemory& memory;
  wire::EthernetAddress mac;
  Ipv4Subnet subnet;
  Counters counters;
  Egress egress;
  ArpTable arp;
  Icmp icmp;

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
    pull_up(frame, first);
  return frame;
}

[[gnu::cold]] void Interface::Impl::pull_up(FrameView& frame, std::size_t slot) noexcept {
  std::byte* out = scratch[slot].data();
  std::size_t filled_bytes = 0;
  for (const platform::RxSegment& segment : frame.segments) {
    const std::size_t n = std::min<std::size_t>(segment.length, kHeadBytes - filled_bytes);
    if (n != 0) std::memcpy(out + filled_bytes, segment.data, n);
    filled_bytes += n;
  }
  frame.head = {out, filled_bytes};
  counters.rx_pulled_up.add();
}

[[gnu::cold]] void Interface::Impl::arp_input(const FrameView& frame, Instant now) noexcept {
  if (frame.bytes < kEthernetHeaderBytes + sizeof(wire::ArpPacket)) {
    counters.drop_short_frame.add();
    return;
  }
  arp.input(load<wire::ArpPacket>(frame.head.data() + kEthernetHeaderBytes), now);
}

// True: `datagram` is filled and owns what it needs of the frame. False: the frame is done with.
bool Interface::Impl::input(const FrameView& frame, TcpDatagram& datagram, Instant now) noexcept {
  if (frame.bytes < kEthernetHeaderBytes) [[unlikely]] {
    counters.drop_short_frame.add();
    drop(frame);
    return false;
  }
  const auto ethernet = load<wire::EthernetHeader>(frame.head.data());
  const bool to_group = wire::is_group_address(ethernet.destination);
  Ipv4Packet packet;
  Ipv4Verdict verdict = Ipv4Verdict::drop;
  if (ethernet.destination != mac && !to_group) [[unlikely]]
    counters.drop_other_mac.add();
  else if (ethernet.ether_type.get() == wire::kEtherTypeIpv4) [[likely]]
    verdict = check_ipv4(frame, subnet, to_group, counters, packet);
  else if (ethernet.ether_type.get() == wire::kEtherTypeArp)
    arp_input(frame, now);
  else
    counters.drop_ether_type.add();
  if (verdict == Ipv4Verdict::tcp) [[likely]]
    return make_datagram(frame, packet, counters, datagram, [this](void* handle) { drop(handle); });
  if (verdict == Ipv4Verdict::icmp) icmp.input(frame, packet, now);
  drop(frame);
  return false;
}

Interface::Interface(const InterfaceConfig& config, platform::Port& port,
                     platform::PacketMemory& memory, Instant start)
    : impl_(std::make_unique<Impl>(config, port, memory, start)) {
  POLLUX_ASSERT(config.address.is_v4() && config.prefix_length <= 32);
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
    const FrameView frame = self.next_frame();
    ++frames;
    if (self.input(frame, datagrams[count], now)) ++count;
  }
  if (frames != 0) self.counters.rx_frames.add(frames);
  return count;
}

void Interface::run_timers(Instant now) noexcept { impl_->arp.run_timers(now); }
Instant Interface::next_deadline() const noexcept { return impl_->arp.next_deadline(); }
std::uint32_t Interface::neighbour_generation() const noexcept { return impl_->arp.generation(); }

RouteState Interface::route(const IpAddress& destination, Instant now, Route& route) noexcept {
  Impl& self = *impl_;
  const auto no_route = [&self] {
    self.counters.no_route.add();
    return RouteState::unreachable;
  };
  if (!destination.is_v4() || !self.subnet.is_other_host(destination.v4_host())) return no_route();
  std::uint32_t hop = destination.v4_host();
  if (!self.subnet.on_link(hop)) {
    if (!self.config.gateway.is_v4()) return no_route();
    hop = self.config.gateway.v4_host();
    if (!self.subnet.is_other_host(hop) || !self.subnet.on_link(hop)) return no_route();
  }
  wire::EthernetHeader ethernet;
  const RouteState state = self.arp.resolve(hop, now, ethernet.destination);
  if (state != RouteState::resolved) return state;
  ethernet.source = self.mac;
  ethernet.ether_type.set(wire::kEtherTypeIpv4);
  store(route.ethernet.data(), ethernet);
  route.source = self.config.address;
  route.mtu = self.port.info().mtu;
  route.generation = self.arp.generation();
  return state;
}

bool Interface::can_send(std::size_t segments) const noexcept {
  return impl_->egress.can_send(segments);
}
platform::FrameBuffer Interface::take_buffer() noexcept { return impl_->egress.take_buffer(); }
void Interface::give_back(const platform::FrameBuffer& buffer) noexcept {
  impl_->egress.give_back(buffer);
}
void Interface::send_tcp(std::span<platform::TxSegment> frame,
                         std::size_t tcp_header_bytes) noexcept {
  impl_->egress.send_tcp(frame, tcp_header_bytes);
}
std::size_t Interface::flush() noexcept { return impl_->egress.flush(); }
void Interface::drop_queued() noexcept { impl_->egress.drop_queued(); }
platform::PortState Interface::check_port() noexcept { return impl_->port.check(); }
void Interface::shut_port() noexcept {
  impl_->egress.drop_queued();
  impl_->port.shut();
}
void Interface::reclaim() noexcept { impl_->port.reclaim(); }
std::size_t Interface::queued() const noexcept { return impl_->egress.queued(); }

const IpAddress& Interface::address() const noexcept { return impl_->config.address; }
bool Interface::on_link(const IpAddress& destination) const noexcept {
  return destination.is_v4() && impl_->subnet.on_link(destination.v4_host());
}
bool Interface::has_gateway() const noexcept { return impl_->config.gateway.is_v4(); }
const platform::PortInfo& Interface::port_info() const noexcept { return impl_->port.info(); }
const Counters& Interface::counters() const noexcept { return impl_->counters; }

}  // namespace pollux::net
