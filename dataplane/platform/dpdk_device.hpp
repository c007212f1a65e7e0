// Finding, configuring, starting and closing an Ethernet device of DPDK. Private to
// dataplane/platform/.
#pragma once

#include <rte_ethdev.h>
#include <rte_ether.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/dpdk_queues.hpp"

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

  /// Fills what of `opened` is not queues.
  [[nodiscard]] bool open(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                          std::uint64_t seed, OpenedQueues& opened, std::string& error);
  [[nodiscard]] std::uint16_t queues() const noexcept { return queue_plan_.queues; }
  [[nodiscard]] const DeviceTraits& traits() const noexcept { return traits_; }
  [[nodiscard]] DeviceEvents& events() noexcept { return events_; }

  /// The device asks for a reset and this queue is not used any more: each worker says so once for
  /// its queue, in any order, and the last of them resets the device for all. Until resets() counts
  /// it nobody touches the device. One that does not come back is `removed` in events(). Takes as
  /// long as the driver likes, which is milliseconds.
  void rest();
  [[nodiscard]] std::uint32_t resets() const noexcept {
    return resets_.load(std::memory_order_acquire);
  }
  /// This queue is not used any more, for good. Once that is said of all the device stops, so that
  /// the driver gives back what it holds.
  void leave();

 private:
  bool reset();
  void stop();
  bool find(const PortOptions& options, std::string& error);
  bool own(const PortOptions& options, std::string& error);
  bool plan(const PortOptions& options, std::uint64_t seed, std::string& error);
  bool configure(std::string& error);
  bool set_up_queues(std::string& error);
  bool set_up_queue(std::uint16_t queue, DpdkPacketMemory& memory, std::string& error);
  bool start(std::string& error);
  bool failed(const char* step, int code, std::string& error) const;
  void wait_for_link(std::chrono::milliseconds most);
  void watch();
  void unwatch();
  void take_address();
  bool restore_address();

  DeviceTraits traits_;
  DeviceEvents events_;
  rte_eth_dev_info device_{};
  rte_eth_conf config_{};
  rte_ether_addr device_address_{};  // its own when it was opened; ours may differ
  std::string name_;
  std::vector<DpdkPacketMemory*> memories_;  // one for each worker
  QueuePlan queue_plan_;
  std::atomic<std::uint32_t> resting_{0}, left_{0};  // queues
  std::atomic<std::uint32_t> resets_{0};
  std::uint64_t owner_id_ = RTE_ETH_DEV_NO_OWNER;
  bool plugged_here_ = false;
  bool watched_ = false;
  bool started_ = false;
};

}  // namespace pollux::platform
