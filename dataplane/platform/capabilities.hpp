// What a port can do, what we want of it, what is used and why the rest is not: negotiated once,
// from what the driver offers and what is known about the driver. Arithmetic only, so that every
// rule and every guard can be tested without a device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "dataplane/platform/driver_quirks.hpp"

namespace pollux::platform {

enum class Feature : std::uint8_t {
  tx_chain,          ///< a frame may lie in several buffers
  tx_external,       ///< a frame may point into memory that is not DPDK's
  tx_ipv4_checksum,  ///< the port fills the IPv4 header checksum
  tx_tcp_checksum,
  tx_tso,        ///< the port cuts one large TCP segment into many
  tx_fast_free,  ///< never wanted
  rx_ipv4_checksum,
  rx_tcp_checksum,
  rx_scatter,  ///< a received frame may lie in several buffers
  rx_lro,      ///< never wanted
  rss,
  queues,          ///< more than one pair
  link_interrupt,  ///< the link's state is kept up to date without asking the device
  removal_interrupt,
  count_,
};
inline constexpr std::size_t kFeatureCount = static_cast<std::size_t>(Feature::count_);

/// One row of the table. `why_not` is set when the feature is offered or wanted and not used.
struct Capability {
  bool offered = false;
  bool wanted = false;
  bool used = false;
  const char* why_not = "";
};

/// The table of one port and the limits that came with it.
struct Capabilities {
  std::string driver;
  std::array<Capability, kFeatureCount> features{};
  std::uint32_t mtu = 0;
  std::uint32_t mtu_most = 0;
  std::uint16_t rx_queues_most = 1;
  std::uint16_t tx_queues_most = 1;
  std::uint16_t rx_descriptors = 0;  ///< in use
  std::uint16_t tx_descriptors = 0;
  std::uint16_t segments_most = 0;      ///< of one frame, as the driver says; 0: no limit
  std::uint32_t tso_bytes_most = 0;     ///< of payload in one large segment; 0: none
  std::uint16_t tso_segments_most = 0;  ///< buffers of one large segment

  [[nodiscard]] Capability& at(Feature feature) noexcept {
    return features[static_cast<std::size_t>(feature)];
  }
  [[nodiscard]] const Capability& at(Feature feature) const noexcept {
    return features[static_cast<std::size_t>(feature)];
  }
  [[nodiscard]] bool uses(Feature feature) const noexcept { return at(feature).used; }
};

/// A short name for tables, such as "tx tso".
[[nodiscard]] const char* to_text(Feature feature) noexcept;

/// What a driver says about its device (rte_eth_dev_info), without DPDK's types.
struct DeviceOffer {
  std::string driver;
  std::array<bool, kFeatureCount> features{};
  std::uint32_t mtu_most = 0;           ///< 0: not said
  std::uint32_t frame_most = 0;         ///< longest received frame with its CRC; 0: not said
  std::uint16_t segments_most = 0;      ///< nb_seg_max; 0: not said
  std::uint16_t mtu_segments_most = 0;  ///< nb_mtu_seg_max; 0: not said
  std::uint16_t rx_queues_most = 1;
  std::uint16_t tx_queues_most = 1;

  [[nodiscard]] bool has(Feature feature) const noexcept {
    return features[static_cast<std::size_t>(feature)];
  }
};

/// What the stack would like.
struct PortWishes {
  std::string name;  ///< for sentences
  std::uint16_t mtu = 1500;
  std::uint16_t queues = 1;
  std::uint32_t rx_buffer_bytes = 2048;
  std::uint32_t frame_bytes = 2048;  ///< one buffer that a frame can be copied together in
  bool chains = true;
  bool checksum_offload = true;
  bool tso = true;
  bool emulate_checksum_offload = false;  ///< in-process wire only
};

/// What the port does, beside the table.
struct PortPlan {
  Capabilities capabilities;
  bool emulated_checksum = false;    ///< nobody computes checksums and nobody checks
  std::uint16_t chain_most = 0;      ///< longer chains are copied together; 1: the driver takes one
  std::uint8_t tx_segments_max = 0;  ///< PortInfo::tx_segments_max
  std::uint32_t tso_bytes_max = 0;   ///< PortInfo::tso_bytes_max
  std::uint8_t tso_segments_max = 0;  ///< PortInfo::tso_segments_max
  bool prepare = false;               ///< the driver looks at the frames before a burst
};

/// False: the port cannot be used as wished; `error` is one sentence that says what to change.
[[nodiscard]] bool negotiate(const DeviceOffer& offer, const DriverQuirks& quirks,
                             const PortWishes& wishes, PortPlan& plan, std::string& error);

}  // namespace pollux::platform
