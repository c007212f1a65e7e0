// When our IPv4 address may be used and when others are told of it: probes before the first use,
// announcements when it comes into use and when the link has come back. Decides only; ArpTable
// sends. Read first: RFC 5227 2.1.1, 2.3 and 1.1 (the numbers).
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/base/random.hpp"
#include "dataplane/base/time.hpp"

namespace pollux::net {

enum class AddressState : std::uint8_t {
  usable,
  probing,   ///< nothing is sent from it yet
  conflict,  ///< another station has it; asked again after kRateLimitInterval
};

[[nodiscard]] constexpr std::string_view to_words(AddressState state) noexcept {
  switch (state) {
    case AddressState::usable:
      return "in use";
    case AddressState::probing:
      return "being checked for another user";
    case AddressState::conflict:
      return "not used: another station on the link has it";
  }
  return "unknown";
}

struct AddressClaimOptions {
  bool detect_conflicts = false;
  bool announce = true;
};

class AddressClaim {
 public:
  // RFC 5227 1.1.
  static constexpr Duration kProbeWait = 1s;
  static constexpr unsigned kProbes = 3;
  static constexpr Duration kProbeMin = 1s;
  static constexpr Duration kProbeMax = 2s;
  static constexpr Duration kAnnounceWait = 2s;
  static constexpr unsigned kAnnouncements = 2;
  static constexpr Duration kAnnounceInterval = 2s;
  /// RFC 5227 limits attempts to one in so long after ten conflicts. Here the address is the
  /// operator's choice and there is no other to try, so the first conflict counts like the tenth.
  static constexpr Duration kRateLimitInterval = 60s;

  enum class Action : std::uint8_t { none, probe, announce };

  AddressClaim(const AddressClaimOptions& options, std::uint64_t seed, Instant start) noexcept;

  [[nodiscard]] AddressState state() const noexcept { return state_; }
  [[nodiscard]] Instant deadline() const noexcept { return deadline_; }
  /// Call when the deadline has passed; what to send then. The state may have changed.
  [[nodiscard]] Action on_deadline(Instant now) noexcept;
  /// Another station was seen to use or to probe the address. True when we were probing ourselves.
  [[nodiscard]] bool on_conflict(Instant now) noexcept;
  /// Nobody can be asked while the link is down: the check waits, and starts anew afterwards.
  void on_link_down() noexcept;
  void on_link_up(Instant now) noexcept;

 private:
  void start_probing(Instant now) noexcept;
  void start_announcing(Instant now) noexcept;
  [[nodiscard]] Duration random_below(Duration bound) noexcept;

  AddressClaimOptions options_;
  Random random_;
  AddressState state_ = AddressState::usable;
  bool link_up_ = true;
  unsigned left_ = 0;  ///< probes or announcements to send
  Instant deadline_ = kNever;
};

}  // namespace pollux::net
