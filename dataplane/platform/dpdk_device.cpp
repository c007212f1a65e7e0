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
#include <thread>
#include <utility>

#include "dataplane/platform/dpdk_memory_impl.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/pinned_memory.hpp"

namespace pollux::platform {
namespace {

constexpr auto kLinkPoll = std::chrono::milliseconds(10);

struct OffloadBit {
  Feature feature;
  std::uint64_t bit;
};
constexpr std::array kTxOffloads = {
    OffloadBit{Feature::tx_chain, RTE_ETH_TX_OFFLOAD_MULTI_SEGS},
    OffloadBit{Feature::tx_ipv4_checksum, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM},
    OffloadBit{Feature::tx_tcp_checksum, RTE_ETH_TX_OFFLOAD_TCP_CKSUM},
    OffloadBit{Feature::tx_tso, RTE_ETH_TX_OFFLOAD_TCP_TSO},
    OffloadBit{Feature::tx_fast_free, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE},
};
constexpr std::array kRxOffloads = {
    OffloadBit{Feature::rx_ipv4_checksum, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM},
    OffloadBit{Feature::rx_tcp_checksum, RTE_ETH_RX_OFFLOAD_TCP_CKSUM},
    OffloadBit{Feature::rx_scatter, RTE_ETH_RX_OFFLOAD_SCATTER},
    OffloadBit{Feature::rx_lro, RTE_ETH_RX_OFFLOAD_TCP_LRO},
};

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

DeviceOffer offer_of(const rte_eth_dev_info& device) {
  DeviceOffer offer;
  offer.driver = device.driver_name;
  const auto set = [&offer](Feature feature, bool has) {
    offer.features[static_cast<std::size_t>(feature)] = has;
  };
  for (const OffloadBit& row : kTxOffloads)
    set(row.feature, (device.tx_offload_capa & row.bit) != 0);
  for (const OffloadBit& row : kRxOffloads)
    set(row.feature, (device.rx_offload_capa & row.bit) != 0);
  const std::uint32_t flags = device.dev_flags == nullptr ? 0 : *device.dev_flags;
  set(Feature::rss, device.flow_type_rss_offloads != 0 && device.reta_size != 0);
  set(Feature::queues, device.max_rx_queues > 1 && device.max_tx_queues > 1);
  set(Feature::link_interrupt, (flags & RTE_ETH_DEV_INTR_LSC) != 0);
  set(Feature::removal_interrupt, (flags & RTE_ETH_DEV_INTR_RMV) != 0);
  offer.mtu_most = device.max_mtu;
  offer.frame_most = device.max_rx_pktlen;
  offer.segments_most = device.tx_desc_lim.nb_seg_max;
  offer.mtu_segments_most = device.tx_desc_lim.nb_mtu_seg_max;
  offer.rx_queues_most = device.max_rx_queues;
  offer.tx_queues_most = device.max_tx_queues;
  return offer;
}

template <class Table>
std::uint64_t offloads_in_use(const Capabilities& capabilities, const Table& table) {
  std::uint64_t bits = 0;
  for (const OffloadBit& row : table)
    if (capabilities.uses(row.feature)) bits |= row.bit;
  return bits;
}

/// Queue pairs that the workers could use, whatever the device has.
std::uint16_t queues_wanted(const PortOptions& options, std::size_t workers) {
  const std::size_t most = options.queues_most == 0 ? workers : options.queues_most;
  return static_cast<std::uint16_t>(std::min(workers, most));
}

/// The receive pools, which the driver lends to the kernel, and its rings.
std::uint64_t pinned_bytes(std::span<DpdkPacketMemory* const> memories) {
  constexpr std::uint64_t kRings = 16 << 20;
  std::uint64_t bytes = 0;
  for (DpdkPacketMemory* memory : memories) {
    const DpdkPacketMemory::Impl& pools = memory->impl();
    bytes += std::uint64_t{pools.rx->size} * pools.true_size + kRings;
  }
  return bytes;
}

int on_ethdev_event(std::uint16_t, rte_eth_event_type type, void* context, void*) {
  auto* events = static_cast<DeviceEvents*>(context);
  if (type == RTE_ETH_EVENT_INTR_RMV) events->removed.store(true, std::memory_order_release);
  if (type == RTE_ETH_EVENT_INTR_RESET) events->wants_reset.store(true, std::memory_order_release);
  return 0;
}

void on_bus_event(const char*, rte_dev_event_type type, void* context) {
  if (type == RTE_DEV_EVENT_REMOVE)
    static_cast<DeviceEvents*>(context)->removed.store(true, std::memory_order_release);
}

}  // namespace

DpdkDevice::~DpdkDevice() {
  if (traits_.id == RTE_MAX_ETHPORTS) return;
  unwatch();
  if (owner_id_ != RTE_ETH_DEV_NO_OWNER) {
    stop();
    rte_eth_dev_owner_unset(traits_.id, owner_id_);
    rte_eth_dev_close(traits_.id);
  }
  if (plugged_here_ && device_.device != nullptr) rte_dev_remove(device_.device);
}

bool DpdkDevice::open(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                      std::uint64_t seed, OpenedQueues& opened, std::string& error) {
  name_ = base_name(options.name);
  memories_.assign(memories.begin(), memories.end());
  if (!find(options, error) || !own(options, error) || !plan(options, seed, error)) return false;
  Capabilities& table = traits_.plan.capabilities;
  table.rx_descriptors = options.rx_descriptors;
  table.tx_descriptors = options.tx_descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(traits_.id, &table.rx_descriptors, &table.tx_descriptors);
  if (!configure(error) || !set_up_queues(error) || !start(error)) return false;
  opened.device_steers = queue_plan_.upload(traits_.id, opened.words);
  opened.device_steers_ipv6 = opened.device_steers && queue_plan_.hashes_ipv6();
  opened.steering = queue_plan_.steering;
  take_address();
  watch();
  wait_for_link(options.link_wait);
  return true;
}

bool DpdkDevice::find(const PortOptions& options, std::string& error) {
  std::string arguments;
  if (!complete_device(options.name, options.mtu, options.allow_blocking_driver, arguments, error))
    return false;
  if (quirks_of(driver_of_device(options.name)).pins_memory &&
      !allow_pinned_memory(pinned_bytes(memories_), error)) {
    error = "port " + name_ + ": " + error;
    return false;
  }
  std::uint16_t id = RTE_MAX_ETHPORTS;
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &id) != 0) {
    int code = rte_dev_probe(arguments.c_str());
    if (code == 0) {
      plugged_here_ = true;
      code = rte_eth_dev_get_port_by_name(name_.c_str(), &id);
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
  return true;
}

bool DpdkDevice::own(const PortOptions&, std::string& error) {
  rte_eth_dev_owner owner{};
  if (rte_eth_dev_owner_new(&owner.id) != 0) {
    error = "DPDK is not running: start it before opening ports";
    return false;
  }
  std::strncpy(owner.name, "pollux", sizeof(owner.name) - 1);
  if (rte_eth_dev_owner_set(traits_.id, &owner) != 0) {
    error = "port " + name_ + " is in use already: open each port once";
    // Its owner closes it, also when we have plugged nothing in.
    traits_.id = RTE_MAX_ETHPORTS;
    return false;
  }
  owner_id_ = owner.id;
  return true;
}

bool DpdkDevice::plan(const PortOptions& options, std::uint64_t seed, std::string& error) {
  const DriverQuirks& quirks = quirks_of(device_.driver_name);
  if (quirks.blocks && !options.allow_blocking_driver) {
    // Also when somebody else has plugged it in under another name.
    std::string arguments;
    return complete_device(device_.driver_name, options.mtu, false, arguments, error);
  }
  if (!plan_queues(device_, memories_.size(), options.queues_most, seed, queue_plan_, error))
    return false;
  // Every worker's memory is planned alike.
  const DpdkPacketMemory::Impl& pools = memories_.front()->impl();
  const PortWishes wishes{.name = name_,
                          .mtu = options.mtu,
                          .queues = queues_wanted(options, memories_.size()),
                          .rx_buffer_bytes = pools.rx_buffer_bytes,
                          .frame_bytes = pools.frame_bytes,
                          .chains = options.chains,
                          .checksum_offload = options.checksum_offload,
                          .tso = options.tso,
                          .emulate_checksum_offload = options.emulate_checksum_offload};
  if (!negotiate(offer_of(device_), quirks, wishes, traits_.plan, error)) return false;
  const Capabilities& table = traits_.plan.capabilities;
  traits_.rx_checksum =
      table.uses(Feature::rx_ipv4_checksum) || table.uses(Feature::rx_tcp_checksum);
  traits_.rx_checksum_none_good = quirks.rx_none_good;
  traits_.link_always_up = quirks.link_always_up;
  traits_.tx_bytes_most = options.mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;

  PortInfo& info = traits_.info;
  info.mtu = options.mtu;
  info.tx_ip_checksum = traits_.plan.emulated_checksum || table.uses(Feature::tx_ipv4_checksum);
  info.tx_l4_checksum = traits_.plan.emulated_checksum || table.uses(Feature::tx_tcp_checksum);
  info.tx_segments_max = traits_.plan.tx_segments_max;
  info.tx_external = table.uses(Feature::tx_external) || !table.uses(Feature::tx_chain);
  info.tso_bytes_max = traits_.plan.tso_bytes_max;
  info.tso_segments_max = traits_.plan.tso_segments_max;

  config_.rxmode.mtu = options.mtu;
  config_.rxmode.offloads = offloads_in_use(table, kRxOffloads);
  config_.txmode.offloads = offloads_in_use(table, kTxOffloads);
  config_.intr_conf.lsc = table.uses(Feature::link_interrupt) ? 1 : 0;
  config_.intr_conf.rmv = table.uses(Feature::removal_interrupt) ? 1 : 0;
  queue_plan_.apply(config_);
  return true;
}

bool DpdkDevice::failed(const char* step, int code, std::string& error) const {
  error = "port " + name_ + ": " + step + " failed (" + reason(code) + ")";
  if (const std::string line = last_eal_error(); !line.empty()) error += ": " + line;
  return false;
}

bool DpdkDevice::configure(std::string& error) {
  const int code = rte_eth_dev_configure(traits_.id, queues(), queues(), &config_);
  return code == 0 || failed("configuring it", code, error);
}

bool DpdkDevice::set_up_queues(std::string& error) {
  for (std::uint16_t queue = 0; queue < queues(); ++queue)
    if (!set_up_queue(queue, *memories_[queue], error)) return false;
  return true;
}

bool DpdkDevice::set_up_queue(std::uint16_t queue, DpdkPacketMemory& memory, std::string& error) {
  const std::uint16_t id = traits_.id;
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id));
  const Capabilities& table = traits_.plan.capabilities;
  rte_eth_rxconf rx = device_.default_rxconf;
  rx.offloads = config_.rxmode.offloads;
  rte_eth_txconf tx = device_.default_txconf;
  tx.offloads = config_.txmode.offloads;
  if (const int code = rte_eth_rx_queue_setup(id, queue, table.rx_descriptors, socket, &rx,
                                              memory.impl().rx.get());
      code != 0) {
    return failed("its receive queue", code, error);
  }
  const int code = rte_eth_tx_queue_setup(id, queue, table.tx_descriptors, socket, &tx);
  return code == 0 || failed("its transmit queue", code, error);
}

