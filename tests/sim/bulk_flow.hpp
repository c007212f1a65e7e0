// One bulk transfer between two engines in virtual time, as fast as the simulation can: nothing is
// computed that does not decide about the outcome.
#pragma once

#include <cstdint>

#include "dataplane/base/time.hpp"
#include "dataplane/tcp/congestion_options.hpp"

namespace pollux::sim {

struct BulkOptions {
  std::uint64_t seed = 1;
  std::uint64_t bytes = 64ull << 20;
  std::uint16_t mtu = 1500;
  Duration round_trip = 50us;
  std::uint32_t loss_ppm = 0;  ///< of frames, in both directions
  std::uint32_t buffer_bytes = 1 << 20;
  std::uint64_t bits_per_second = 25'000'000'000;
  bool sack = true;
  bool timestamps = true;
  bool rack = true;
};

struct BulkResult {
  bool complete = false;  ///< every byte came, once and in order
  Duration time{};
  std::uint64_t retransmitted = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t tail_probes = 0;
  std::uint64_t spurious = 0;              ///< recoveries taken back
  std::uint64_t lost = 0;                  ///< frames
  std::uint64_t lost_retransmissions = 0;  ///< of those, data that had been sent before
  [[nodiscard]] double megabits_per_second(std::uint64_t bytes) const {
    return time.count() == 0 ? 0
                             : static_cast<double>(bytes) * 8e3 / static_cast<double>(time.count());
  }
};

BulkResult run_bulk(const BulkOptions& options);

}  // namespace pollux::sim
