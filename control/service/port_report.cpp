#include "control/service/port_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/service/config_text.hpp"

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

/// The higher, the worse.
unsigned rank(net::Ipv6State state) noexcept {
  switch (state) {
    case net::Ipv6State::off:
      return 0;
    case net::Ipv6State::ready:
      return 1;
    case net::Ipv6State::checking:
      return 2;
    case net::Ipv6State::duplicate:
      return 3;
  }
  return 0;
}

}  // namespace

std::string_view ipv4_words(const worker::AddressReport& report) noexcept {
  return report.ipv4_contested ? "in use, and another station on the link uses it too"
                               : net::to_words(report.ipv4);
}

std::string_view ipv6_words(const worker::AddressReport& report) noexcept {
  switch (report.ipv6) {
    case net::Ipv6State::off:
      return "off";
    case net::Ipv6State::checking:
      return "being checked for duplicates";
    case net::Ipv6State::ready:
      return report.ipv6_contested ? "ready, and another station on the link uses one of them too"
                                   : "ready";
    case net::Ipv6State::duplicate:
      return "duplicate: another station has this address, so it is not used";
  }
  return "unknown";
}

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
      seen_addresses_(ports_.size()),
      told_(ports_.size()),
      note_(std::move(note)) {}

std::uint32_t PortEvents::word(std::size_t port) const noexcept {
  const PortReport& report = ports_[port];
  return links_[report.worker]->ports[report.index].load(std::memory_order_acquire);
}

std::uint32_t PortEvents::addresses_of(std::size_t port) const noexcept {
  const PortReport& report = ports_[port];
  return links_[report.worker]->addresses[report.index].load(std::memory_order_acquire);
}

worker::AddressReport PortEvents::addresses(std::string_view name) const noexcept {
  worker::AddressReport worst;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].name != name) continue;
    const worker::AddressReport one = worker::address_report(addresses_of(i));
    worst.ipv4 = std::max(worst.ipv4, one.ipv4);
    if (rank(one.ipv6) > rank(worst.ipv6)) worst.ipv6 = one.ipv6;
    worst.ipv4_contested |= one.ipv4_contested;
    worst.ipv6_contested |= one.ipv6_contested;
  }
  return worst;
}

bool PortEvents::has_news() const noexcept {
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if (word(i) != seen_[i] || addresses_of(i) != seen_addresses_[i]) return true;
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
  return poll_addresses() || any;
}

bool PortEvents::poll_addresses() {
  bool any = false;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const std::uint32_t now = addresses_of(i);
    any |= std::exchange(seen_addresses_[i], now) != now;
  }
  if (!any) return false;
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if (speaks(i)) tell_addresses(i, addresses(ports_[i].name));
  return true;
}

/// What is being checked has been neither found nor lost: a conflict that the next check, a minute
/// later, finds again is no news.
void PortEvents::tell_addresses(std::size_t port, const worker::AddressReport& now) {
  worker::AddressReport& told = told_[port];
  const std::string& name = ports_[port].name;
  const std::string address = to_text(ports_[port].address);
  if (now.ipv4 != net::AddressState::probing && now.ipv4 != told.ipv4) {
    told.ipv4 = now.ipv4;
    note_(now.ipv4 == net::AddressState::conflict
              ? fmt::format("port {}: another station on the link has {}, so it is not used; asked "
                            "again every minute",
                            name, address)
              : fmt::format("port {}: nobody else has {} any more: it is in use", name, address));
  }
  if (std::exchange(told.ipv4_contested, now.ipv4_contested) != now.ipv4_contested) {
    note_(now.ipv4_contested
              ? fmt::format("port {}: {} is in use, and another station on the link uses it too",
                            name, address)
              : fmt::format("port {}: nobody else was seen to use {} for a minute", name, address));
  }
  if (now.ipv6 != net::Ipv6State::checking && now.ipv6 != told.ipv6) {
    if (now.ipv6 == net::Ipv6State::duplicate)
      note_(
          fmt::format("port {}: another station on the link has one of its IPv6 addresses, which "
                      "is not used",
                      name));
    else if (told.ipv6 == net::Ipv6State::duplicate)
      note_(fmt::format("port {}: its IPv6 addresses are in use", name));
    told.ipv6 = now.ipv6;
  }
  if (std::exchange(told.ipv6_contested, now.ipv6_contested) != now.ipv6_contested) {
    note_(now.ipv6_contested
              ? fmt::format(
                    "port {}: another station on the link uses one of its IPv6 addresses too", name)
              : fmt::format("port {}: nobody else was seen to use its IPv6 addresses for a minute",
                            name));
  }
}

platform::PortState PortEvents::state(std::size_t port) const noexcept {
  return worker::port_state(word(port));
}

std::uint32_t PortEvents::changes(std::size_t port) const noexcept {
  return worker::port_changes(word(port));
}

}  // namespace pollux::service
