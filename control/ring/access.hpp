// Who may use the ring: the peer's credentials, as the kernel vouches for them, against the two
// groups.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "control/result.hpp"
#include "control/ring/opcodes.hpp"

namespace pollux::ring {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> groups;  ///< primary and supplementary
};

/// Who connected. Nothing when the kernel does not say.
[[nodiscard]] std::optional<Peer> peer_of(int socket_fd);

struct AccessPolicy {
  uid_t owner = 0;
  std::optional<gid_t> manage_group;
  std::optional<gid_t> monitor_group;

  /// Root and the service's own user manage; members of a group get what it gives; others nothing.
  [[nodiscard]] Access access_of(const Peer& peer) const noexcept;
};

/// A group by name or by number; nothing for an empty string; an error for one that does not exist.
[[nodiscard]] Result<std::optional<gid_t>> group_id(const std::string& group);

}  // namespace pollux::ring
