// One queue pair of one DPDK port. The bring-up path is the same for NICs, taps, in-process rings
// and whatever else DPDK has a driver for; what differs between drivers is negotiated or listed in
// dpdk_device.cpp.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/counter.hpp"
#include "dataplane/platform/capabilities.hpp"
#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/platform/steering.hpp"

namespace pollux::platform {

struct PortOptions {
  /// Name of an existing port, PCI address, or a virtual device with arguments:
  /// "net_tap0,iface=dtap0".
  std::string name;
  std::uint16_t mtu = 1500;
  std::uint16_t rx_descriptors = 512;  ///< adjusted to what the driver takes
  std::uint16_t tx_descriptors = 512;
  std::uint16_t queues_most = 0;  ///< queue pairs; 0: one for each worker, as far as there are
  /// In-process ring only: checksums are neither computed nor checked, as a NIC would relieve us of
  /// it.
  bool emulate_checksum_offload = false;
  bool checksum_offload = true;  ///< false: software sums whatever the port can
  bool chains = true;            ///< false: every frame is copied into one buffer
  bool tso = true;               ///< false: the port is never asked to cut large segments
  /// net_af_packet may wait for ever inside a burst: only whoever knows that gets it.
  bool allow_blocking_driver = false;
  /// A link that is still down then is no error: check() tells.
  std::chrono::milliseconds link_wait{2000};
};

/// One writer, many readers. Frames, except where the name says otherwise.
struct PortCounters {
  Counter rx_frames;
  Counter rx_bytes;
  Counter rx_segments;          ///< buffers that frames came in
  Counter rx_bursts;            ///< that brought something
  Counter rx_dropped_segments;  ///< of more segments than receive() had room for
  Counter rx_dropped_empty;     ///< without a byte in them
  Counter tx_frames;            ///< the driver has taken
  Counter tx_bytes;
  Counter tx_segments;    ///< buffers and attached pieces that frames left in
  Counter tx_bursts;
  Counter tx_deferred;    ///< built, refused by the driver, kept for its next burst
  Counter tx_no_buffer;   ///< bursts cut short for want of buffers
  Counter tx_linearised;  ///< copied into one buffer for a driver that cannot chain as long
  Counter tx_linearised_bytes;
  Counter tx_large;             ///< large TCP segments that the port cuts itself
  Counter tx_dropped_oversize;  ///< longer than the MTU allows: some drivers would choke on it
  Counter tx_dropped_refused;   ///< the driver's checks said no
  Counter
      tx_dropped_stuck;  ///< the driver took nothing for so long that their memory was wanted back
  Counter tx_dropped_removed;  ///< held when the device went away or was reset
  Counter resets;              ///< that the device asked for and came back from
};

struct PortCounterRow {
  const char* name;
  Counter PortCounters::*member;
};
/// Every counter under the name it has in statistics.
inline constexpr auto kPortCounterRows = std::to_array<PortCounterRow>({
    {"rx_frames", &PortCounters::rx_frames},
    {"rx_bytes", &PortCounters::rx_bytes},
    {"rx_segments", &PortCounters::rx_segments},
    {"rx_bursts", &PortCounters::rx_bursts},
    {"rx_dropped_segments", &PortCounters::rx_dropped_segments},
    {"rx_dropped_empty", &PortCounters::rx_dropped_empty},
    {"tx_frames", &PortCounters::tx_frames},
    {"tx_bytes", &PortCounters::tx_bytes},
    {"tx_segments", &PortCounters::tx_segments},
    {"tx_bursts", &PortCounters::tx_bursts},
    {"tx_deferred", &PortCounters::tx_deferred},
    {"tx_no_buffer", &PortCounters::tx_no_buffer},
    {"tx_linearised", &PortCounters::tx_linearised},
    {"tx_linearised_bytes", &PortCounters::tx_linearised_bytes},
    {"tx_large", &PortCounters::tx_large},
    {"tx_dropped_oversize", &PortCounters::tx_dropped_oversize},
    {"tx_dropped_refused", &PortCounters::tx_dropped_refused},
    {"tx_dropped_stuck", &PortCounters::tx_dropped_stuck},
    {"tx_dropped_removed", &PortCounters::tx_dropped_removed},
    {"resets", &PortCounters::resets},
});
static_assert(kPortCounterRows.size() * sizeof(Counter) == sizeof(PortCounters));

/// What the device itself counted. Slow.
struct DeviceStatistics {
  std::uint64_t rx_missed = 0;  ///< frames lost because the receive ring was full
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_no_buffer = 0;  ///< allocations for the receive ring that failed
  std::uint64_t tx_errors = 0;
};

/// Thread: the worker's. The port stops and its frames are dropped at the end of its life.
class DpdkPort final : public Port {
 public:
  struct Impl;

  explicit DpdkPort(std::unique_ptr<Impl> impl) noexcept;
  ~DpdkPort();
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;

  [[nodiscard]] const PortInfo& info() const noexcept override;
  std::size_t receive(std::span<RxSegment> segments) noexcept override;
  /// Frames taken are sent in order, although a full driver may have them only at the next call of
  /// transmit(), receive() or reclaim(), each of which tries first what it refused before.
  std::size_t transmit(std::span<const TxSegment> segments) noexcept override;
  /// Call it while waiting for memory to come back. A driver that takes nothing during 65,536 calls
  /// in a row (a dead link) loses the frames that were deferred: the wait has a bound.
  void reclaim() noexcept override;
  [[nodiscard]] PortState check() noexcept override;
  void shut() noexcept override;

  [[nodiscard]] const PortCounters& counters() const noexcept;
  [[nodiscard]] DeviceStatistics device_statistics() const noexcept;
  /// DPDK's name of the driver, such as "net_tap".
  [[nodiscard]] const std::string& driver() const noexcept;
  /// Never null, constant.
  [[nodiscard]] const Capabilities* capabilities() const noexcept override;
  /// DPDK's number of the device, for whoever talks to the EAL beside us.
  [[nodiscard]] std::uint16_t device_id() const noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

/// Start-up: allocates and waits. nullptr: `error` is one sentence that says what to do. The EAL is
/// running; `memory` belongs to the same worker and outlives the port.
[[nodiscard]] std::unique_ptr<DpdkPort> open_port(const PortOptions& options,
                                                  DpdkPacketMemory& memory, std::string& error);

/// One device as several workers see it.
struct OpenedQueues {
  /// Queue pair i, polled by worker i. Fewer than workers when the device has fewer, never none.
  /// The device stops when the last of them goes.
  std::vector<std::unique_ptr<DpdkPort>> queues;
  /// Which worker a connection belongs to; the device has been told so as far as it can be.
  std::shared_ptr<const Steering> steering;
  bool device_steers = false;       ///< the device has taken key, hash and table
  bool device_steers_ipv6 = false;  ///< and hashes IPv6 too, which not every device can
  std::string words;                ///< how frames find their worker: one sentence for people
};

/// As open_port, for the workers whose memories are given. `seed` draws the hash key: an outsider
/// who knew it could aim at one worker.
[[nodiscard]] bool open_queues(const PortOptions& options,
                               std::span<DpdkPacketMemory* const> memories, std::uint64_t seed,
                               OpenedQueues& opened, std::string& error);

}  // namespace pollux::platform
