// The ports of an instance: opened once each, with a queue pair for every worker as far as the
// device has them, and shared by the workers.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/service/config.hpp"
#include "control/service/steering_report.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/worker/shared_port.hpp"
#include "dataplane/worker/worker.hpp"

namespace pollux::library {

/// One [[port]]. Goes when no worker turns any more, and before the workers' memories.
struct PortUnit {
  std::string name;
  std::shared_ptr<platform::Port> ring;  ///< instead of queues: an end of a wire in the process
  platform::OpenedQueues opened;
  std::unique_ptr<worker::SharedPort> shared;  ///< null: one worker, its queue is the port
  worker::SteeringVerdict reported = worker::SteeringVerdict::software;

  /// The port as `worker` sees it.
  [[nodiscard]] platform::Port& of(std::size_t worker) noexcept;
};

/// Joins what was opened (`ring` or `opened`) with the workers; null memories are not allowed.
/// False: `error` says why.
[[nodiscard]] bool share_port(PortUnit& unit, std::span<platform::PacketMemory* const> memories,
                              std::string& error);

/// Whether frames of one worker may arrive at, or leave by, another. Any thread.
[[nodiscard]] bool hand_over(std::span<const std::unique_ptr<PortUnit>> ports) noexcept;

/// A sentence when the port has been found not to steer as it was told, once; empty otherwise.
[[nodiscard]] std::string steering_event(PortUnit& unit);
[[nodiscard]] service::SteeringReport report(const PortUnit& unit, std::size_t workers);
/// What the unit's queue pairs have counted; none of a wire inside the process.
[[nodiscard]] std::vector<service::CounterReport> queue_counters(const PortUnit& unit);
/// What `worker`, the `index`-th, has counted: of IP, its neighbours and TCP for each port, and of
/// iSCSI.
[[nodiscard]] std::vector<service::CounterReport> protocol_counters(
    const worker::Worker& worker, std::uint32_t index,
    std::span<const std::unique_ptr<PortUnit>> ports);

}  // namespace pollux::library
