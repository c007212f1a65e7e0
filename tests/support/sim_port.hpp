// A Port at one end of a SimWire, as awkward as drivers are: it takes less than it is offered,
// copies what it sends, gives buffers back late and out of order, and cuts received frames into
// pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "dataplane/base/random.hpp"
#include "dataplane/platform/port.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::sim {

enum class RxChecksum : std::uint8_t {
  unknown,       ///< no flag: the stack verifies
  verified,      ///< the port verifies and says good or bad
  assumed_good,  ///< the port says good without looking, as a wire inside one process does
};

struct SimPortOptions {
  platform::MacAddress mac{0x02, 0, 0, 0, 0, 1};
  std::uint16_t mtu = 1500;
  bool tx_checksum = false;  ///< IPv4 and TCP, when the frame asks for it
  RxChecksum rx_checksum = RxChecksum::unknown;
  bool vlan_offload = false;  ///< puts tags in and takes them out itself
  bool scatter = false;       ///< received frames come in 1 to 3 pieces, cut anywhere
  std::uint8_t tx_segments_max = 8;
  std::uint32_t tso_bytes_max = 0;  ///< not 0: cuts large segments as a NIC does; takes tx_checksum
  std::uint8_t tso_segments_max = 16;
  bool tx_external = true;               ///< false: no frame may point into foreign memory
  std::size_t tx_ring_segments = 1024;   ///< taken and not completed; more is not taken
  std::size_t transmit_most = SIZE_MAX;  ///< segments taken by one transmit()
  std::size_t rx_ring_frames = 1024;
  Duration completion_min = 1us;   ///< reclaim() completes what is older than this
  Duration completion_max = 50us;  ///< without reclaim: a random time between both
  /// A slow NIC reads memory until it completes: bytes that have changed by then abort.
  bool watch_memory = false;
  /// Nothing is computed or verified where the port is said to do it, for bulk runs.
  bool free_checksums = false;
};

struct SimPortHits {
  std::uint64_t rx_no_buffer = 0, rx_overflow = 0, rx_too_many_segments = 0, rx_scattered = 0;
  std::uint64_t tx_refused = 0, tx_frames = 0, tx_segments = 0, tx_late = 0;
  std::uint64_t tx_large = 0, tx_cut = 0;  ///< large segments, and the frames they became
  std::size_t pieces_most = 0;             ///< of a frame that is not large
  std::size_t large_pieces_most = 0, large_bytes_most = 0;
};

class SimPort final : public platform::Port {
 public:
  SimPort(SimWire& wire, std::size_t end, HeapPacketMemory& memory,
          const SimPortOptions& options = {});
  /// Completes what is in flight and forgets what arrived.
  ~SimPort();
  SimPort(const SimPort&) = delete;
  SimPort& operator=(const SimPort&) = delete;

  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return info_; }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override;
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override;
  void reclaim() noexcept override;
  [[nodiscard]] platform::PortState check() noexcept override;
  void shut() noexcept override;
  /// The device goes away; check() tells whoever asks.
  void remove() noexcept { removed_ = true; }
  /// Pause frames of the switch: the ring takes nothing.
  void set_stalled(bool yes) noexcept { stalled_ = yes; }
  /// For those who watch the wire: the frame they see is a part of a large segment.
  [[nodiscard]] bool is_cutting() const noexcept { return is_cutting_; }

  SimPortOptions& options() noexcept { return options_; }
  [[nodiscard]] const SimPortHits& hits() const noexcept { return hits_; }
  /// Segments taken and not given back yet.
  [[nodiscard]] std::size_t in_flight() const noexcept;
  [[nodiscard]] std::size_t waiting() const noexcept { return arrived_.size(); }

  // For the wire.
  void arrived(Frame frame);
  [[nodiscard]] Instant next_completion() const noexcept { return next_completion_; }
  void complete(Instant now) noexcept;

 private:
  struct Arrived {
    Frame frame;
    std::vector<std::size_t> ends;  // of the pieces
    std::uint16_t flags = 0;
    std::uint16_t vlan = 0;
  };
  struct InFlight {
    Instant earliest;
    Instant due;
    void* handle = nullptr;
    platform::TxTracker* tracker = nullptr;
    std::span<const std::byte> bytes;  // watched
    std::uint64_t digest = 0;
  };
  void send_frame(std::span<const platform::TxSegment> segments);
  void cut(Arrived& arrived);
  void complete_checksums(Frame& frame, const platform::TxSegment& head) const;
  void send_large(const Frame& frame, const platform::TxSegment& head);
  void finish(const InFlight& done) noexcept;
  void complete_older(Instant InFlight::*age, Instant than) noexcept;
  bool deliver(const Arrived& arrived, std::span<platform::RxSegment> segments) noexcept;

  SimWire& wire_;
  std::size_t end_;
  HeapPacketMemory& memory_;
  SimPortOptions options_;
  platform::PortInfo info_;
  Random random_;
  SimPortHits hits_;
  std::deque<Arrived> arrived_;
  std::vector<InFlight> in_flight_;
  Instant next_completion_ = kNever;  // the earliest due of all
  bool removed_ = false;
  bool stalled_ = false;
  bool is_cutting_ = false;
};

}  // namespace pollux::sim
