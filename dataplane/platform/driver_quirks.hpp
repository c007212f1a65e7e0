// What Ethernet drivers of DPDK 22.11 do other than they say: one row for each, found by trying. A
// guard here has a test in tests/unit/platform/capabilities_test.cpp that fails without it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pollux::platform {

struct DriverQuirks {
  std::string_view driver;
  /// Sends wrong bytes from chained buffers: its copy path reads the whole frame out of the first.
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
  /// Waits inside a transmit burst for as long as the kernel likes: a worker may hang for ever.
  bool blocks = false;
  /// A frame longer than one of its buffers leaves a stale "more follows" flag behind, which mixes
  /// up later frames: the buffers ("bsize") must hold the longest frame.
  bool one_buffer_per_frame = false;
  /// Cuts large frames in software out of a small pool that can run dry, with the checksum
  /// functions above.
  bool no_tso = false;
  /// Bytes of each receive buffer that a frame cannot use.
  std::uint16_t rx_room_lost = 0;
  /// Says more than it can: queues cannot be set up with a larger one. 0: what it says holds.
  std::uint16_t mtu_most = 0;
  /// The other side reaches DPDK's own memory only, not what an application has registered.
  bool own_memory_only = false;
  /// Chains a received frame over buffers without offering it.
  bool scatters_anyway = false;
  /// The kernel must pin its memory, for which an ordinary user has a limit.
  bool pins_memory = false;
};

/// The row of `driver` (rte_eth_dev_info::driver_name); all defaults for one that behaves.
[[nodiscard]] const DriverQuirks& quirks_of(std::string_view driver) noexcept;

/// DPDK's name of the driver that a virtual device called `device` ("net_memif0,role=client") gets;
/// empty for a PCI address and for names that say nothing.
[[nodiscard]] std::string_view driver_of_device(std::string_view device) noexcept;

/// Completes the arguments of a virtual device where its driver's defaults are dangerous, and
/// refuses devices that cannot be made safe. `arguments` is what DPDK gets. False: `error` is one
/// sentence that says what to change.
[[nodiscard]] bool complete_device(const std::string& device, std::uint16_t mtu,
                                   bool allow_blocking_driver, std::string& arguments,
                                   std::string& error);

}  // namespace pollux::platform
