#include "dataplane/net/nd_table.hpp"

#include <algorithm>

namespace pollux::net {

using wire::EthernetAddress;
using wire::NeighborMessage;

namespace {

constexpr Duration kRedrawInterval = 2h;

bool has_address(NudState state) noexcept {
  return state != NudState::incomplete && state != NudState::unreachable;
}

}  // namespace

NdTable::NdTable(const Ipv6Addresses& addresses, NdSender& sender, Counters& counters,
                 Random random, Instant start) noexcept
    : addresses_(addresses), sender_(sender), counters_(counters), random_(random) {
  draw_reachable_time(start);
}

/// RFC 4861 6.3.2: uniformly between half and one and a half of the base.
void NdTable::draw_reachable_time(Instant now) noexcept {
  redraw_at_ = now + kRedrawInterval;
  const Duration half = base_reachable_time_ / 2;
  reachable_time_ = half + base_reachable_time_ / 1024 * random_.below(1025);
}

void NdTable::set_reachable_time(Duration base, Instant now) noexcept {
  if (base == Duration::zero() || base > kReachableTimeMax) return;
  if (base == base_reachable_time_ && now < redraw_at_) return;
  base_reachable_time_ = base;
  draw_reachable_time(now);
}

std::size_t NdTable::find(const IpAddress& host) const noexcept {
  std::size_t index = 0;
  while (index < size_ && !(hosts_[index] == host)) ++index;
  return index;
}

const NudState* NdTable::state(const IpAddress& host) const noexcept {
  const std::size_t index = find(host);
  return index == size_ ? nullptr : &entries_[index].state;
}

// What somebody else caused gives way first. For what we want ourselves so does a neighbour that
// may be asked again anyway, and then one that is stale (RFC 4861 7.3.3: it stays as it is until
// something is sent to it, so nothing else would ever end it). Of equals the longest unused.
std::size_t NdTable::least_needed(bool for_wanted, Instant now) const noexcept {
  const auto rank = [&](const Entry& entry) -> unsigned {
    if (!entry.wanted) return 3;
    if (!for_wanted) return 0;
    if (entry.state == NudState::unreachable && now >= entry.deadline) return 2;
    return entry.state == NudState::stale ? 1 : 0;
  };
  std::size_t chosen = kEntries;
  unsigned best = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    const unsigned own = rank(entries_[i]);
    if (own == 0 || own < best) continue;
    if (own > best || entries_[i].used_at < entries_[chosen].used_at) chosen = i;
    best = own;
  }
  return chosen;
}

std::size_t NdTable::add(const IpAddress& host, bool wanted, Instant now) noexcept {
  if (size_ == kEntries) {
    const std::size_t oldest = least_needed(wanted, now);
    if (oldest == kEntries) {
      counters_.nd_table_full.add();
      return kEntries;
    }
    remove(oldest);
  }
  hosts_[size_] = host;
  entries_[size_] = Entry{};
  entries_[size_].wanted = wanted;
  entries_[size_].used_at = now;
  return size_++;
}

void NdTable::remove(std::size_t index) noexcept {
  --size_;
  hosts_[index] = hosts_[size_];
  entries_[index] = entries_[size_];
}

void NdTable::set_state(Entry& entry, NudState state, Instant now) noexcept {
  if (has_address(entry.state) != has_address(state)) ++generation_;
  // Cached routes must ask again: the next packet moves the entry on to DELAY.
  if (state == NudState::stale && entry.state == NudState::reachable) ++generation_;
  entry.state = state;
  entry.solicits = 0;
  switch (state) {
    case NudState::reachable:
      entry.deadline = now + reachable_time_;
      break;
    case NudState::delay:
      entry.deadline = now + kDelayFirstProbe;
      break;
    case NudState::unreachable:
      entry.deadline = now + kUnreachableTime;
      break;
    case NudState::stale:
      entry.deadline = kNever;
      break;
    case NudState::incomplete:
    case NudState::probe:
      entry.deadline = now;
      break;
  }
}

void NdTable::set_mac(Entry& entry, const EthernetAddress& mac) noexcept {
  if (entry.mac == mac) return;
  if (has_address(entry.state)) {
    counters_.nd_changed.add();
    ++generation_;
  }
  entry.mac = mac;
}

void NdTable::solicit(std::size_t index, Instant now) noexcept {
  Entry& entry = entries_[index];
  // One that could not be sent counts: the bound on time holds whatever state the port is in.
  ++entry.solicits;
  entry.deadline = now + kRetransTimer;
  if (const Ipv6Addresses::Address* from = addresses_.source_for(hosts_[index]))
    sender_.solicit(hosts_[index], from->address,
                    entry.state == NudState::probe ? &entry.mac : nullptr);
}

