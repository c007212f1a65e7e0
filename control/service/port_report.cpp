#include "control/service/port_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace pollux::service {
namespace {

const char* yes(bool value) { return value ? "yes" : "no"; }

std::string sentence(const PortReport& port, platform::PortState state, std::uint32_t before,
                     std::uint32_t now) {
  switch (state) {
    case platform::PortState::down:
      return fmt::format("port {}: the link is down; its connections wait", port.name);
    case platform::PortState::up:
      // More than one change between two looks: it was down for a moment.
      return fmt::format("port {}: the link is up again{}", port.name,
                         now - before > 1 ? fmt::format(" after {} changes", now - before) : "");
    case platform::PortState::removed:
      return fmt::format("port {}: the device is gone; its connections have ended", port.name);
  }
  return {};
}

}  // namespace

const char* to_text(platform::PortState state) noexcept {
  switch (state) {
    case platform::PortState::up:
      return "up";
    case platform::PortState::down:
      return "down";
    case platform::PortState::removed:
      return "removed";
  }
  return "unknown";
}

std::vector<std::string> describe(const PortReport& port) {
  const platform::Capabilities& table = port.capabilities;
  std::vector<std::string> lines;
  lines.push_back(fmt::format(
      "port {}: driver {}, mtu {} (at most {}), {} receive and {} transmit descriptors, chains of "
      "at most {}",
      port.name, table.driver, table.mtu, table.mtu_most, table.rx_descriptors,
      table.tx_descriptors,
      table.segments_most == 0 ? "any length" : fmt::format("{} buffers", table.segments_most)));
  if (table.tso_bytes_most != 0) {
    lines.push_back(fmt::format("port {}: large segments of {} bytes in {} buffers", port.name,
                                table.tso_bytes_most, table.tso_segments_most));
  }
  lines.push_back(fmt::format("  {:<18} {:<8} {:<7} {:<5} {}", "feature", "offered", "wanted",
                              "used", "why not"));
  for (std::size_t i = 0; i < platform::kFeatureCount; ++i) {
    const platform::Capability& row = table.features[i];
    lines.push_back(fmt::format("  {:<18} {:<8} {:<7} {:<5} {}",
                                platform::to_text(static_cast<platform::Feature>(i)),
                                yes(row.offered), yes(row.wanted), yes(row.used), row.why_not));
  }
  return lines;
}

nlohmann::ordered_json to_json(const platform::Capabilities& table) {
  nlohmann::ordered_json json;
  json["driver"] = table.driver;
  json["mtu"] = table.mtu;
  json["mtu_most"] = table.mtu_most;
  json["rx_descriptors"] = table.rx_descriptors;
  json["tx_descriptors"] = table.tx_descriptors;
  json["rx_queues_most"] = table.rx_queues_most;
  json["tx_queues_most"] = table.tx_queues_most;
  json["chain_most"] = table.segments_most;
  json["tso_bytes_most"] = table.tso_bytes_most;
  json["features"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < platform::kFeatureCount; ++i) {
    const platform::Capability& row = table.features[i];
    json["features"].push_back({{"feature", platform::to_text(static_cast<platform::Feature>(i))},
                                {"offered", row.offered},
                                {"wanted", row.wanted},
                                {"used", row.used},
                                {"why_not", row.why_not}});
  }
  return json;
}

PortEvents::PortEvents(std::span<worker::Link* const> links, std::vector<PortReport> ports,
                       std::function<void(const std::string&)> note)
    : links_(links.begin(), links.end()),
      ports_(std::move(ports)),
      seen_(ports_.size()),
      note_(std::move(note)) {}

std::uint32_t PortEvents::word(std::size_t port) const noexcept {
  const PortReport& report = ports_[port];
  return links_[report.worker]->ports[report.index].load(std::memory_order_acquire);
}

bool PortEvents::has_news() const noexcept {
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if (word(i) != seen_[i]) return true;
  return false;
}

bool PortEvents::speaks(std::size_t port) const noexcept {
  for (std::size_t i = 0; i < port; ++i)
    if (ports_[i].name == ports_[port].name) return false;
  return true;
}

bool PortEvents::poll() {
  bool any = false;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const std::uint32_t now = word(i);
    const std::uint32_t before = std::exchange(seen_[i], now);
    if (now == before) continue;
    any = true;
    if (!speaks(i)) continue;
    note_(sentence(ports_[i], worker::port_state(now), worker::port_changes(before),
                   worker::port_changes(now)));
  }
  return any;
}

platform::PortState PortEvents::state(std::size_t port) const noexcept {
  return worker::port_state(word(port));
}

std::uint32_t PortEvents::changes(std::size_t port) const noexcept {
  return worker::port_changes(word(port));
}

}  // namespace pollux::service
