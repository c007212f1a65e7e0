// What is checked of a port that is open: link, addresses, neighbour, MTU, checksums, portal, how
// transmitted buffers come back. Each check waits for a bounded time and adds a sentence.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "control/selftest/self_test.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/platform/port.hpp"

namespace pollux::selftest {

/// `memory` has a tracker, `store` is a page that the port may read, `clock` is monotonic; `result`
/// has the port's capabilities and gets the checks.
void check_port(platform::Port& port, platform::PacketMemory& memory,
                const service::PortConfig& config, const SelfTestOptions& options,
                std::span<std::byte> store, std::function<Instant()> clock, PortResult& result);

}  // namespace pollux::selftest
