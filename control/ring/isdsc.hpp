// Operation statuses in words: shared by the service's logs, the client library and the CLI.
#pragma once

#include <cstdint>

namespace pollux::ring {

/// The documented name ("ISDSC_INVALID_SESSION_ID"), "ISDSC_UNKNOWN" for a number without one.
/// Static text.
[[nodiscard]] const char* isdsc_name(std::uint32_t status) noexcept;

/// What the status means, a sentence without capital or full stop. Static text, never null.
[[nodiscard]] const char* isdsc_text(std::uint32_t status) noexcept;

}  // namespace pollux::ring
