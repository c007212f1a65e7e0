// The embedded target at the far end of a wire inside the process: what "ring:NAME" means in
// pollux-lab and in the benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/library/instance.hpp"
#include "tests/target/lab_thread.hpp"

namespace pollux::target {

struct LabOptions {
  TargetConfig target;
  net::IpAddress address = net::IpAddress::v4(10, 99, 0, 1);
  /// fd99::1. Nobody else is on this wire, so that it is not checked for duplicates.
  net::IpAddress address6{{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  int cpu = -1;                      ///< of the target's thread; -1: not pinned
  std::uint32_t wire_frames = 1024;  ///< in flight in each direction; power of two
  bool emulate_checksum_offload =
      true;  ///< as between two NICs; false: software sums on both sides
};

/// EAL memory of one target's pools, for OpenSetup::ring_memory_mib.
inline constexpr std::uint32_t kLabMemoryMib = 96;

/// One target for each ring port that is opened. Outlives the instance.
class Lab {
 public:
  explicit Lab(LabOptions options) : options_(std::move(options)) {}

  [[nodiscard]] library::RingPortSource port_source();

  /// The target of the first port; null before the instance has opened it and after it was closed.
  [[nodiscard]] LabThread* thread() noexcept;
  /// The instance's end of that wire; null as thread() is.
  [[nodiscard]] platform::DpdkPort* near_port() noexcept;

 private:
  struct Wire;
  LabOptions options_;
  std::weak_ptr<Wire> first_;
};

}  // namespace pollux::target
