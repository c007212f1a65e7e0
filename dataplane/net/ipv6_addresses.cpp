#include "dataplane/net/ipv6_addresses.hpp"

#include <algorithm>

namespace pollux::net {

namespace {

constexpr wire::Ipv6Bytes kLinkLocalPrefix{0xfe, 0x80};
constexpr std::uint32_t kForEver = 0xffff'ffff;  // RFC 4861 4.6.2
constexpr unsigned kInterfaceIdBits = 64;        // RFC 2464 4

/// RFC 4862 5.4.2 asks that stations switched on together do not ask together: the hardware
/// address, which differs between them, spreads them over the delay.
Duration start_delay(const wire::EthernetAddress& mac) noexcept {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325u;
  for (const std::uint8_t byte : mac) hash = (hash ^ byte) * 0x100'0000'01b3u;
  return Ipv6Addresses::kStartDelayMax * static_cast<std::int64_t>((hash >> 40) & 0xff) / 256;
}

Instant lifetime_end(std::uint32_t seconds, Instant now) noexcept {
  return seconds == kForEver ? kNever : now + std::chrono::seconds(seconds);
}

unsigned common_prefix(const wire::Ipv6Bytes& a, const wire::Ipv6Bytes& b) noexcept {
  unsigned bits = 0;
  while (bits < 128 && wire::same_ipv6_prefix(a, b, bits + 1)) ++bits;
  return bits;
}

}  // namespace

Ipv6Addresses::Ipv6Addresses(const InterfaceConfig& config, const wire::EthernetAddress& mac,
                             NdSender& sender, Counters& counters, Instant start) noexcept
    : mac_(mac), sender_(sender), counters_(counters), transmits_(config.dad_transmits) {
  if (!config.has_ipv6()) return;
  const Instant first = start + start_delay(mac);
  const IpAddress link_local{wire::with_interface_id(kLinkLocalPrefix, mac)};
  add(link_local, Origin::link_local, first);
  if (config.address6 != IpAddress{} && config.address6 != link_local)
    add(config.address6, Origin::configured, first);
  update_deadline();
}

void Ipv6Addresses::add(const IpAddress& address, Origin origin, Instant first_probe) noexcept {
  Address& entry = addresses_[count_++];
  entry = Address{};
  entry.address = address;
  entry.origin = origin;
  if (transmits_ == 0) {
    entry.state = State::preferred;
    ++generation_;
  } else {
    start_check(entry, first_probe);
  }
}

void Ipv6Addresses::start_check(Address& entry, Instant first_probe) noexcept {
  entry.probes = 0;
  entry.probe_at = link_up_ ? first_probe : kNever;
}

void Ipv6Addresses::on_link_down() noexcept {
  link_up_ = false;
  for (std::size_t i = 0; i < count_; ++i)
    if (addresses_[i].state == State::tentative) start_check(addresses_[i], kNever);
  update_deadline();
}

// RFC 4862 5.3: an address is formed, and so checked, when the interface becomes attached to a
// link. Silence on a dead one means nothing, and probes from before may have reached nobody.
void Ipv6Addresses::on_link_up(Instant now) noexcept {
  link_up_ = true;
  for (std::size_t i = 0; i < count_; ++i)
    if (addresses_[i].state == State::tentative)
      start_check(addresses_[i], now + start_delay(mac_));
  update_deadline();
}

void Ipv6Addresses::remove(std::size_t index) noexcept {
  addresses_[index] = addresses_[--count_];
  ++generation_;
}

bool Ipv6Addresses::is_member(const wire::Ipv6Bytes& group) const noexcept {
  if (count_ != 0 && group == wire::kIpv6AllNodes) return true;
  return std::any_of(all().begin(), all().end(), [&](const Address& entry) {
    return wire::solicited_node(entry.address.bytes) == group;
  });
}

const Ipv6Addresses::Address* Ipv6Addresses::find(const wire::Ipv6Bytes& address) const noexcept {
  const auto at = std::find_if(all().begin(), all().end(), [&](const Address& entry) {
    return entry.address.bytes == address;
  });
  return at == all().end() ? nullptr : &*at;
}

const Ipv6Addresses::Address* Ipv6Addresses::source_for(const IpAddress& destination,
                                                        bool even_tentative) const noexcept {
  const Address* best = nullptr;
  unsigned best_rank = 0;
  for (const Address& entry : all()) {
    const bool candidate = entry.usable() || (even_tentative && entry.state == State::tentative);
    if (!candidate) continue;
    // RFC 6724 5: rule 2 (scope), rule 3 (not deprecated), rule 8 (longest prefix).
    const bool scope_fits = entry.address.is_link_local() == destination.is_link_local();
    const unsigned rank = (scope_fits ? 1024u : 0u) +
                          (entry.state != State::deprecated ? 512u : 0u) +
                          common_prefix(entry.address.bytes, destination.bytes) + 1u;
    if (rank > best_rank) {
      best = &entry;
      best_rank = rank;
    }
  }
  return best;
}

bool Ipv6Addresses::any_tentative() const noexcept {
  return std::any_of(all().begin(), all().end(),
                     [](const Address& entry) { return entry.state == State::tentative; });
}

void Ipv6Addresses::on_conflict(const wire::Ipv6Bytes& address, Instant) noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    Address& entry = addresses_[i];
    if (entry.address.bytes != address || entry.state == State::duplicate) continue;
    if (entry.state != State::tentative) {
      // RFC 4862 5.4 leaves an address in use alone: whoever comes later has to give way.
      counters_.nd_conflicts.add();
      continue;
    }
    counters_.dad_duplicates.add();
    entry.state = State::duplicate;
    entry.probe_at = kNever;
    ++generation_;
    if (entry.origin == Origin::link_local) disabled_ = true;
  }
  if (disabled_) {
    for (std::size_t i = 0; i < count_; ++i) {
      addresses_[i].state = State::duplicate;
      addresses_[i].probe_at = kNever;
    }
  }
  update_deadline();
}

