#include "dataplane/platform/driver_quirks.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <optional>

namespace pollux::platform {
namespace {

constexpr std::uint32_t kFrameOverhead = 18;  // Ethernet header and CRC
constexpr std::uint16_t kXdpHeadroom = 256;   // XDP_PACKET_HEADROOM of the kernel
/// What the kernel takes as one frame is a page: room for this MTU (memory_plan.cpp) and DPDK's
/// bookkeeping of the buffer.
constexpr std::uint16_t kXdpMtuMost = 3392;
constexpr std::uint32_t kMemifBufferDefault = 2048;

constexpr std::array kQuirks = {
    DriverQuirks{.driver = "net_tap",
                 .no_checksum = true,
                 .shared_address = true,
                 .link_always_up = true,
                 .no_tso = true},
    DriverQuirks{.driver = "net_ring", .any_frame = true},
    DriverQuirks{.driver = "net_af_xdp",
                 .linearise = true,
                 .no_checksum = true,
                 .rx_room_lost = kXdpHeadroom,
                 .mtu_most = kXdpMtuMost,
                 .pins_memory = true},
    DriverQuirks{.driver = "net_memif", .no_checksum = true, .one_buffer_per_frame = true},
    DriverQuirks{.driver = "net_af_packet", .linearise = true, .no_checksum = true, .blocks = true},
    DriverQuirks{.driver = "net_virtio", .rx_none_good = true},
    DriverQuirks{.driver = "net_virtio_user", .rx_none_good = true, .own_memory_only = true},
    DriverQuirks{.driver = "virtio_user", .rx_none_good = true, .own_memory_only = true},
    DriverQuirks{.driver = "net_vhost", .rx_none_good = true, .scatters_anyway = true},
};

constexpr DriverQuirks kNone{};

/// The value of `key` among comma-separated arguments.
std::optional<std::string_view> argument(std::string_view device, std::string_view key) {
  for (std::size_t at = device.find(','); at != std::string_view::npos;) {
    const std::size_t next = device.find(',', at + 1);
    const std::string_view word = device.substr(at + 1, next - at - 1);
    if (word.size() > key.size() && word.starts_with(key) && word[key.size()] == '=')
      return word.substr(key.size() + 1);
    at = next;
  }
  return std::nullopt;
}

bool complete_memif(const std::string& device, std::uint16_t mtu, std::string& arguments,
                    std::string& error) {
  const std::uint32_t frame = mtu + kFrameOverhead;
  const auto given = argument(device, "bsize");
  if (!given) {
    // The default is written out, so that a change of the driver's default changes nothing here.
    arguments += ",bsize=" + std::to_string(std::max(kMemifBufferDefault, std::bit_ceil(frame)));
    return true;
  }
  std::uint32_t bytes = 0;
  const auto [end, code] = std::from_chars(given->data(), given->data() + given->size(), bytes);
  if (code == std::errc{} && end == given->data() + given->size() && bytes >= frame) return true;
  error = "port " + device.substr(0, device.find(',')) + ": bsize must be at least " +
          std::to_string(frame) + " for an MTU of " + std::to_string(mtu) +
          ", because the driver mixes up frames that take more than one buffer";
  return false;
}

}  // namespace

const DriverQuirks& quirks_of(std::string_view driver) noexcept {
  const auto* found = std::find_if(kQuirks.begin(), kQuirks.end(), [&](const DriverQuirks& quirks) {
    return quirks.driver == driver;
  });
  return found == kQuirks.end() ? kNone : *found;
}

std::string_view driver_of_device(std::string_view device) noexcept {
  std::string_view name = device.substr(0, device.find(','));
  // An alias DPDK keeps from older days.
  if (name.starts_with("eth_af_packet")) return "net_af_packet";
  if (!name.starts_with("net_") && !name.starts_with("virtio_user")) return {};
  for (const DriverQuirks& quirks : kQuirks)
    if (name.starts_with(quirks.driver) && quirks.driver != "net_virtio") return quirks.driver;
  return {};
}

bool complete_device(const std::string& device, std::uint16_t mtu, bool allow_blocking_driver,
                     std::string& arguments, std::string& error) {
  arguments = device;
  const DriverQuirks& quirks = quirks_of(driver_of_device(device));
  if (quirks.blocks && !allow_blocking_driver) {
    error = "port " + device.substr(0, device.find(',')) +
            " is refused: net_af_packet can wait for ever inside a transmit burst and with it the "
            "worker; use net_af_xdp or net_tap, or set allow_blocking_driver = true for this port "
            "if a hang is acceptable";
    return false;
  }
  return !quirks.one_buffer_per_frame || complete_memif(device, mtu, arguments, error);
}

}  // namespace pollux::platform
