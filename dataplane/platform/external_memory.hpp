// Making memory that DPDK did not allocate known to it and to its devices, so that frames can point
// into it.
#pragma once

#include <cstddef>
#include <string>

namespace pollux::platform {

/// Registers [base, base + length), both multiples of 4096, for all devices open now: open the
/// ports first. Devices address it by its virtual addresses. Start-up: allocates. False: `error`
/// says why.
[[nodiscard]] bool register_external_memory(void* base, std::size_t length, std::string& error);

/// The same range as registered, once no tracker of it has frames in flight.
void unregister_external_memory(void* base, std::size_t length);

}  // namespace pollux::platform
