// Drivers that hand their buffers to the kernel (net_af_xdp) make it pin them, and an ordinary user
// may pin only so much.
#pragma once

#include <cstdint>
#include <string>

namespace pollux::platform {

/// Raises the process's limit on pinned memory to at least `bytes`. False: the limit stands, and
/// `error` says which and how it is raised. Start-up only.
[[nodiscard]] bool allow_pinned_memory(std::uint64_t bytes, std::string& error);

}  // namespace pollux::platform
