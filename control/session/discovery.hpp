// A reassembled SendTargets answer to records (RFC 7143 Appendix C): TargetName followed by the
// addresses of that target. What cannot be used is dropped and counted, so one bad record hides no
// good one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "control/session/target_address.hpp"

namespace pollux::session {

/// A name with more portals than this is not a real one; the rest is dropped (DSC-18).
inline constexpr std::size_t kPortalsPerTargetMax = 256;

struct DiscoveredTarget {
  std::string name;  ///< folded
  std::vector<TargetAddress> portals;
};

enum class DiscoveryVerdict : std::uint8_t {
  ok,
  malformed_text,  ///< not key=value text
  key_refused,     ///< the target answered SendTargets itself (Reject, NotUnderstood)
};

struct DiscoveryResult {
  DiscoveryVerdict verdict = DiscoveryVerdict::ok;
  std::string sentence;                   ///< unless ok
  std::uint32_t isdsc = 0;                ///< unless ok
  std::vector<DiscoveredTarget> targets;  ///< in the order of first mention, one per name
  std::uint32_t names_dropped = 0;        ///< illegal, or left without a usable address
  std::uint32_t addresses_dropped = 0;    ///< malformed, unusable, before any name, or too many
  std::uint32_t foreign_keys = 0;
};

/// `text` as TextExchange returned it. `current` is where the discovery session went: the portal of
/// every record that has no address (DSC-07).
[[nodiscard]] DiscoveryResult parse_send_targets(std::span<const std::byte> text,
                                                 const TargetAddress& current);

}  // namespace pollux::session
