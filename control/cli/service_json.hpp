// The documents that the service writes itself: status and stats.
#pragma once

#include <cstdint>
#include <string>

#include "control/cli/connection.hpp"
#include "control/cli/render.hpp"

namespace pollux::cli {

/// The answer of POLLUX_OP_STATUS or POLLUX_OP_STATS. Failure when there is none or it is no
/// object; `what` completes "... failed".
[[nodiscard]] Json service_json(Connection& connection, const std::string& what,
                                std::uint32_t opcode, std::uint32_t deadline_ms);

/// A number or a text of `object`; zero or empty where an older service says nothing.
[[nodiscard]] std::uint64_t number_in(const Json& object, const char* name);
/// Fit for a terminal.
[[nodiscard]] std::string text_in(const Json& object, const char* name);
/// The array `name` of `object`, empty where there is none.
[[nodiscard]] const Json& list_in(const Json& object, const char* name);

}  // namespace pollux::cli
