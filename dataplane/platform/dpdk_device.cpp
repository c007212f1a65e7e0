// Bring-up of an Ethernet device: find, own, negotiate, configure, start.

#include "dataplane/platform/dpdk_device.hpp"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "dataplane/platform/dpdk_memory_impl.hpp"
#include "dataplane/platform/dpdk_queues.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::platform {
namespace {

// Segments of one frame the stack may rely on; a device that takes fewer says so.
constexpr std::uint16_t kSegmentsMost = 8;
constexpr std::uint32_t kFrameOverhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
constexpr auto kLinkPoll = std::chrono::milliseconds(10);

/// What a driver of DPDK 22.11 does other than it says.
struct DriverQuirks {
  std::string_view driver;
  /// Sends wrong bytes from chained buffers (af_xdp copies from the first; memif leaves a stale
  /// flag).
  bool linearise = false;
  /// Its checksum functions are wrong when a segment that is not the last has an odd length.
  bool no_checksum = false;
  /// Shares its MAC address with the kernel's side of the same wire, which must not see its own.
  bool shared_address = false;
  /// Asks the kernel about an interface that may have moved to another network namespace.
  bool link_always_up = false;
  /// Passes any frame although it refuses to be told its size.
  bool any_frame = false;
  /// "No checksum" on receive means that the sender, on the same host, vouches for the bytes.
  bool rx_none_good = false;
};

constexpr std::array kQuirks = {
    DriverQuirks{
        .driver = "net_tap", .no_checksum = true, .shared_address = true, .link_always_up = true},
    DriverQuirks{.driver = "net_ring", .link_always_up = true, .any_frame = true},
    DriverQuirks{.driver = "net_af_xdp", .linearise = true, .no_checksum = true},
    DriverQuirks{.driver = "net_memif", .linearise = true, .no_checksum = true},
    DriverQuirks{.driver = "net_virtio", .rx_none_good = true},
    DriverQuirks{.driver = "net_virtio_user", .rx_none_good = true},
    DriverQuirks{.driver = "virtio_user", .rx_none_good = true},
    DriverQuirks{.driver = "net_vhost", .rx_none_good = true},
};

DriverQuirks quirks_of(const std::string& driver) {
  const auto* found = std::find_if(kQuirks.begin(), kQuirks.end(), [&](const DriverQuirks& quirks) {
    return quirks.driver == driver;
  });
  return found == kQuirks.end() ? DriverQuirks{} : *found;
}

std::string base_name(const std::string& name) { return name.substr(0, name.find(',')); }

std::string reason(int code) { return rte_strerror(code < 0 ? -code : code); }

std::string missing_port(const PortOptions& options, int code) {
  std::string text = "port " + base_name(options.name) + " cannot be opened";
  if (const std::string line = last_eal_error(); !line.empty()) text += " (" + line + ")";
  const bool is_virtual = options.name.rfind("net_", 0) == 0;
  if (is_virtual && ::geteuid() != 0) return text + ": run as root, taps and raw sockets need it";
  if (is_virtual) {
    return text + ": " + reason(code) +
           "; check that no other process uses the same interface name";
  }
  return text + ": " + reason(code) +
         "; check its address, allow it at start, and bind it to vfio-pci with the IOMMU on";
}

std::string failure(const PortOptions& options, const char* step, int code) {
  std::string text =
      "port " + base_name(options.name) + ": " + step + " failed (" + reason(code) + ")";
  if (const std::string line = last_eal_error(); !line.empty()) text += ": " + line;
  return text;
}

/// The longest IP packet the device takes, or the most there is.
std::uint32_t mtu_most(const rte_eth_dev_info& device, const DriverQuirks& quirks) {
  if (quirks.any_frame) return UINT16_MAX;
  std::uint32_t most = device.max_mtu == 0 ? UINT16_MAX : device.max_mtu;
  if (device.max_rx_pktlen > kFrameOverhead) {
    most = std::min(most, device.max_rx_pktlen - kFrameOverhead);
  }
  return most;
}

}  // namespace

