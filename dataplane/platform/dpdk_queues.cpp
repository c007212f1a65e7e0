// Receive-side scaling: what the device offers, what it is told, and whether it has listened.

#include "dataplane/platform/dpdk_queues.hpp"

#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <vector>

namespace pollux::platform {
namespace {

constexpr std::uint64_t kTcpHashes = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
constexpr unsigned kKeyBytes = 40;        // of Microsoft's definition; drivers that say 0 mean it
constexpr unsigned kTableSoftware = 128;  // when only we look at it

/// Hashes TCP over IPv4 with a key of ours into a table of ours.
bool can_hash(const rte_eth_dev_info& device) {
  return (device.flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0 &&
         device.reta_size >= 4 && std::has_single_bit(device.reta_size) &&
         (device.hash_key_size == 0 || device.hash_key_size >= kKeyBytes);
}

int upload_table(std::uint16_t port, unsigned entries, unsigned workers, unsigned queues) {
  std::vector<rte_eth_rss_reta_entry64> table(
      std::max<std::size_t>(1, entries / RTE_ETH_RETA_GROUP_SIZE));
  for (unsigned i = 0; i < entries; ++i) {
    rte_eth_rss_reta_entry64& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= std::uint64_t{1} << i % RTE_ETH_RETA_GROUP_SIZE;
    // A worker without a queue is served by a neighbour, always the same one.
    group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = static_cast<std::uint16_t>(i % workers % queues);
  }
  return rte_eth_dev_rss_reta_update(port, table.data(), static_cast<std::uint16_t>(entries));
}

bool key_is_ours(std::uint16_t port, std::span<const std::uint8_t> key) {
  std::array<std::uint8_t, 128> read{};
  rte_eth_rss_conf conf{};
  conf.rss_key = read.data();
  conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  // Not every driver can tell; those are found out by the first frames.
  if (rte_eth_dev_rss_hash_conf_get(port, &conf) != 0) return true;
  return std::equal(key.begin(), key.end(), read.begin());
}

}  // namespace

bool plan_queues(const rte_eth_dev_info& device, std::size_t workers, std::uint16_t queues_most,
                 std::uint64_t seed, QueuePlan& plan, std::string& error) {
  std::size_t queues = std::min<std::size_t>({workers, device.max_rx_queues, device.max_tx_queues});
  if (queues_most != 0) queues = std::min<std::size_t>(queues, queues_most);
  plan.queues = static_cast<std::uint16_t>(std::max<std::size_t>(1, queues));
  SteeringOptions options;
  options.workers = static_cast<unsigned>(workers);
  options.seed = seed;
  options.table_entries = std::bit_ceil(std::max(options.workers, kTableSoftware));
  if (plan.queues > 1 && can_hash(device)) {
    options.rule = SteeringRule::toeplitz;
    options.key_bytes = device.hash_key_size == 0 ? kKeyBytes : device.hash_key_size;
    options.table_entries = device.reta_size;
    plan.hash_types = device.flow_type_rss_offloads & kTcpHashes;
    plan.table_entries = device.reta_size;
    plan.report_hash = (device.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0;
    plan.steering = Steering::create(options, error);
    if (plan.steering != nullptr) return true;
    // A key or table of a size nobody has thought of: workers sort the frames out themselves.
    plan.hash_types = 0;
    options.rule = SteeringRule::port_bits;
    options.table_entries = std::bit_ceil(std::max(options.workers, kTableSoftware));
  }
  plan.steering = Steering::create(options, error);
  return plan.steering != nullptr;
}

bool QueuePlan::hashes_ipv6() const noexcept {
  return (hash_types & RTE_ETH_RSS_NONFRAG_IPV6_TCP) != 0;
}

void QueuePlan::apply(rte_eth_conf& config) const {
  if (hash_types == 0) return;
  config.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  if (report_hash) config.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
  rte_eth_rss_conf& rss = config.rx_adv_conf.rss_conf;
  rss.rss_key = const_cast<std::uint8_t*>(steering->key().data());
  rss.rss_key_len = static_cast<std::uint8_t>(steering->key().size());
  rss.rss_hf = hash_types;
}

bool QueuePlan::upload(std::uint16_t port, std::string& words) const {
  const std::string shared =
      std::to_string(steering->workers()) + " workers on " + std::to_string(queues) + " queue(s): ";
  if (steering->workers() == 1) {
    words = "one worker, one queue";
    return true;
  }
  if (hash_types == 0) {
    words = shared + "frames are handed over in software by their port, the device cannot hash";
    return false;
  }
  rte_eth_conf config{};
  apply(config);
  rte_eth_rss_conf& rss = config.rx_adv_conf.rss_conf;
  int code = rte_eth_dev_rss_hash_update(port, &rss);
  // What a driver takes only when it is configured, it has by now.
  if (code == -ENOTSUP) code = 0;
  if (code == 0) code = upload_table(port, table_entries, steering->workers(), queues);
  if (code == 0 && !key_is_ours(port, steering->key())) code = -EIO;
  if (code != 0) {
    words = shared + "the device refuses our hash key or table (" + rte_strerror(-code) +
            "), frames are handed over in software";
    return false;
  }
  words = shared + "the device steers by hash (" + std::to_string(table_entries) +
          " entries, key of " + std::to_string(steering->key().size()) + " bytes)";
  if (!hashes_ipv6()) words += ", frames of IPv6 are handed over in software";
  return true;
}

}  // namespace pollux::platform