bool DpdkDevice::start(std::string& error) {
  // Drivers without this operation have taken the MTU from the configuration.
  if (const int code = rte_eth_dev_set_mtu(traits_.id, traits_.info.mtu);
      code != 0 && code != -ENOTSUP) {
    return failed("setting its MTU", code, error);
  }
  if (const int code = rte_eth_dev_start(traits_.id); code != 0)
    return failed("starting it", code, error);
  started_ = true;
  rte_eth_promiscuous_disable(traits_.id);
  // IPv6 finds its neighbours through groups (RFC 4861 7.2), which change with the addresses.
  rte_eth_allmulticast_enable(traits_.id);
  return true;
}

void DpdkDevice::stop() {
  if (std::exchange(started_, false)) rte_eth_dev_stop(traits_.id);
}

bool DpdkDevice::reset() {
  stop();
  std::string error;  // who asks wants to know only whether the device is back
  const int code = rte_eth_dev_reset(traits_.id);
  // A driver without a reset of its own is started anew.
  if ((code != 0 && code != -ENOTSUP) || !configure(error) || !set_up_queues(error) ||
      !restore_address() || !start(error))
    return false;
  // It steered or not before; what it says now changes nothing, whose a frame is gets computed.
  std::string words;
  static_cast<void>(queue_plan_.upload(traits_.id, words));
  return true;
}