DpdkDevice::~DpdkDevice() {
  if (traits_.id == RTE_MAX_ETHPORTS) return;
  if (owner_id_ != RTE_ETH_DEV_NO_OWNER) {
    rte_eth_dev_stop(traits_.id);
    rte_eth_dev_owner_unset(traits_.id, owner_id_);
    rte_eth_dev_close(traits_.id);
  }
  if (plugged_here_ && device_.device != nullptr) rte_dev_remove(device_.device);
}

bool DpdkDevice::open(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                      std::uint64_t seed, OpenedQueues& opened, std::string& error) {
  rte_eth_conf config{};
  if (!find(options, error) || !own(options, error) ||
      !negotiate(options, *memories.front(), config, error))
    return false;
  QueuePlan plan;
  if (!plan_queues(device_, memories.size(), options.queues_most, seed, plan, error)) return false;
  queues_ = plan.queues;
  plan.apply(config);
  if (!start(options, memories, config, error)) return false;
  opened.device_steers = plan.upload(traits_.id, opened.words);
  opened.steering = std::move(plan.steering);
  return true;
}

bool DpdkDevice::find(const PortOptions& options, std::string& error) {
  const std::string name = base_name(options.name);
  std::uint16_t id = RTE_MAX_ETHPORTS;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
    int code = rte_dev_probe(options.name.c_str());
    if (code == 0) {
      plugged_here_ = true;
      code = rte_eth_dev_get_port_by_name(name.c_str(), &id);
    }
    if (code != 0) {
      error = missing_port(options, code);
      return false;
    }
  }
  if (const int code = rte_eth_dev_info_get(id, &device_); code != 0) {
    error = missing_port(options, code);
    return false;
  }
  traits_.id = id;
  traits_.driver = device_.driver_name;
  return true;
}

bool DpdkDevice::own(const PortOptions& options, std::string& error) {
  rte_eth_dev_owner owner{};
  if (rte_eth_dev_owner_new(&owner.id) != 0) {
    error = "DPDK is not running: start it before opening ports";
    return false;
  }
  std::strncpy(owner.name, "pollux", sizeof(owner.name) - 1);
  if (rte_eth_dev_owner_set(traits_.id, &owner) != 0) {
    error = "port " + base_name(options.name) + " is in use already: open each port once";
    // Its owner closes it, also when we have plugged nothing in.
    traits_.id = RTE_MAX_ETHPORTS;
    return false;
  }
  owner_id_ = owner.id;
  return true;
}

