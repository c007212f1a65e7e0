// The neighbours of one interface: which hardware address an IPv4 address on our link has (RFC 826,
// RFC 1122 2.3.2), and the defence of our own address (RFC 5227).
//
// An entry that TCP has asked for is kept: it ages and is refreshed by asking the neighbour itself.
// One that only a question of a neighbour has made expires. Every number below bounds what peers
// can cause.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.hpp"
#include "dataplane/net/address_claim.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/egress.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/ipv4_input.hpp"
#include "dataplane/wire/arp.hpp"

namespace pollux::net {

class ArpTable {
 public:
  static constexpr std::size_t kEntries = 256;
  static constexpr Duration kRequestInterval = 1s;  ///< RFC 1122 2.3.2.1: at most one a second
  static constexpr unsigned kRequests = 5;          ///< then the neighbour is unreachable
  static constexpr unsigned kUnicastRequests = 3;   ///< of a refresh, before it asks everybody
  static constexpr Duration kReachableTime = 60s;
  static constexpr Duration kUnreachableTime = 5s;   ///< then it is asked for again on demand
  static constexpr Duration kDefenceInterval = 10s;  ///< RFC 5227 DEFEND_INTERVAL

  ArpTable(const Ipv4Subnet& subnet, const wire::EthernetAddress& mac, Egress& egress,
           Counters& counters, const AddressClaimOptions& claim, Instant start) noexcept;

  /// A checked-for-length ARP packet of the wire. `is_copy`: another worker with the same address
  /// has it too; it is learnt from and answered there.
  void input(const wire::ArpPacket& packet, bool is_copy, Instant now) noexcept;

  /// The hardware address of `host` on our link; starts asking for it when it is not known.
  RouteState resolve(std::uint32_t host, Instant now, wire::EthernetAddress& mac) noexcept;

  /// What `host` was sent got no answer: its entry may be wrong (one flipped bit in a reply is
  /// enough), so it is asked again now and not when the entry has aged.
  void suspect(std::uint32_t host, Instant now) noexcept;
  void on_link_down() noexcept;
  void on_link_up(Instant now) noexcept;
  [[nodiscard]] AddressState address_state() const noexcept { return claim_.state(); }

  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept { return next_deadline_; }
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  enum class State : std::uint8_t {
    incomplete,  ///< asking; no answer yet
    reachable,
    refreshing,   ///< still used while the neighbour is asked again
    unreachable,  ///< did not answer; not asked before the deadline
  };
  struct Entry {
    wire::EthernetAddress mac{};
    State state = State::incomplete;
    std::uint8_t requests = 0;  ///< sent since the last answer
    bool wanted = false;        ///< resolve() has asked for it
    Instant deadline{};
    Instant asked_at{};
  };

  [[nodiscard]] std::size_t find(std::uint32_t host) const noexcept;
  std::size_t add(std::uint32_t host, bool wanted, Instant now) noexcept;
  [[nodiscard]] bool evictable(const Entry& entry, bool for_wanted, Instant now) const noexcept;
  void remove(std::size_t index) noexcept;
  void learn(std::size_t index, const wire::EthernetAddress& mac, Instant now) noexcept;
  void request(std::size_t index, const wire::EthernetAddress& to, Instant now) noexcept;
  void on_deadline(std::size_t index, Instant now) noexcept;
  void run_claim(Instant now) noexcept;
  [[nodiscard]] bool is_conflict(const wire::ArpPacket& packet) const noexcept;
  bool announce() noexcept;
  void defend(Instant now) noexcept;
  bool send(const wire::EthernetAddress& to, const wire::ArpPacket& packet) noexcept;
  void update_deadline() noexcept;

  Ipv4Subnet subnet_;
  wire::EthernetAddress mac_;
  Egress& egress_;
  Counters& counters_;
  AddressClaim claim_;
  std::uint32_t generation_ = 1;
  Instant next_deadline_ = kNever;
  Instant defence_allowed_;
  std::size_t size_ = 0;
  std::array<std::uint32_t, kEntries> hosts_{};  // apart from the rest: it is searched
  std::array<Entry, kEntries> entries_{};
};

}  // namespace pollux::net
