#include "dataplane/net/arp_table.hpp"

#include <algorithm>

namespace pollux::net {

using wire::ArpPacket;
using wire::EthernetAddress;

namespace {

/// RFC 5227 2.1.1 wants stations that start together to probe at different times.
std::uint64_t seed_of(const EthernetAddress& mac, Instant start) noexcept {
  auto seed = static_cast<std::uint64_t>(start.time_since_epoch().count());
  for (const std::uint8_t byte : mac) seed = seed * 257 + byte;
  return seed;
}

}  // namespace

ArpTable::ArpTable(const Ipv4Subnet& subnet, const EthernetAddress& mac, Egress& egress,
                   Counters& counters, const AddressClaimOptions& claim, Instant start) noexcept
    : subnet_(subnet),
      mac_(mac),
      egress_(egress),
      counters_(counters),
      claim_(subnet.address != 0 ? claim : AddressClaimOptions{.announce = false},
             seed_of(mac, start), start),
      next_deadline_(claim_.deadline()),
      defence_allowed_(start) {}

std::size_t ArpTable::find(std::uint32_t host) const noexcept {
  std::size_t index = 0;
  while (index < size_ && hosts_[index] != host) ++index;
  return index;
}

// An entry that somebody else caused gives way to one that we want, and to a newer one of its kind.
// A neighbour found unreachable keeps its entry as long as that stops us from asking again.
bool ArpTable::evictable(const Entry& entry, bool for_wanted, Instant now) const noexcept {
  if (!entry.wanted) return true;
  return for_wanted && entry.state == State::unreachable && now >= entry.deadline;
}

std::size_t ArpTable::add(std::uint32_t host, bool wanted, Instant now) noexcept {
  if (size_ == kEntries) {
    std::size_t oldest = kEntries;
    for (std::size_t i = 0; i < kEntries; ++i)
      if (evictable(entries_[i], wanted, now) &&
          (oldest == kEntries || entries_[i].deadline < entries_[oldest].deadline))
        oldest = i;
    if (oldest == kEntries) {
      counters_.arp_table_full.add();
      return kEntries;
    }
    remove(oldest);
  }
  hosts_[size_] = host;
  entries_[size_] = Entry{};
  entries_[size_].wanted = wanted;
  return size_++;
}

void ArpTable::remove(std::size_t index) noexcept {
  --size_;
  hosts_[index] = hosts_[size_];
  entries_[index] = entries_[size_];
}

void ArpTable::learn(std::size_t index, const EthernetAddress& mac, Instant now) noexcept {
  Entry& entry = entries_[index];
  const bool was_usable = entry.state == State::reachable || entry.state == State::refreshing;
  if (!was_usable || entry.mac != mac) ++generation_;
  if (was_usable && entry.mac != mac) counters_.arp_changed.add();
  entry.mac = mac;
  entry.state = State::reachable;
  entry.requests = 0;
  entry.deadline = now + kReachableTime;
}

void ArpTable::input(const ArpPacket& packet, bool is_copy, Instant now) noexcept {
  const std::uint16_t op = packet.op.get();
  const bool well_formed = packet.hrd.get() == ArpPacket::kHardwareEthernet &&
                           packet.pro.get() == wire::kEtherTypeIpv4 && packet.hln == 6 &&
                           packet.pln == 4 &&
                           (op == ArpPacket::kRequest || op == ArpPacket::kReply) &&
                           !wire::is_group_address(packet.sha) && packet.sha != EthernetAddress{};
  if (!well_formed) {
    counters_.drop_arp_malformed.add();
    return;
  }
  (op == ArpPacket::kRequest ? counters_.arp_requests_in : counters_.arp_replies_in).add();
  if (packet.sha == mac_) return;  // our own frame, reflected
  const std::uint32_t sender = packet.spa.get();
  if (is_conflict(packet)) {
    counters_.arp_conflicts.add();
    if (claim_.on_conflict(now))
      ++generation_;  // whoever waits for a route asks again
    else if (claim_.state() == AddressState::usable && !is_copy)
      defend(now);
    return update_deadline();
  }
  if (claim_.state() != AddressState::usable) return counters_.arp_before_use.add();
  if (sender != 0 && !subnet_.is_other_host(sender)) return counters_.drop_arp_sender.add();
  // RFC 826: an entry that exists is updated by whatever the sender says; one is made only when we
  // are asked. A probe (RFC 5227 1.1) has no sender address: it is answered and teaches nothing.
  const bool asks_us = op == ArpPacket::kRequest && packet.tpa.get() == subnet_.address && !is_copy;
  if (subnet_.is_other_host(sender) && subnet_.on_link(sender)) {
    std::size_t index = find(sender);
    if (index == size_) index = asks_us ? add(sender, false, now) : kEntries;
    if (index < kEntries)
      learn(index, packet.sha, now);
    else if (op == ArpPacket::kReply)
      counters_.drop_arp_unsolicited.add();
  }
  if (asks_us) {
    ArpPacket reply;
    reply.op.set(ArpPacket::kReply);
    reply.sha = mac_;
    reply.spa.set(subnet_.address);
    reply.tha = packet.sha;
    reply.tpa = packet.spa;
    if (send(packet.sha, reply)) counters_.arp_replies_out.add();
  }
  update_deadline();
}

/// RFC 5227 2.4: the sender has our address. 2.1.1: while we probe for it, the sender of a probe
/// wants it as well.
bool ArpTable::is_conflict(const ArpPacket& packet) const noexcept {
  if (subnet_.address == 0) return false;
  const bool probes_too = claim_.state() == AddressState::probing && packet.spa.get() == 0 &&
                          packet.op.get() == ArpPacket::kRequest;
  return packet.spa.get() == subnet_.address || (probes_too && packet.tpa.get() == subnet_.address);
}

void ArpTable::defend(Instant now) noexcept {
  if (now < defence_allowed_) return;
  defence_allowed_ = now + kDefenceInterval;
  if (announce()) counters_.arp_defences.add();
}

bool ArpTable::announce() noexcept {
  ArpPacket announcement;
  announcement.op.set(ArpPacket::kRequest);
  announcement.sha = mac_;
  announcement.spa.set(subnet_.address);
  announcement.tpa.set(subnet_.address);
  return send(wire::kEthernetBroadcast, announcement);
}

void ArpTable::run_claim(Instant now) noexcept {
  const AddressState before = claim_.state();
  switch (claim_.on_deadline(now)) {
    case AddressClaim::Action::none:
      break;
    case AddressClaim::Action::probe: {
      ArpPacket probe;
      probe.op.set(ArpPacket::kRequest);
      probe.sha = mac_;
      probe.tpa.set(subnet_.address);
      if (send(wire::kEthernetBroadcast, probe)) counters_.arp_probes_out.add();
      break;
    }
    case AddressClaim::Action::announce:
      if (announce()) counters_.arp_announcements_out.add();
      break;
  }
  if (claim_.state() != before) ++generation_;  // whoever waits for a route asks again
}

void ArpTable::on_link_down() noexcept {
  claim_.on_link_down();
  update_deadline();
}

void ArpTable::on_link_up(Instant now) noexcept {
  claim_.on_link_up(now);
  update_deadline();
}

bool ArpTable::send(const EthernetAddress& to, const ArpPacket& packet) noexcept {
  constexpr std::uint32_t kFrameBytes = sizeof(wire::EthernetHeader) + sizeof(ArpPacket);
  if (!egress_.can_reply(1)) {
    counters_.drop_reply_no_room.add();
    return false;
  }
  const platform::FrameBuffer buffer = egress_.take_buffer();
  if (buffer.data == nullptr) {
    counters_.drop_reply_no_buffer.add();
    return false;
  }
  wire::EthernetHeader ethernet{to, mac_, Be16(wire::kEtherTypeArp)};
  store(buffer.data, ethernet);
  store(buffer.data + sizeof ethernet, packet);
  platform::TxSegment segment;
  segment.data = buffer.data;
  segment.length = kFrameBytes;
  segment.handle = buffer.handle;
  egress_.send({&segment, 1});
  return true;
}

void ArpTable::request(std::size_t index, const EthernetAddress& to, Instant now) noexcept {
  ArpPacket packet;
  packet.op.set(ArpPacket::kRequest);
  packet.sha = mac_;
  packet.spa.set(subnet_.address);
  packet.tpa.set(hosts_[index]);
  Entry& entry = entries_[index];
  // One that could not be sent counts: the bound on time holds whatever state the port is in.
  ++entry.requests;
  entry.asked_at = now;
  entry.deadline = now + kRequestInterval;
  if (send(to, packet)) counters_.arp_requests_out.add();
}

RouteState ArpTable::resolve(std::uint32_t host, Instant now, EthernetAddress& mac) noexcept {
  if (claim_.state() != AddressState::usable) [[unlikely]]
    return claim_.state() == AddressState::probing ? RouteState::pending : RouteState::unreachable;
  std::size_t index = find(host);
  if (index == size_) {
    index = add(host, true, now);
    if (index == kEntries) return RouteState::unreachable;
    request(index, wire::kEthernetBroadcast, now);
    update_deadline();
    return RouteState::pending;
  }
  Entry& entry = entries_[index];
  entry.wanted = true;
  switch (entry.state) {
    case State::reachable:
    case State::refreshing:
      mac = entry.mac;
      return RouteState::resolved;
    case State::incomplete:
      return RouteState::pending;
    case State::unreachable:
      break;
  }
  if (now < entry.deadline) return RouteState::unreachable;
  entry.state = State::incomplete;
  entry.requests = 0;
  request(index, wire::kEthernetBroadcast, now);
  update_deadline();
  return RouteState::pending;
}

void ArpTable::suspect(std::uint32_t host, Instant now) noexcept {
  const std::size_t index = find(host);
  if (index == size_ || entries_[index].state != State::reachable) return;
  counters_.arp_suspected.add();
  Entry& entry = entries_[index];
  entry.state = State::refreshing;
  // Of the requests of a refresh one goes to the neighbour itself, where it may never arrive; the
  // others ask everybody.
  entry.requests = kUnicastRequests - 1;
  entry.deadline = std::max(now, entry.asked_at + kRequestInterval);
  if (entry.deadline == now) request(index, entry.mac, now);
  update_deadline();
}

void ArpTable::on_deadline(std::size_t index, Instant now) noexcept {
  Entry& entry = entries_[index];
  if (entry.state == State::reachable && !entry.wanted) {
    remove(index);
    return;
  }
  if (entry.requests >= kRequests) {
    entry.state = State::unreachable;
    entry.deadline = now + kUnreachableTime;
    ++generation_;
    counters_.arp_unreachable.add();
    return;
  }
  if (entry.state == State::reachable) entry.state = State::refreshing;
  // RFC 1122 2.3.2.1 (2): ask the neighbour itself first, everybody only when it stays silent.
  const bool unicast = entry.state == State::refreshing && entry.requests < kUnicastRequests;
  request(index, unicast ? entry.mac : wire::kEthernetBroadcast, now);
}

void ArpTable::run_timers(Instant now) noexcept {
  if (now < next_deadline_) return;
  if (claim_.deadline() <= now) run_claim(now);
  for (std::size_t i = size_; i-- > 0;)
    if (entries_[i].state != State::unreachable && entries_[i].deadline <= now) on_deadline(i, now);
  update_deadline();
}

void ArpTable::update_deadline() noexcept {
  counters_.address_state.set(static_cast<std::uint64_t>(claim_.state()));
  next_deadline_ = claim_.deadline();
  for (std::size_t i = 0; i < size_; ++i)
    if (entries_[i].state != State::unreachable)
      next_deadline_ = std::min(next_deadline_, entries_[i].deadline);
}

}  // namespace pollux::net