/// A reset may bring the factory's address back, or another random one, and then nothing that is
/// sent to us would arrive. Before the start, because some drivers change it only then. Where the
/// device had none, ours is one it was never told.
bool DpdkDevice::restore_address() {
  if (rte_is_zero_ether_addr(&device_address_)) return true;
  rte_ether_addr now{};
  if (rte_eth_macaddr_get(traits_.id, &now) != 0) return false;
  return rte_is_same_ether_addr(&now, &device_address_) ||
         rte_eth_dev_default_mac_addr_set(traits_.id, &device_address_) == 0;
}

void DpdkDevice::rest() {
  if (resting_.fetch_add(1, std::memory_order_acq_rel) + 1 < queues()) return;
  // Taken back first: what the device asks for from now on it asks for anew.
  events_.wants_reset.store(false, std::memory_order_relaxed);
  if (!reset()) events_.removed.store(true, std::memory_order_release);
  resting_.store(0, std::memory_order_relaxed);
  resets_.fetch_add(1, std::memory_order_release);
}

void DpdkDevice::leave() {
  if (left_.fetch_add(1, std::memory_order_acq_rel) + 1 == queues()) stop();
}

void DpdkDevice::watch() {
  rte_eth_dev_callback_register(traits_.id, RTE_ETH_EVENT_INTR_RMV, &on_ethdev_event, &events_);
  rte_eth_dev_callback_register(traits_.id, RTE_ETH_EVENT_INTR_RESET, &on_ethdev_event, &events_);
  if (device_.device != nullptr)
    rte_dev_event_callback_register(rte_dev_name(device_.device), &on_bus_event, &events_);
  watched_ = true;
}

void DpdkDevice::unwatch() {
  if (!std::exchange(watched_, false)) return;
  rte_eth_dev_callback_unregister(traits_.id, RTE_ETH_EVENT_INTR_RMV, &on_ethdev_event, &events_);
  rte_eth_dev_callback_unregister(traits_.id, RTE_ETH_EVENT_INTR_RESET, &on_ethdev_event, &events_);
  // A callback that is running now cannot be taken away: it is over in a moment.
  constexpr int kTries = 1000;
  for (int i = 0; device_.device != nullptr && i < kTries; ++i) {
    if (rte_dev_event_callback_unregister(rte_dev_name(device_.device), &on_bus_event, &events_) !=
        -EAGAIN)
      break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void DpdkDevice::wait_for_link(std::chrono::milliseconds most) {
  rte_eth_link link{};
  for (long poll = 0; !traits_.link_always_up && poll < most / kLinkPoll; ++poll) {
    if (rte_eth_link_get_nowait(traits_.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP)
      return;
    std::this_thread::sleep_for(kLinkPoll);
  }
}

void DpdkDevice::take_address() {
  rte_eth_macaddr_get(traits_.id, &device_address_);
  rte_ether_addr address = device_address_;
  if (quirks_of(device_.driver_name).shared_address) {
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
