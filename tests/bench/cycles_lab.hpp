// One stack between memory and memory, for counting its cycles: a port and a packet memory that
// cost next to nothing, and the far ends of connections, which write the frames to be received and
// read those that were sent outside of what is measured.
#pragma once

#include <x86intrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/time.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::bench {

/// Buffers on a stack: allocation and release are a few instructions. Handles that it does not know
/// are received frames, which live in the lab: it counts them.
class FlatMemory final : public platform::PacketMemory {
 public:
  explicit FlatMemory(std::size_t buffers);

  std::size_t allocate(std::span<platform::FrameBuffer> buffers) noexcept override;
  platform::FrameBuffer allocate_reserved() noexcept override { return {}; }
  void release(std::span<void* const> handles) noexcept override;
  void retain(void*) noexcept override { ++retained_; }
  [[nodiscard]] std::uint32_t true_size() const noexcept override { return kBufferBytes; }
  [[nodiscard]] platform::TxTracker* tracker(std::size_t) noexcept override { return nullptr; }
  [[nodiscard]] std::size_t tracker_count() const noexcept override { return 0; }
  [[nodiscard]] std::uint32_t in_flight(const platform::TxTracker&) const noexcept override {
    return 0;
  }
  [[nodiscard]] std::size_t buffers_in_use() const noexcept override {
    return buffers_ - free_.size();
  }
  /// Received segments that came back.
  [[nodiscard]] std::uint64_t received_back() const noexcept { return received_back_ - retained_; }

 private:
  static constexpr std::uint32_t kBufferBytes = 2048;
  std::size_t buffers_;
  std::unique_ptr<std::byte[]> bytes_;
  std::vector<std::byte*> free_;
  std::uint64_t received_back_ = 0;
  std::uint64_t retained_ = 0;
};

/// Hands out the frames that the lab has laid ready and keeps a list of what was sent. Its own
/// cycles are counted, so that they can be taken off.
class MemoryPort final : public platform::Port {
 public:
  explicit MemoryPort(const platform::PortInfo& info) : info_(info) { sent_.reserve(2048); }

  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return info_; }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override;
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override;
  void reclaim() noexcept override {}
  [[nodiscard]] platform::PortState check() noexcept override { return platform::PortState::up; }
  void shut() noexcept override {}

  std::vector<platform::RxSegment>& ready() noexcept { return ready_; }
  std::vector<platform::TxSegment>& sent() noexcept { return sent_; }
  [[nodiscard]] std::uint64_t cycles() const noexcept { return cycles_; }

 private:
  platform::PortInfo info_;
  std::vector<platform::RxSegment> ready_;  // from next_ on
  std::size_t next_ = 0;
  std::vector<platform::TxSegment> sent_;
  std::uint64_t cycles_ = 0;
};

struct LabOptions {
  std::uint32_t connections = 1;
  std::uint16_t mtu = 1500;
  bool rx_sums_checked = true;  ///< the port vouches for checksums of received frames
  bool tx_sums_offloaded = true;
};

class Lab {
 public:
  static constexpr std::size_t kBurst = 32;

  /// Opens all connections: they are established and idle.
  explicit Lab(const LabOptions& options);

  /// Payload bytes of a full segment.
  [[nodiscard]] std::uint32_t segment_bytes() const noexcept;

  // Outside of what is measured.
  /// Lays a segment of connection `c` ready; payload of the burst's slot, whatever it holds.
  void lay_segment(std::uint32_t c, std::uint32_t payload_bytes);
  /// A pure ACK of `bytes` more than what the far end has acknowledged.
  void lay_ack(std::uint32_t c, std::uint32_t bytes);
  /// Reads what was sent and gives its buffers back; returns the frames.
  std::size_t collect();
  /// Queues one descriptor of `bytes` of external memory `pieces` times over and sends it all.
  void send_untimed(std::uint32_t c, std::uint32_t bytes, std::uint32_t pieces);
  /// The far end acknowledges everything, and time passes until the stack is still.
  void acknowledge_all(std::uint32_t c);

  // What is measured. Each returns stack cycles, the port's own taken off.
  /// A worker's turn: receive, timers, a reader that consumes all, output, flush.
  std::uint64_t turn();
  /// Turns that find nothing to do, a microsecond apart.
  std::uint64_t idle_turns(int count);
  /// Queues the descriptors and runs output and flush until nothing more leaves.
  std::uint64_t send(std::uint32_t c, std::uint32_t bytes, std::uint32_t pieces);

  [[nodiscard]] const tcp::Engine& engine() const noexcept { return *engine_; }
  [[nodiscard]] const net::Interface& interface() const noexcept { return *interface_; }
  [[nodiscard]] const FlatMemory& memory() const noexcept { return *memory_; }
  [[nodiscard]] std::uint64_t frames_laid() const noexcept { return frames_laid_; }
  [[nodiscard]] std::uint64_t segments_sent() const noexcept { return segments_sent_; }

 private:
  struct FarEnd {
    tcp::ConnectionId id;
    std::uint32_t snd_nxt = 0;
    std::uint32_t rcv_nxt = 0;  ///< one past the last byte that came
    std::uint32_t acked = 0;    ///< and what has been acknowledged of it
    std::uint32_t tsecr = 0;
    std::uint16_t port = 0;  ///< of our side
  };

  void open(std::uint32_t c);
  void run_turn() noexcept;
  void run_until_still();
  void lay(std::uint32_t c, std::uint8_t flags, std::uint32_t payload_bytes,
           std::span<const std::byte> options);
  void answer_arp(const platform::TxSegment& request);
  void read_frame(std::span<const platform::TxSegment> frame);
  [[nodiscard]] std::uint32_t time_ms() const noexcept;

  LabOptions options_;
  std::unique_ptr<FlatMemory> memory_;
  std::unique_ptr<MemoryPort> port_;
  std::unique_ptr<net::Interface> interface_;
  std::unique_ptr<tcp::Engine> engine_;
  std::vector<FarEnd> ends_;
  std::vector<std::uint32_t> end_of_port_;
  std::vector<std::byte> frames_;  // kSlots frames to be received
  std::size_t next_slot_ = 0;
  std::vector<std::byte> payload_;  // external memory that is sent
  tcp::SendReference reference_;
  std::array<net::TcpDatagram, 64> datagrams_;
  std::array<tcp::Event, 256> events_;
  Instant now_{std::chrono::seconds(1)};
  std::uint64_t frames_laid_ = 0;
  std::uint64_t segments_sent_ = 0;
  bool syn_came_ = false;
};

}  // namespace pollux::bench
