// Finding, configuring, starting and closing an Ethernet device of DPDK. Private to
// dataplane/platform/.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <span>
#include <string>

#include "dataplane/platform/dpdk_port.hpp"

namespace pollux::platform {

/// What negotiation ended with.
struct DeviceTraits {
  std::uint16_t id = RTE_MAX_ETHPORTS;
  PortInfo info;
  std::string driver;
  std::uint32_t tx_bytes_most = 0;     ///< of a frame without its CRC
  bool linearise = false;              ///< the driver sends single-segment frames only
  bool prepare = false;                ///< rte_eth_tx_prepare is needed before a burst
  bool rx_checksum = false;            ///< the receive flags tell about checksums
  bool rx_checksum_none_good = false;  ///< "none" means verified by whoever sent it (virtio)
  bool emulated_checksum = false;      ///< nobody computes checksums and nobody checks
  bool link_always_up = false;
};

/// A started device; closes it (and removes it, when it was plugged in here) at the end of its
/// life.
class DpdkDevice {
 public:
  DpdkDevice() = default;
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  /// Fills what of `opened` is not queues.
  [[nodiscard]] bool open(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                          std::uint64_t seed, OpenedQueues& opened, std::string& error);
  [[nodiscard]] std::uint16_t queues() const noexcept { return queues_; }
  [[nodiscard]] const DeviceTraits& traits() const noexcept { return traits_; }

 private:
  bool find(const PortOptions& options, std::string& error);
  bool own(const PortOptions& options, std::string& error);
  bool negotiate(const PortOptions& options, DpdkPacketMemory& memory, rte_eth_conf& config,
                 std::string& error);
  bool start(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
             const rte_eth_conf& config, std::string& error);
  bool set_up_queue(std::uint16_t queue, const PortOptions& options, DpdkPacketMemory& memory,
                    const rte_eth_conf& config, std::string& error);
  void take_address();

  DeviceTraits traits_;
  rte_eth_dev_info device_{};
  std::uint64_t owner_id_ = RTE_ETH_DEV_NO_OWNER;
  bool plugged_here_ = false;
  std::uint16_t queues_ = 1;
};

}  // namespace pollux::platform
