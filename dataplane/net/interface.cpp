// The public face of an interface: its parts do the work.
#include "dataplane/net/interface.hpp"

#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/interface_impl.hpp"

namespace pollux::net {

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
