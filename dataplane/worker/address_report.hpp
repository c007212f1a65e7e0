// What has become of the addresses of one port, in one word that a worker stores and control reads
// at once. Read first: RFC 5227 2.1 and 2.4, RFC 4862 5.4.
#pragma once

#include <cstdint>

#include "dataplane/net/address_claim.hpp"
#include "dataplane/net/interface.hpp"

namespace pollux::worker {

struct AddressReport {
  net::AddressState ipv4 = net::AddressState::usable;  ///< usable as well when there is none
  net::Ipv6State ipv6 = net::Ipv6State::off;
  /// In use, and not long ago another station was seen to use it too (RFC 5227 2.4).
  bool ipv4_contested = false;
  bool ipv6_contested = false;

  friend constexpr bool operator==(const AddressReport&, const AddressReport&) noexcept = default;
};

[[nodiscard]] constexpr std::uint32_t address_word(const AddressReport& report,
                                                   std::uint32_t changes) noexcept {
  return changes << 8 | static_cast<std::uint32_t>(report.ipv4_contested) << 5 |
         static_cast<std::uint32_t>(report.ipv6_contested) << 4 |
         static_cast<std::uint32_t>(report.ipv4) << 2 | static_cast<std::uint32_t>(report.ipv6);
}
[[nodiscard]] constexpr AddressReport address_report(std::uint32_t word) noexcept {
  return {.ipv4 = static_cast<net::AddressState>(word >> 2 & 3),
          .ipv6 = static_cast<net::Ipv6State>(word & 3),
          .ipv4_contested = (word >> 5 & 1) != 0,
          .ipv6_contested = (word >> 4 & 1) != 0};
}

/// A worker's eye on one port: which conflicts are news.
class AddressWatch {
 public:
  /// An address counts as contested for so long after the latest conflict. Whoever floods us with
  /// claims is reported twice in that time at most.
  static constexpr Duration kContested = 60s;

  /// `ipv4_conflicts` and `ipv6_conflicts` are counts that only grow.
  [[nodiscard]] AddressReport look(const net::Interface& interface, std::uint64_t ipv4_conflicts,
                                   std::uint64_t ipv6_conflicts, Instant now) noexcept {
    AddressReport report{.ipv4 = interface.address_state(), .ipv6 = interface.ipv6_state()};
    // What is not in use yet is refused, not contested.
    report.ipv4_contested =
        ipv4_.look(ipv4_conflicts, now) && report.ipv4 == net::AddressState::usable;
    report.ipv6_contested = ipv6_.look(ipv6_conflicts, now);
    return report;
  }

 private:
  struct Family {
    std::uint64_t seen = 0;
    Instant until = Instant::min();
    bool look(std::uint64_t conflicts, Instant now) noexcept {
      if (conflicts != seen) until = now + kContested;
      seen = conflicts;
      return now < until;
    }
  };
  Family ipv4_;
  Family ipv6_;
};

}  // namespace pollux::worker