RouteState NdTable::resolve(const IpAddress& host, Instant now, EthernetAddress& mac) noexcept {
  std::size_t index = find(host);
  if (index == size_) {
    index = add(host, true, now);
    if (index == kEntries) return RouteState::unreachable;
    solicit(index, now);
    update_deadline();
    return RouteState::pending;
  }
  Entry& entry = entries_[index];
  entry.wanted = true;
  entry.used_at = now;
  switch (entry.state) {
    case NudState::stale:
      set_state(entry, NudState::delay, now);
      update_deadline();
      [[fallthrough]];
    case NudState::reachable:
    case NudState::delay:
    case NudState::probe:
      mac = entry.mac;
      return RouteState::resolved;
    case NudState::incomplete:
      return RouteState::pending;
    case NudState::unreachable:
      break;
  }
  if (now < entry.deadline) return RouteState::unreachable;
  set_state(entry, NudState::incomplete, now);
  solicit(index, now);
  update_deadline();
  return RouteState::pending;
}

void NdTable::on_heard(const IpAddress& host, const EthernetAddress& mac, bool is_router,
                       Instant now) noexcept {
  std::size_t index = find(host);
  const bool is_new = index == size_;
  if (is_new) index = add(host, false, now);
  if (index == kEntries) return;
  Entry& entry = entries_[index];
  entry.is_router |= is_router;
  if (!is_new && has_address(entry.state) && entry.mac == mac) return;
  set_mac(entry, mac);
  set_state(entry, NudState::stale, now);
  update_deadline();
}

bool NdTable::on_advertisement(const NeighborInput& input, Instant now) noexcept {
  const std::uint32_t flags = input.message.header.word.get();
  const bool solicited = (flags & NeighborMessage::kSolicited) != 0;
  const bool is_override = (flags & NeighborMessage::kOverride) != 0;
  const bool is_router = (flags & NeighborMessage::kRouter) != 0;
  const std::size_t index = find(IpAddress{input.message.target});
  if (index == size_ || entries_[index].state == NudState::unreachable) {
    // RFC 4861 7.2.5: no entry is made for a neighbour that nobody asked for. One that was given up
    // is asked for anew; its answer then is believed.
    counters_.drop_nd_unsolicited.add();
    return false;
  }
  Entry& entry = entries_[index];
  const auto& mac = input.options.target_mac;
  if (entry.state == NudState::incomplete) {
    if (!mac) {
      counters_.drop_nd_no_address.add();
      return false;
    }
    entry.mac = *mac;
    entry.is_router = is_router;
    set_state(entry, solicited ? NudState::reachable : NudState::stale, now);
    update_deadline();
    return false;
  }
  const bool differs = mac && *mac != entry.mac;
  if (differs && !is_override) {
    if (entry.state == NudState::reachable) set_state(entry, NudState::stale, now);
    update_deadline();
    return false;
  }
  if (differs) set_mac(entry, *mac);
  if (solicited)
    set_state(entry, NudState::reachable, now);
  else if (differs)
    set_state(entry, NudState::stale, now);
  const bool was_router = entry.is_router;
  entry.is_router = is_router;
  update_deadline();
  return was_router && !is_router;
}

void NdTable::confirm(const IpAddress& host, Instant now) noexcept {
  const std::size_t index = find(host);
  if (index == size_ || !has_address(entries_[index].state)) return;
  set_state(entries_[index], NudState::reachable, now);
  counters_.nd_confirmed.add();
  update_deadline();
}

void NdTable::suspect(const IpAddress& host, Instant now) noexcept {
  const std::size_t index = find(host);
  if (index == size_ || !has_address(entries_[index].state)) return;
  if (entries_[index].state == NudState::probe) return;
  set_state(entries_[index], NudState::probe, now);
  solicit(index, now);
  update_deadline();
}

void NdTable::on_deadline(std::size_t index, Instant now) noexcept {
  Entry& entry = entries_[index];
  switch (entry.state) {
    case NudState::incomplete:
      if (entry.solicits < kMulticastSolicits) return solicit(index, now);
      counters_.nd_unreachable.add();
      set_state(entry, NudState::unreachable, now);
      ++generation_;
      return;
    case NudState::reachable:
      return set_state(entry, NudState::stale, now);
    case NudState::delay:
      set_state(entry, NudState::probe, now);
      return solicit(index, now);
    case NudState::probe:
      if (entry.solicits < kUnicastSolicits) return solicit(index, now);
      // RFC 4861 7.3.3: the entry is deleted; the next packet asks everybody, which is how a
      // neighbour that came back with another address is found.
      if (!entry.wanted) {
        remove(index);
        ++generation_;
        return;
      }
      set_state(entry, NudState::incomplete, now);
      return solicit(index, now);
    case NudState::stale:
    case NudState::unreachable:
      return;
  }
}

void NdTable::run_timers(Instant now) noexcept {
  if (now < next_deadline_) return;
  for (std::size_t i = size_; i-- > 0;)
    if (entries_[i].state != NudState::unreachable && entries_[i].deadline <= now)
      on_deadline(i, now);
  update_deadline();
}

void NdTable::update_deadline() noexcept {
  next_deadline_ = kNever;
  for (std::size_t i = 0; i < size_; ++i)
    if (entries_[i].state != NudState::unreachable)
      next_deadline_ = std::min(next_deadline_, entries_[i].deadline);
}

}  // namespace pollux::net
