// How many queues a device gets and how it is made to spread connections over them. Private to
// dataplane/platform/.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/platform/steering.hpp"

namespace pollux::platform {

struct QueuePlan {
  std::uint16_t queues = 1;
  std::shared_ptr<const Steering> steering;  ///< the device keeps it for its resets
  std::uint64_t hash_types = 0;              ///< RTE_ETH_RSS_*; 0: the device does not hash
  bool report_hash = false;
  std::uint16_t table_entries = 0;

  [[nodiscard]] bool hashes_ipv6() const noexcept;
  /// Asks for it in what the device is configured with.
  void apply(rte_eth_conf& config) const;
  /// After the start: key and table once more, because drivers have defaults of their own. True
  /// when the device has taken both, or needs neither. `words` says how frames find their worker.
  [[nodiscard]] bool upload(std::uint16_t port, std::string& words) const;
};

/// One queue pair for each of `workers`, as far as the device has them and `queues_most` (0: no
/// limit) allows.
[[nodiscard]] bool plan_queues(const rte_eth_dev_info& device, std::size_t workers,
                               std::uint16_t queues_most, std::uint64_t seed, QueuePlan& plan,
                               std::string& error);

}  // namespace pollux::platform
