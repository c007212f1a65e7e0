// What is known about the MTU of paths: one table for the engine, shared by the connections to a
// destination, so that a reconnection (and the second connection of a session) does not lose its
// first full segments to the same router again. Read first: RFC 1191 6.3, RFC 8201 4 and 5.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/net/ip_address.hpp"

namespace pollux::tcp {

/// Bounded: an entry more replaces the one that ends first. An entry exists only because a segment
/// of ours in flight was quoted, so a stranger cannot fill the table.
class PathMtuCache {
 public:
  static constexpr std::size_t kEntries = 64;
  static constexpr Duration kLifetime = 600s;  ///< RFC 1191 6.3: 10 minutes, then it is forgotten
  static constexpr std::uint16_t kUnknown = 0xffff;

  /// kUnknown when nothing is known; else `until` is lowered to when that ends.
  [[nodiscard]] std::uint16_t find(const net::IpAddress& destination, Instant now,
                                   Instant& until) const noexcept;
  /// Never raises what is known.
  void lower(const net::IpAddress& destination, std::uint16_t mtu, Instant now) noexcept;

 private:
  struct Entry {
    net::IpAddress destination;
    Instant until{};  ///< free from then on
    std::uint16_t mtu = kUnknown;
  };
  std::array<Entry, kEntries> entries_{};
};

/// A connection's suspicion that a router drops its full segments without a word (RFC 4821 7.7).
/// It belongs to the connection alone: silence proves less than a message does.
struct BlackHole {
  static constexpr std::uint8_t kTimeouts = 2;  ///< in a row at one place, then it is suspected
  static constexpr std::uint8_t kRuledOut = 0xff;
  static constexpr Duration kFirstTrial = 30s;  ///< an outage looks the same: soon tried again

  std::uint16_t mtu = 0;         ///< in force instead of what the path is known for; 0: none
  std::uint16_t mtu_before = 0;  ///< of mtu, when segments began to get stuck here
  std::uint8_t timeouts = 0;     ///< of a full segment at stuck_at; kRuledOut: size is not why
  std::uint8_t findings = 0;
  TcpSeq stuck_at;
  Instant until{};  ///< when a larger size is tried again
};

}  // namespace pollux::tcp
