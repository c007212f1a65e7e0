// The IPv6 addresses of one interface: link-local, configured, and those formed from advertised
// prefixes; duplicate address detection before any of them is used; which of them a packet is sent
// from. Read first: RFC 4862 5.3 to 5.5, RFC 4291 2.1 and 2.8, RFC 6724 5.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/time.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface_config.hpp"
#include "dataplane/net/nd_messages.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::net {

class Ipv6Addresses {
 public:
  static constexpr std::size_t kMost = 6;  ///< link-local, configured, four advertised prefixes
  static constexpr Duration kRetransTimer = 1s;   ///< RFC 4861 10 RETRANS_TIMER
  static constexpr Duration kStartDelayMax = 1s;  ///< RFC 4862 5.4.2
  static constexpr Duration kTwoHours = 2h;       ///< RFC 4862 5.5.3 e

  enum class State : std::uint8_t {
    tentative,  ///< not ours yet: asked about, used for nothing
    preferred,
    deprecated,  ///< its preferred lifetime has ended: no new connection uses it
    duplicate,   ///< somebody else has it
  };
  enum class Origin : std::uint8_t { link_local, configured, advertised };

  struct Address {
    IpAddress address;
    State state = State::tentative;
    Origin origin = Origin::configured;
    std::uint8_t probes = 0;  ///< Neighbor Solicitations sent about it
    Instant probe_at = kNever;
    Instant preferred_until = kNever;
    Instant valid_until = kNever;

    [[nodiscard]] bool usable() const noexcept {
      return state == State::preferred || state == State::deprecated;
    }
  };

  Ipv6Addresses(const InterfaceConfig& config, const wire::EthernetAddress& mac, NdSender& sender,
                Counters& counters, Instant start) noexcept;

  /// May be used as a destination: assigned, not tentative.
  [[nodiscard]] bool is_ours(const wire::Ipv6Bytes& address) const noexcept {
    for (std::size_t i = 0; i < count_; ++i)
      if (addresses_[i].address.bytes == address) return addresses_[i].usable();
    return false;
  }
  /// A group that we listen to: all nodes, and the solicited-node groups of all our addresses.
  [[nodiscard]] bool is_member(const wire::Ipv6Bytes& group) const noexcept;
  /// nullptr: not one of ours, in no state.
  [[nodiscard]] const Address* find(const wire::Ipv6Bytes& address) const noexcept;
  /// What a packet to `destination` is sent from, RFC 6724 cut down to one interface; nullptr: none
  /// is usable. With `even_tentative`, what it will be sent from once that is.
  [[nodiscard]] const Address* source_for(const IpAddress& destination,
                                          bool even_tentative = false) const noexcept;
  [[nodiscard]] std::span<const Address> all() const noexcept {
    return {addresses_.data(), count_};
  }
  /// Something is still being checked.
  [[nodiscard]] bool any_tentative() const noexcept;
  /// RFC 4862 5.4.5: the address formed from our hardware address is taken, so that address is,
  /// too.
  [[nodiscard]] bool disabled() const noexcept { return disabled_; }

  /// RFC 4862 5.4.3 and 5.4.4: another station asked about, or answered for, this address of ours.
  void on_conflict(const wire::Ipv6Bytes& address, Instant now) noexcept;

  /// RFC 4862 5.5.3 for one Prefix Information option with the A flag set.
  void on_prefix(const wire::NdPrefixOption& option, Instant now) noexcept;

  /// Nobody can be asked while the link is down: checks wait, and start anew afterwards.
  void on_link_down() noexcept;
  void on_link_up(Instant now) noexcept;

  void run_timers(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept { return next_deadline_; }
  /// Changes when the set of usable addresses does.
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }

 private:
  void add(const IpAddress& address, Origin origin, Instant first_probe) noexcept;
  void remove(std::size_t index) noexcept;
  void start_check(Address& address, Instant first_probe) noexcept;
  void on_deadline(Address& address, Instant now) noexcept;
  void update_deadline() noexcept;

  wire::EthernetAddress mac_;
  NdSender& sender_;
  Counters& counters_;
  std::uint8_t transmits_;
  bool disabled_ = false;
  bool link_up_ = true;
  std::uint32_t generation_ = 0;
  Instant next_deadline_ = kNever;
  std::size_t count_ = 0;
  std::array<Address, kMost> addresses_{};
};

}  // namespace pollux::net
