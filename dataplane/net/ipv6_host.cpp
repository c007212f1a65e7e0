#include "dataplane/net/ipv6_host.hpp"

#include <algorithm>

namespace pollux::net {

namespace {

/// Only spreads reachable times: an outsider may know it.
Random random_of(const wire::EthernetAddress& mac, Instant start) noexcept {
  std::uint64_t seed = static_cast<std::uint64_t>(start.time_since_epoch().count());
  for (const std::uint8_t byte : mac) seed = seed * 257 + byte;
  return Random(seed);
}

}  // namespace

Ipv6Host::Ipv6Host(const InterfaceConfig& config, const wire::EthernetAddress& mac, Egress& egress,
                   const platform::PortInfo& info, Counters& counters, PathErrorQueue& errors,
                   Instant start) noexcept
    : config_(config),
      enabled_(config.has_ipv6()),
      mac_(mac),
      egress_(egress),
      info_(info),
      counters_(counters),
      errors_(errors),
      sender_(mac, egress, counters, static_cast<std::uint8_t>(config.dscp << 2)),
      addresses_(config, mac, sender_, counters, start),
      neighbours_(addresses_, sender_, counters, random_of(mac, start), start),
      routers_(counters),
      echo_limit_(kReplyCost, kReplyCredit, start),
      advertisement_limit_(kReplyCost, kReplyCredit, start),
      mtu_(info.mtu) {
  if (enabled_ && config.accept_ra) router_solicit_at_ = start;
  publish_state();
}

bool Ipv6Host::on_link(const IpAddress& destination) const noexcept {
  if (!enabled_ || destination.is_v4()) return false;
  if (destination.is_link_local())
    return destination.zone() == 0 || destination.zone() == config_.zone;
  const bool in_prefix =
      config_.address6 != IpAddress{} &&
      wire::same_ipv6_prefix(config_.address6.bytes, destination.bytes, config_.prefix_length6);
  return in_prefix || routers_.on_link(destination);
}

std::optional<IpAddress> Ipv6Host::next_hop(const IpAddress& destination) noexcept {
  if (on_link(destination)) return destination;
  if (config_.gateway6 != IpAddress{}) return config_.gateway6;
  if (const IpAddress* router = routers_.choose(neighbours_)) return *router;
  return std::nullopt;
}

RouteState Ipv6Host::route(const IpAddress& destination, Instant now, wire::EthernetAddress& mac,
                           Route& route) noexcept {
  const auto no_route = [this] {
    counters_.no_route.add();
    return RouteState::unreachable;
  };
  const wire::Ipv6Bytes& to = destination.bytes;
  if (!enabled_ || addresses_.disabled() || wire::is_ipv6_multicast(to) ||
      wire::is_ipv6_unspecified(to) || wire::is_ipv6_loopback(to) || addresses_.find(to) != nullptr)
    return no_route();
  const Ipv6Addresses::Address* source = addresses_.source_for(destination, true);
  if (source == nullptr) return waits_for_router() ? RouteState::pending : no_route();
  // RFC 4862 5.4: nothing leaves from an address that is still being checked.
  if (!source->usable()) return RouteState::pending;
  const std::optional<IpAddress> hop = next_hop(destination);
  if (!hop) return waits_for_router() ? RouteState::pending : no_route();
  // RFC 4291 2.5.6: no router forwards from a link-local address.
  if (*hop != destination && source->address.is_link_local())
    return waits_for_router() ? RouteState::pending : no_route();
  const RouteState state = neighbours_.resolve(*hop, now, mac);
  if (state != RouteState::resolved) return state;
  route.source = source->address;
  route.mtu = std::min(mtu_, info_.mtu);
  route.hop_limit = hop_limit_;
  return state;
}

bool Ipv6Host::is_refused_source(const IpAddress& destination) const noexcept {
  const auto all = addresses_.all();
  return addresses_.source_for(destination, true) == nullptr &&
         std::any_of(all.begin(), all.end(), [](const Ipv6Addresses::Address& entry) {
           return entry.state == Ipv6Addresses::State::duplicate;
         });
}

void Ipv6Host::suspect(const IpAddress& remote, Instant now) noexcept {
  if (const std::optional<IpAddress> hop = next_hop(remote)) neighbours_.suspect(*hop, now);
}

void Ipv6Host::confirm_reachable(const IpAddress& remote, Instant now) noexcept {
  if (const std::optional<IpAddress> hop = next_hop(remote)) neighbours_.confirm(*hop, now);
}

void Ipv6Host::on_link_down() noexcept {
  if (enabled_) addresses_.on_link_down();
}

/// RFC 4861 7.2.6: neighbours, and switches between us, may have to learn where we are now. An
/// address in use is not checked again: sessions stand on it.
void Ipv6Host::on_link_up(Instant now) noexcept {
  if (!enabled_) return;
  addresses_.on_link_up(now);
  for (const Ipv6Addresses::Address& entry : addresses_.all()) {
    if (!entry.usable()) continue;
    sender_.advertise(entry.address, IpAddress{wire::kIpv6AllNodes},
                      wire::multicast_mac(wire::kIpv6AllNodes), wire::NeighborMessage::kOverride);
  }
  // RFC 4861 6.3.7: a host that is attached to a link again may find other routers there.
  if (!config_.accept_ra) return;
  router_solicits_ = 0;
  router_solicit_at_ = now;
}

void Ipv6Host::publish_state() noexcept {
  if (!enabled_) return;
  published_generation_ = addresses_.generation();
  Ipv6State state = Ipv6State::ready;
  for (const Ipv6Addresses::Address& entry : addresses_.all()) {
    if (!entry.usable() && state == Ipv6State::ready) state = Ipv6State::checking;
    if (entry.state == Ipv6Addresses::State::duplicate) state = Ipv6State::duplicate;
  }
  published_.store(state, std::memory_order_relaxed);
}

void Ipv6Host::run_timers(Instant now) noexcept {
  if (!enabled_) return;
  addresses_.run_timers(now);
  neighbours_.run_timers(now);
  routers_.run_timers(now);
  if (published_generation_ != addresses_.generation()) publish_state();
  if (now < router_solicit_at_) return;
  // RFC 4861 6.3.7: from the link-local address, once that may be used.
  const auto all = addresses_.all();
  const auto link_local = std::find_if(all.begin(), all.end(), [](const auto& entry) {
    return entry.origin == Ipv6Addresses::Origin::link_local && entry.usable();
  });
  if (link_local == all.end()) {
    // Checked again when the address changes state, or never when it is a duplicate.
    router_solicit_at_ = addresses_.disabled() ? kNever : now + Ipv6Addresses::kRetransTimer / 10;
    return;
  }
  if (router_solicits_ == kRouterSolicits) {
    router_solicit_at_ = kNever;
    return;
  }
  sender_.solicit_routers(link_local->address);
  ++router_solicits_;
  // After the last one an answer is waited for as long; then routes that wait are given up.
  router_solicit_at_ = now + kRouterSolicitInterval;
}

Instant Ipv6Host::next_deadline() const noexcept {
  return std::min({addresses_.next_deadline(), neighbours_.next_deadline(),
                   routers_.next_deadline(), router_solicit_at_});
}

}  // namespace pollux::net
