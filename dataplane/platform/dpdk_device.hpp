// Finding, configuring, starting and closing an Ethernet device of DPDK. Private to
// dataplane/platform/.
#pragma once

#include <rte_ethdev.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "dataplane/platform/dpdk_port.hpp"

namespace pollux::platform {

/// What negotiation ended with.
struct DeviceTraits {
  std::uint16_t id = RTE_MAX_ETHPORTS;
  PortInfo info;
  PortPlan plan;
  std::uint32_t tx_bytes_most = 0;     ///< of a frame without its CRC
  bool rx_checksum = false;            ///< the receive flags tell about checksums
  bool rx_checksum_none_good = false;  ///< "none" means verified by whoever sent it (virtio)
  bool link_always_up = false;
};

/// What the EAL's interrupt thread has noted about a device, for the worker to find.
struct DeviceEvents {
  std::atomic<bool> removed{false};
  std::atomic<bool> wants_reset{false};
};

/// A started device; closes it (and removes it, when it was plugged in here) at the end of its
/// life.
class DpdkDevice {
 public:
  DpdkDevice() = default;
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  [[nodiscard]] bool open(const PortOptions& options, DpdkPacketMemory& memory, std::string& error);
  [[nodiscard]] const DeviceTraits& traits() const noexcept { return traits_; }
  [[nodiscard]] DeviceEvents& events() noexcept { return events_; }

  /// Resets the device and starts it again as it was. No queue is in use. False: it is lost. Takes
  /// as long as the driver likes, which is milliseconds.
  [[nodiscard]] bool reset();
  /// Stops the device, so that the driver gives back what it holds. May be called again.
  void stop();

 private:
  bool find(const PortOptions& options, std::string& error);
  bool own(const PortOptions& options, std::string& error);
  bool plan(const PortOptions& options, DpdkPacketMemory& memory, std::string& error);
  bool configure(std::string& error);
  bool set_up_queues(std::string& error);
  bool start(std::string& error);
  bool failed(const char* step, int code, std::string& error) const;
  void wait_for_link(std::chrono::milliseconds most);
  void watch();
  void unwatch();
  void take_address();

  DeviceTraits traits_;
  DeviceEvents events_;
  rte_eth_dev_info device_{};
  rte_eth_conf config_{};
  std::string name_;
  DpdkPacketMemory* memory_ = nullptr;
  std::uint64_t owner_id_ = RTE_ETH_DEV_NO_OWNER;
  bool plugged_here_ = false;
  bool watched_ = false;
  bool started_ = false;
};

}  // namespace pollux::platform