void Ipv6Addresses::on_prefix(const wire::NdPrefixOption& option, Instant now) noexcept {
  const std::uint32_t valid = option.valid_lifetime.get();
  const std::uint32_t preferred = option.preferred_lifetime.get();
  // RFC 4862 5.5.3 b, c, d.
  if (wire::is_ipv6_link_local(option.prefix) || wire::is_ipv6_multicast(option.prefix) ||
      preferred > valid || option.prefix_length != kInterfaceIdBits) {
    counters_.ra_prefix_ignored.add();
    return;
  }
  const IpAddress formed{wire::with_interface_id(option.prefix, mac_)};
  Address* entry = nullptr;
  for (std::size_t i = 0; i < count_; ++i)
    if (addresses_[i].address == formed) entry = &addresses_[i];
  if (entry == nullptr) {
    if (valid == 0 || count_ == kMost || disabled_) {
      counters_.ra_prefix_ignored.add();
      return;
    }
    add(formed, Origin::advertised, now);
    entry = &addresses_[count_ - 1];
    entry->valid_until = lifetime_end(valid, now);
  } else if (entry->origin != Origin::advertised || entry->state == State::duplicate) {
    return;
  } else {
    // RFC 4862 5.5.3 e: an advertisement, which anybody can send, shortens what is left to two
    // hours at most.
    const Instant offered = lifetime_end(valid, now);
    const bool long_left = entry->valid_until > now + kTwoHours;
    if (offered > now + kTwoHours || offered > entry->valid_until)
      entry->valid_until = offered;
    else if (long_left)
      entry->valid_until = now + kTwoHours;
  }
  entry->preferred_until = lifetime_end(preferred, now);
  if (entry->usable()) {
    const State state = preferred != 0 ? State::preferred : State::deprecated;
    if (entry->state != state) ++generation_;
    entry->state = state;
  }
  update_deadline();
}

void Ipv6Addresses::on_deadline(Address& entry, Instant now) noexcept {
  if (entry.probe_at <= now) {
    if (entry.probes < transmits_) {
      // RFC 4862 5.4.2: from the unspecified address to the solicited-node group, without a
      // link-layer option. One that could not be sent counts: the check must end.
      sender_.solicit(entry.address, IpAddress{}, nullptr);
      ++entry.probes;
      entry.probe_at = now + kRetransTimer;
    } else {
      entry.state = State::preferred;
      entry.probe_at = kNever;
      ++generation_;
    }
  }
  if (entry.state == State::preferred && entry.preferred_until <= now) {
    entry.state = State::deprecated;
    ++generation_;
  }
}

void Ipv6Addresses::run_timers(Instant now) noexcept {
  if (now < next_deadline_) return;
  for (std::size_t i = count_; i-- > 0;) {
    if (addresses_[i].valid_until <= now)
      remove(i);  // RFC 4862 5.5.4
    else
      on_deadline(addresses_[i], now);
  }
  update_deadline();
}

void Ipv6Addresses::update_deadline() noexcept {
  next_deadline_ = kNever;
  for (const Address& entry : all()) {
    next_deadline_ = std::min({next_deadline_, entry.probe_at, entry.valid_until});
    if (entry.state == State::preferred)
      next_deadline_ = std::min(next_deadline_, entry.preferred_until);
  }
}

}  // namespace pollux::net
