// A NIC with several queues at one end of a SimWire: it hashes what arrives with the key it was
// given, looks the queue up in its table, and puts the frame into memory of that queue's worker. On
// request it does so wrongly, as NICs have been seen to. Transmitted segments are given back late,
// each to the memory it came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/platform/port.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::sim {

struct SimNicOptions {
  platform::MacAddress mac{0x02, 0, 0, 0, 0, 1};
  std::uint16_t mtu = 1500;
  std::vector<std::uint8_t> key;     ///< empty: everything goes to queue 0
  std::vector<std::uint16_t> table;  ///< queue of each value of the hash's low bits
  bool reports_hash = true;
  bool scatter = false;  ///< frames come in two pieces, cut anywhere
  Duration completion = 20us;
  std::size_t transmit_most = SIZE_MAX;  ///< segments taken by one transmit()
};

class SimNic {
 public:
  /// One queue for each of `memories`.
  SimNic(SimWire& wire, std::size_t end, std::vector<HeapPacketMemory*> memories,
         const SimNicOptions& options);
  ~SimNic();
  SimNic(const SimNic&) = delete;
  SimNic& operator=(const SimNic&) = delete;

  [[nodiscard]] platform::Port& queue(std::size_t i) noexcept;
  [[nodiscard]] std::size_t received(std::size_t queue) const noexcept;
  /// Puts a frame into one queue, whatever its hash.
  void deliver(std::size_t queue, Frame frame);
  SimNicOptions& options() noexcept { return options_; }

 private:
  class Queue;
  void steer();

  SimWire& wire_;
  std::size_t end_;
  SimNicOptions options_;
  Random random_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace pollux::sim