bool DpdkDevice::negotiate(const PortOptions& options, DpdkPacketMemory& memory,
                           rte_eth_conf& config, std::string& error) {
  const DriverQuirks quirks = quirks_of(traits_.driver);
  const std::string name = base_name(options.name);
  if (const std::uint32_t most = mtu_most(device_, quirks); options.mtu > most) {
    error =
        "port " + name + " takes an MTU of at most " + std::to_string(most) + ": set mtu to that";
    return false;
  }
  const auto wants_tx = [&](std::uint64_t bit) { return (device_.tx_offload_capa & bit) != 0; };
  const auto wants_rx = [&](std::uint64_t bit) { return (device_.rx_offload_capa & bit) != 0; };

  // Fast-free is never asked for: it excludes reference counts and chains.
  traits_.linearise = quirks.linearise || !wants_tx(RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
  if (!traits_.linearise) config.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (!quirks.no_checksum) {
    config.txmode.offloads |=
        device_.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
    config.rxmode.offloads |=
        device_.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
  }
  traits_.prepare = (config.txmode.offloads & ~RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  traits_.rx_checksum = config.rxmode.offloads != 0;
  traits_.rx_checksum_none_good = quirks.rx_none_good;
  traits_.emulated_checksum = options.emulate_checksum_offload && quirks.any_frame;
  traits_.link_always_up = quirks.link_always_up;
  traits_.tx_bytes_most = options.mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;

  if (!quirks.any_frame && options.mtu + kFrameOverhead > memory.impl().rx_buffer_bytes) {
    if (!wants_rx(RTE_ETH_RX_OFFLOAD_SCATTER)) {
      error = "port " + name + " receives a frame into one buffer only: plan receive buffers of " +
              std::to_string(options.mtu + kFrameOverhead) + " bytes or lower the mtu";
      return false;
    }
    config.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
  }
  config.rxmode.mtu = options.mtu;

  PortInfo& info = traits_.info;
  info.mtu = options.mtu;
  info.tx_ip_checksum =
      traits_.emulated_checksum || (config.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  info.tx_l4_checksum =
      traits_.emulated_checksum || (config.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
  std::uint16_t segments = kSegmentsMost;
  for (const std::uint16_t limit :
       {device_.tx_desc_lim.nb_seg_max, device_.tx_desc_lim.nb_mtu_seg_max}) {
    if (limit != 0 && !traits_.linearise) segments = std::min(segments, limit);
  }
  info.tx_segments_max = static_cast<std::uint8_t>(segments);
  return true;
}

bool DpdkDevice::set_up_queue(std::uint16_t queue, const PortOptions& options,
                              DpdkPacketMemory& memory, const rte_eth_conf& config,
                              std::string& error) {
  const std::uint16_t id = traits_.id;
  std::uint16_t rx_descriptors = options.rx_descriptors;
  std::uint16_t tx_descriptors = options.tx_descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_descriptors, &tx_descriptors);
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id));
  rte_eth_rxconf rx = device_.default_rxconf;
  rx.offloads = config.rxmode.offloads;
  rte_eth_txconf tx = device_.default_txconf;
  tx.offloads = config.txmode.offloads;
  if (const int code =
          rte_eth_rx_queue_setup(id, queue, rx_descriptors, socket, &rx, memory.impl().rx.get());
      code != 0) {
    error = failure(options, "its receive queue", code);
    return false;
  }
  if (const int code = rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket, &tx); code != 0) {
    error = failure(options, "its transmit queue", code);
    return false;
  }
  return true;
}

bool DpdkDevice::start(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                       const rte_eth_conf& config, std::string& error) {
  const std::uint16_t id = traits_.id;
  const auto failed = [&](const char* step, int code) {
    error = failure(options, step, code);
    return false;
  };
  if (const int code = rte_eth_dev_configure(id, queues_, queues_, &config); code != 0) {
    return failed("configuring it", code);
  }
  for (std::uint16_t queue = 0; queue < queues_; ++queue)
    if (!set_up_queue(queue, options, *memories[queue], config, error)) return false;
  // Drivers without this operation have taken the MTU from the configuration.
  if (const int code = rte_eth_dev_set_mtu(id, options.mtu); code != 0 && code != -ENOTSUP) {
    return failed("setting its MTU", code);
  }
  if (const int code = rte_eth_dev_start(id); code != 0) return failed("starting it", code);
  rte_eth_promiscuous_disable(id);
  // IPv6 finds its neighbours through groups (RFC 4861 7.2), which change with the addresses.
  rte_eth_allmulticast_enable(id);
  take_address();

  rte_eth_link link{};
  const auto polls = options.link_wait / kLinkPoll;
  for (long poll = 0; !traits_.link_always_up && poll < polls; ++poll) {
    if (rte_eth_link_get_nowait(id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP) break;
    std::this_thread::sleep_for(kLinkPoll);
  }
  return true;
}

void DpdkDevice::take_address() {
  rte_ether_addr address{};
  rte_eth_macaddr_get(traits_.id, &address);
  if (quirks_of(traits_.driver).shared_address) {
    address.addr_bytes[0] |= RTE_ETHER_LOCAL_ADMIN_ADDR;
    address.addr_bytes[5] ^= 1;
  } else if (rte_is_zero_ether_addr(&address)) {
    const auto number = static_cast<std::uint16_t>(traits_.id + 1);
    address.addr_bytes[0] = RTE_ETHER_LOCAL_ADMIN_ADDR;
    address.addr_bytes[4] = static_cast<std::uint8_t>(number >> 8);
    address.addr_bytes[5] = static_cast<std::uint8_t>(number);
  }
  std::copy(std::begin(address.addr_bytes), std::end(address.addr_bytes), traits_.info.mac.begin());
}

}  // namespace pollux::platform
