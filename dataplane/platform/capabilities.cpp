// The rules, feature by feature.
#include "dataplane/platform/capabilities.hpp"

#include <algorithm>
#include <limits>

namespace pollux::platform {
namespace {

constexpr std::uint32_t kFrameOverhead = 18;    // Ethernet header and CRC
constexpr std::uint16_t kSegmentsMost = 8;      // of a frame the stack builds
constexpr std::uint16_t kSegmentsLeast = 4;     // below, frames are copied together instead of cut
constexpr std::uint16_t kTsoSegmentsMost = 16;  // of a large segment; tcp::Frame::kSegmentsMax
constexpr std::uint16_t kTsoSegmentsLeast = 3;  // header and two pieces: else it is not worth it
// RFC 791 3.1: the total length has 16 bits; 60 of IPv4 (or 40 of IPv6) and 60 of TCP header.
constexpr std::uint32_t kTsoBytesMost = 65'535 - 60 - 60;
constexpr std::uint32_t kMtuUnlimited = std::numeric_limits<std::uint16_t>::max();

/// Fills a row. `obstacle` says why a wanted and offered feature is not used; empty: it is.
void settle(Capability& row, bool offered, bool wanted, const char* not_wanted,
            const char* obstacle = "") {
  row.offered = offered;
  row.wanted = wanted;
  row.used = offered && wanted && *obstacle == '\0';
  if (row.used) return;
  if (!wanted)
    row.why_not = not_wanted;
  else if (!offered)
    row.why_not = "the driver does not offer it";
  else
    row.why_not = obstacle;
}

std::uint32_t mtu_most(const DeviceOffer& offer, const DriverQuirks& quirks) {
  if (quirks.any_frame) return kMtuUnlimited;
  std::uint32_t most = offer.mtu_most == 0 ? kMtuUnlimited : offer.mtu_most;
  if (quirks.mtu_most != 0) most = std::min<std::uint32_t>(most, quirks.mtu_most);
  if (offer.frame_most > kFrameOverhead) most = std::min(most, offer.frame_most - kFrameOverhead);
  return most;
}

/// The smaller of two limits, of which 0 is none.
std::uint16_t tighter(std::uint16_t a, std::uint16_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

void settle_transmit(const DeviceOffer& offer, const DriverQuirks& quirks, const PortWishes& wishes,
                     Capabilities& table) {
  const char* const bad_sum = "the driver's sums are wrong after a buffer of odd length";
  settle(table.at(Feature::tx_chain), offer.has(Feature::tx_chain), wishes.chains, "switched off",
         quirks.linearise ? "the driver sends wrong bytes from chains" : "");
  settle(table.at(Feature::tx_external), table.uses(Feature::tx_chain), true, "",
         quirks.own_memory_only ? "the other side reaches DPDK's memory only: data is copied" : "");
  for (const Feature feature : {Feature::tx_ipv4_checksum, Feature::tx_tcp_checksum}) {
    settle(table.at(feature), offer.has(feature), wishes.checksum_offload, "switched off",
           quirks.no_checksum ? bad_sum : "");
  }
  const char* obstacle = "";
  if (quirks.no_tso)
    obstacle = "the driver cuts in software, out of a pool that can run dry";
  else if (!table.uses(Feature::tx_tcp_checksum))
    obstacle = "it needs the TCP checksum";
  else if (!table.uses(Feature::tx_chain))
    obstacle = "it needs chains";
  else if (table.segments_most != 0 && table.segments_most < kTsoSegmentsLeast)
    obstacle = "the driver's chains are too short";
  settle(table.at(Feature::tx_tso), offer.has(Feature::tx_tso), wishes.tso, "switched off",
         obstacle);
  settle(table.at(Feature::tx_fast_free), offer.has(Feature::tx_fast_free), false,
         "it excludes chains and shared buffers");
}

bool settle_receive(const DeviceOffer& offer, const DriverQuirks& quirks, const PortWishes& wishes,
                    Capabilities& table, std::string& error) {
  for (const Feature feature : {Feature::rx_ipv4_checksum, Feature::rx_tcp_checksum}) {
    settle(table.at(feature), offer.has(feature), wishes.checksum_offload, "switched off",
           quirks.no_checksum ? "the driver's sums are not trusted" : "");
  }
  const std::uint32_t room_needed = wishes.mtu + kFrameOverhead + quirks.rx_room_lost;
  const bool needs_scatter =
      !quirks.any_frame && !quirks.scatters_anyway && room_needed > wishes.rx_buffer_bytes;
  settle(table.at(Feature::rx_scatter), offer.has(Feature::rx_scatter), needs_scatter,
         "a frame fits one buffer");
  settle(table.at(Feature::rx_lro), offer.has(Feature::rx_lro), false,
         "acknowledgements and latency suffer");
  if (!needs_scatter || offer.has(Feature::rx_scatter)) return true;
  error = "port " + wishes.name +
          " receives a frame into one buffer only: plan receive buffers of " +
          std::to_string(room_needed) + " bytes or lower the mtu";
  return false;
}

void settle_rest(const DeviceOffer& offer, const DriverQuirks& quirks, const PortWishes& wishes,
                 Capabilities& table) {
  const bool several = wishes.queues > 1;
  settle(table.at(Feature::queues), std::min(offer.rx_queues_most, offer.tx_queues_most) > 1,
         several, "one worker uses the port");
  settle(table.at(Feature::rss), offer.has(Feature::rss), several, "one queue needs no spreading",
         table.uses(Feature::queues) ? "" : "the port has one queue");
  settle(table.at(Feature::link_interrupt), offer.has(Feature::link_interrupt), true, "",
         quirks.link_always_up ? "its link may be in another network namespace" : "");
  settle(table.at(Feature::removal_interrupt), offer.has(Feature::removal_interrupt), true, "");
}

void settle_chains(PortPlan& plan) {
  Capabilities& table = plan.capabilities;
  const std::uint16_t limit = table.segments_most;
  if (!table.uses(Feature::tx_chain)) {
    plan.chain_most = 1;
    plan.tx_segments_max = kSegmentsMost;
  } else {
    plan.chain_most = limit == 0 ? kSegmentsMost : std::min(limit, kSegmentsMost);
    // TCP cuts its frames to the limit, unless that would make many small ones.
    plan.tx_segments_max = static_cast<std::uint8_t>(
        plan.chain_most < kSegmentsLeast ? kSegmentsMost : plan.chain_most);
  }
  if (!table.uses(Feature::tx_tso)) return;
  // Stricter than a driver asks (its second limit is for each frame that is cut off): no order of
  // short pieces can break it.
  const std::uint16_t pieces = tighter(limit, kTsoSegmentsMost);
  plan.tso_bytes_max = table.tso_bytes_most = kTsoBytesMost;
  table.tso_segments_most = pieces;
  plan.tso_segments_max = static_cast<std::uint8_t>(pieces);
}

}  // namespace

const char* to_text(Feature feature) noexcept {
  switch (feature) {
    case Feature::tx_chain:
      return "tx chain";
    case Feature::tx_external:
      return "tx external memory";
    case Feature::tx_ipv4_checksum:
      return "tx ipv4 checksum";
    case Feature::tx_tcp_checksum:
      return "tx tcp checksum";
    case Feature::tx_tso:
      return "tx tso";
    case Feature::tx_fast_free:
      return "tx fast free";
    case Feature::rx_ipv4_checksum:
      return "rx ipv4 checksum";
    case Feature::rx_tcp_checksum:
      return "rx tcp checksum";
    case Feature::rx_scatter:
      return "rx scatter";
    case Feature::rx_lro:
      return "rx lro";
    case Feature::rss:
      return "rss";
    case Feature::queues:
      return "several queues";
    case Feature::link_interrupt:
      return "link interrupt";
    case Feature::removal_interrupt:
      return "removal interrupt";
    case Feature::count_:
      break;
  }
  return "unknown";
}

bool negotiate(const DeviceOffer& offer, const DriverQuirks& quirks, const PortWishes& wishes,
               PortPlan& plan, std::string& error) {
  plan = PortPlan{};
  Capabilities& table = plan.capabilities;
  table.driver = offer.driver;
  table.mtu = wishes.mtu;
  table.mtu_most = mtu_most(offer, quirks);
  table.rx_queues_most = offer.rx_queues_most;
  table.tx_queues_most = offer.tx_queues_most;
  table.segments_most = tighter(offer.segments_most, offer.mtu_segments_most);
  if (wishes.mtu > table.mtu_most) {
    error = "port " + wishes.name + " takes an MTU of at most " + std::to_string(table.mtu_most) +
            ": set mtu to that";
    return false;
  }
  settle_transmit(offer, quirks, wishes, table);
  if (!settle_receive(offer, quirks, wishes, table, error)) return false;
  settle_rest(offer, quirks, wishes, table);
  settle_chains(plan);
  if (plan.chain_most < plan.tx_segments_max && wishes.mtu + kFrameOverhead > wishes.frame_bytes) {
    error = "port " + wishes.name +
            " sends a frame out of one buffer only: plan frame buffers of " +
            std::to_string(wishes.mtu + kFrameOverhead) + " bytes or lower the mtu";
    return false;
  }
  plan.emulated_checksum = wishes.emulate_checksum_offload && quirks.any_frame;
  plan.prepare = table.uses(Feature::tx_ipv4_checksum) || table.uses(Feature::tx_tcp_checksum) ||
                 table.uses(Feature::tx_tso);
  return true;
}

}  // namespace pollux::platform
