// Where an instance's socket lives: the same rule for the service that makes it and the client that
// looks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pollux::ring {

inline constexpr std::string_view kDefaultInstance = "default";

/// Letters, digits, '.', '_' and '-', 1 to 64 of them, not starting with a dot: safe as a file
/// name.
[[nodiscard]] bool is_instance_name(std::string_view instance) noexcept;

/// Where a client looks, in this order: /run/pollux, then $XDG_RUNTIME_DIR/pollux when that is set.
[[nodiscard]] std::vector<std::string> socket_candidates(std::string_view instance);

/// Where a service of this user listens unless it is told otherwise: /run/pollux for root, else
/// $XDG_RUNTIME_DIR/pollux; empty when an ordinary user has no such directory.
[[nodiscard]] std::string default_socket_path(std::string_view instance);

}  // namespace pollux::ring
