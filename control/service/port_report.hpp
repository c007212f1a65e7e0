// Ports as control shows them: the table of what was negotiated with a driver, and the changes of
// links and addresses that workers report.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/platform/capabilities.hpp"
#include "dataplane/worker/address_report.hpp"
#include "dataplane/worker/link.hpp"

namespace pollux::service {

/// One port of one worker. `index` is its place among the worker's ports.
struct PortReport {
  std::string name;
  std::uint32_t worker = 0;
  std::uint32_t index = 0;
  net::IpAddress address{};             ///< IPv4; all zero: none
  platform::Capabilities capabilities;  ///< driver is empty for a wire without a table
};

/// The table as lines for a person, each without a newline.
[[nodiscard]] std::vector<std::string> describe(const PortReport& port);

/// The same for programs: driver, mtu, limits, and "features": a list of rows.
[[nodiscard]] nlohmann::ordered_json to_json(const platform::Capabilities& capabilities);

[[nodiscard]] const char* to_text(platform::PortState state) noexcept;

/// Whether the port's addresses are in use, for a person.
[[nodiscard]] std::string_view ipv4_words(const worker::AddressReport& report) noexcept;
[[nodiscard]] std::string_view ipv6_words(const worker::AddressReport& report) noexcept;

/// Watches what workers note in their links. Control thread only.
class PortEvents {
 public:
  /// The links outlive it. `note` gets one sentence for each change.
  PortEvents(std::span<worker::Link* const> links, std::vector<PortReport> ports,
             std::function<void(const std::string&)> note);

  /// Takes what is new; whether anything was.
  bool poll();
  /// Something is new: control must not sleep.
  [[nodiscard]] bool has_news() const noexcept;

  [[nodiscard]] const std::vector<PortReport>& ports() const noexcept { return ports_; }
  [[nodiscard]] platform::PortState state(std::size_t port) const noexcept;
  /// How often the state has changed since the start.
  [[nodiscard]] std::uint32_t changes(std::size_t port) const noexcept;
  /// Of the port with that name. Each worker checks for itself; the worst that one has found
  /// counts.
  [[nodiscard]] worker::AddressReport addresses(std::string_view name) const noexcept;

 private:
  /// Workers that share a port see the same; the first one's view is told.
  [[nodiscard]] bool speaks(std::size_t port) const noexcept;
  [[nodiscard]] std::uint32_t word(std::size_t port) const noexcept;
  [[nodiscard]] std::uint32_t addresses_of(std::size_t port) const noexcept;
  bool poll_addresses();
  void tell_addresses(std::size_t port, const worker::AddressReport& now);

  std::vector<worker::Link*> links_;
  std::vector<PortReport> ports_;
  std::vector<std::uint32_t> seen_;
  std::vector<std::uint32_t> seen_addresses_;
  std::vector<worker::AddressReport> told_;  ///< by each port's first row
  std::function<void(const std::string&)> note_;
};

}  // namespace pollux::service
