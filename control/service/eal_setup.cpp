#include "control/service/eal_setup.hpp"

#include <algorithm>

namespace pollux::service {
namespace {

/// "0000:03:00.0" or "03:00.0", with arguments behind a comma.
bool is_pci_address(const std::string& device) {
  const std::string address = device.substr(0, device.find(','));
  return address.find(':') != std::string::npos &&
         address.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos;
}

}  // namespace

platform::EalOptions eal_options(const Config& config, const platform::MemoryPlan& plan,
                                 std::uint32_t extra_mib) {
  platform::EalOptions options;
  options.instance = config.instance;
  options.hugepages = config.memory.hugepages;
  options.telemetry = config.telemetry.enabled;
  options.memory_mib = std::max(config.memory.memory_mib, plan.memory_mib) + extra_mib;
  for (const PortConfig& port : config.ports)
    if (is_pci_address(port.device)) options.pci_devices.push_back(port.device);
  return options;
}

platform::PortOptions port_options(const PortConfig& port) {
  platform::PortOptions options;
  options.name = port.device;
  options.mtu = port.mtu;
  options.queues_most = port.queues;
  options.checksum_offload = port.checksum_offload;
  options.chains = port.chains;
  options.tso = port.tso;
  options.allow_blocking_driver = port.allow_blocking_driver;
  return options;
}

}  // namespace pollux::service
