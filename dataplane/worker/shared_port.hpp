// One port shared by several workers. Each worker sees a Port of its own and knows nothing of the
// others: what arrives on its queue and is another's goes to that other by a ring, what it may not
// send itself goes to a worker that may. Whose a frame is, is computed for every frame, so it does
// not matter how much of the work the NIC does: with a NIC that steers as told nothing is ever
// handed over, with one queue for all of them everything is.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/platform/steering.hpp"
#include "dataplane/worker/handover.hpp"

namespace pollux::worker {

/// What the first frames of connections have shown of a port that was told to steer.
enum class SteeringVerdict : std::uint8_t {
  software,     ///< it was never told to
  unproved,     ///< nothing has arrived yet
  confirmed,    ///< the latest first segment came the way it should
  wrong_hash,   ///< it computes another hash than it was told to; for good
  wrong_queue,  ///< it computes the hash and puts the frame elsewhere; for good
};

struct SharedPortSetup {
  /// Queue pair i belongs to worker i; at least one. Workers behind the last have none.
  std::span<platform::Port* const> queues;
  /// One for each worker: its own.
  std::span<platform::PacketMemory* const> memories;
  const platform::Steering& steering;  ///< for as many workers; outlives the port
  bool device_steers = false;          ///< the port was told rule and key
  bool device_steers_ipv6 = false;     ///< else of IPv6 nothing is expected of it
  std::size_t ring_segments = 1024;    ///< of each ring; a power of two
};

class SharedPort {
 public:
  /// Start-up. Queues and memories outlive it.
  explicit SharedPort(const SharedPortSetup& setup);
  /// When no worker turns any more.
  ~SharedPort();
  SharedPort(const SharedPort&) = delete;
  SharedPort& operator=(const SharedPort&) = delete;

  /// The port as `worker` sees it. Thread: that worker's.
  [[nodiscard]] platform::Port& share(std::size_t worker) noexcept;
  /// Any thread.
  [[nodiscard]] const HandoverCounters& counters(std::size_t worker) const noexcept;
  [[nodiscard]] SteeringVerdict verdict() const noexcept {
    return verdict_.load(std::memory_order_relaxed);
  }

 private:
  class Share;

  [[nodiscard]] Lane& lane(std::size_t from, std::size_t to) noexcept {
    return *lanes_[from * workers_ + to];
  }

  std::size_t workers_;
  std::size_t queues_;
  std::size_t ring_segments_;
  std::vector<std::unique_ptr<Lane>> lanes_;    ///< [from][to]; null on the diagonal
  std::vector<std::unique_ptr<Relay>> relays_;  ///< of workers without a queue; else null
  std::vector<platform::PacketMemory*> memories_;
  std::vector<std::unique_ptr<Share>> shares_;
  const platform::Capabilities* capabilities_;
  bool steers_ipv6_;
  std::atomic<SteeringVerdict> verdict_;
  /// As the first worker saw it, for those without a queue.
  std::atomic<platform::PortState> state_{platform::PortState::up};
  std::atomic<std::uint32_t> downs_{0};  ///< times that it went down
};

}  // namespace pollux::worker
