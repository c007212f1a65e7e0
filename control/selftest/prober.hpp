// Sends what a self-test needs and waits for the answers: neighbour resolution, echo requests that
// must not be fragmented, TCP probes cut into pieces of odd length. IPv4, but for neighbours.
// Everything has a bound.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "control/selftest/spy_port.hpp"
#include "dataplane/net/address_claim.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/packet_memory.hpp"

namespace pollux::selftest {

enum class TcpAnswer : std::uint8_t { none, accepted, refused };

class Prober {
 public:
  /// `clock` is monotonic. `memory` has at least one tracker; `store` is memory that devices may
  /// read (one page at least). All outlive it.
  Prober(SpyPort& port, platform::PacketMemory& memory, const net::InterfaceConfig& config,
         std::span<std::byte> store, std::function<Instant()> clock);

  /// Turns the interface until `done` or until `limit` has passed. True when done.
  bool run(const std::function<bool()>& done, Duration limit);
  /// The next hop's hardware address is known.
  bool resolve(const net::IpAddress& target, Duration limit);
  /// One echo request of `ip_bytes` with DF set (RFC 791), and its answer.
  bool ping(const net::IpAddress& target, std::size_t ip_bytes, Duration limit);
  /// SYN with `pieces` of data behind it (empty: none), which a host answers with RST or SYN-ACK if
  /// it believes the checksum.
  TcpAnswer tcp(const net::Endpoint& target, std::span<const std::uint32_t> pieces, Duration limit);
  /// As of the latest turn that looked, some times a second: down before the first. Checks of
  /// addresses wait for the link and start when it comes up.
  [[nodiscard]] platform::PortState port_state() const noexcept { return port_state_; }
  /// Of the IPv4 address.
  [[nodiscard]] net::AddressState address_state() const noexcept {
    return interface_.address_state();
  }
  [[nodiscard]] net::Ipv6State ipv6_state() const noexcept { return interface_.ipv6_state(); }
  /// Frames that still point into the store.
  [[nodiscard]] std::uint32_t in_flight() const noexcept;

 private:
  [[nodiscard]] std::optional<net::Route> route_to(const net::IpAddress& target);
  bool turn();
  bool send_segment(const net::Endpoint& target, std::uint8_t flags, std::uint32_t sequence,
                    std::span<const std::uint32_t> pieces);
  void on_segment(const net::TcpDatagram& datagram);

  SpyPort& port_;
  platform::PacketMemory& memory_;
  net::InterfaceConfig config_;
  std::span<std::byte> store_;
  std::function<Instant()> clock_;
  net::Interface interface_;
  platform::PortState port_state_ = platform::PortState::down;
  Instant next_port_check_ = Instant::min();
  std::uint16_t identifier_;
  std::uint16_t sequence_ = 0;
  std::uint16_t local_port_;
  std::uint32_t probe_sequence_ = 0;
  std::uint32_t probe_bytes_ = 0;
  net::Endpoint probe_target_;
  TcpAnswer answer_ = TcpAnswer::none;
};

}  // namespace pollux::selftest
