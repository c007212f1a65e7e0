// Peer text made fit for a log line, a terminal and a file: nothing but printable ASCII comes out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pollux::session {

/// Backslash, control and non-ASCII bytes as \xNN; cut after `bytes_max` input bytes with "...".
[[nodiscard]] std::string printable(std::string_view text, std::size_t bytes_max);

}  // namespace pollux::session
