// The IPv6 neighbours of one interface and how sure we are of each: address resolution and
// neighbour unreachability detection. Read first: RFC 4861 5.1, 7.2 and 7.3.
//
// Bounded like the table of ARP: what peers cause gives way to what we want. A neighbour that does
// not answer stays known as such for a while, so that a connect fails at once instead of asking on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/random.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/ipv6_addresses.hpp"
#include "dataplane/net/nd_messages.hpp"

namespace pollux::net {

/// RFC 4861 7.3.2.
enum class NudState : std::uint8_t {
  incomplete,   ///< being asked for; no address yet
  reachable,    ///< confirmed within ReachableTime
  stale,        ///< not confirmed since; nothing was sent either
  delay,        ///< something was sent; upper layers may still confirm it
  probe,        ///< being asked itself
  unreachable,  ///< did not answer: nobody is asked before the deadline
};

class NdTable {
 public:
  static constexpr std::size_t kEntries = 256;
  static constexpr unsigned kMulticastSolicits = 3;  ///< RFC 4861 10
  static constexpr unsigned kUnicastSolicits = 3;
  static constexpr Duration kReachableTime = 30s;
  static constexpr Duration kReachableTimeMax = 1h;  ///< RFC 4861 6.3.2 allows no more
  static constexpr Duration kRetransTimer = 1s;
  static constexpr Duration kDelayFirstProbe = 5s;
  static constexpr Duration kUnreachableTime = 5s;

  NdTable(const Ipv6Addresses& addresses, NdSender& sender, Counters& counters, Random random,
          Instant start) noexcept;

  /// The hardware address of `host` on our link for a packet about to be sent; starts asking when
  /// it is not known.
  RouteState resolve(const IpAddress& host, Instant now, wire::EthernetAddress& mac) noexcept;

  /// RFC 4861 7.2.3, 6.3.4: a solicitation or a router's advertisement told where `host` is.
  void on_heard(const IpAddress& host, const wire::EthernetAddress& mac, bool is_router,
                Instant now) noexcept;
  /// RFC 4861 7.2.5. True: `target` was a router and says that it is none any more.
  bool on_advertisement(const NeighborInput& input, Instant now) noexcept;
  /// RFC 4861 7.3.1: an upper layer has seen an answer to what it sent through this neighbour.
  void confirm(const IpAddress& host, Instant now) noexcept;

  /// The opposite: answers stay out. Asked at once instead of after ReachableTime.
  void suspect(const IpAddress& host, Instant now) noexcept;

  /// Of Router Advertisements. Zero changes nothing; longer than an hour is not believed.
  void set_reachable_time(Duration base, Instant now) noexcept;
  [[nodiscard]] Duration reachable_time() const noexcept { return reachable_time_; }

  /// Nothing for a neighbour that is not in the table.
  [[nodiscard]] const NudState* state(const IpAddress& host) const noexcept;

  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept { return next_deadline_; }
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Entry {
    wire::EthernetAddress mac{};
    NudState state = NudState::incomplete;
    std::uint8_t solicits = 0;  ///< sent since the last answer
    bool wanted = false;        ///< resolve() has asked for it
    bool is_router = false;
    Instant deadline = kNever;
    Instant used_at{};  ///< for the choice of what gives way
  };

  [[nodiscard]] std::size_t find(const IpAddress& host) const noexcept;
  /// The entry that makes room in a full table; kEntries: none may go.
  [[nodiscard]] std::size_t least_needed(bool for_wanted, Instant now) const noexcept;
  std::size_t add(const IpAddress& host, bool wanted, Instant now) noexcept;
  void remove(std::size_t index) noexcept;
  void set_state(Entry& entry, NudState state, Instant now) noexcept;
  void set_mac(Entry& entry, const wire::EthernetAddress& mac) noexcept;
  void solicit(std::size_t index, Instant now) noexcept;
  void on_deadline(std::size_t index, Instant now) noexcept;
  void draw_reachable_time(Instant now) noexcept;
  void update_deadline() noexcept;

  const Ipv6Addresses& addresses_;
  NdSender& sender_;
  Counters& counters_;
  Random random_;
  Duration base_reachable_time_ = kReachableTime;
  Duration reachable_time_ = kReachableTime;
  Instant redraw_at_;  ///< RFC 4861 6.3.4: a new random value every few hours
  std::uint32_t generation_ = 1;
  Instant next_deadline_ = kNever;
  std::size_t size_ = 0;
  std::array<IpAddress, kEntries> hosts_{};  // apart from the rest: it is searched
  std::array<Entry, kEntries> entries_{};
};

}  // namespace pollux::net
