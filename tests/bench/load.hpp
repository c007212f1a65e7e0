// Commands without end through one queue of the public API: what a benchmark submits, and what it
// notes about each answer.
#pragma once

#include <pollux/pollux.h>

#include <cstdint>
#include <string>
#include <vector>

#include "control/service/latency_histogram.hpp"
#include "dataplane/base/random.hpp"

namespace pollux::bench {

struct LoadOptions {
  std::string workload = "randread";  ///< read, randread, write, randwrite or randrw
  std::string memory = "placed";      ///< reads: placed or lent; writes: plain or registered
  std::uint32_t read_percent = 70;    ///< of randrw
  std::uint32_t io_size = 4096;
  std::uint32_t depth = 32;       ///< commands in flight of each session
  std::uint64_t working_set = 0;  ///< bytes that the buffers spread over; 0: as many as needed
  std::uint64_t lun_bytes = 256u << 20;
  std::uint32_t block_bytes = 512;
};

/// Thread: whoever polls the queue's worker.
class Load {
 public:
  Load(LoadOptions options, pollux_instance& instance, std::uint32_t worker,
       std::vector<pollux_session_id> sessions, std::uint64_t lun);
  /// Waits for what is open: the worker is turned here.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Makes the queue and its memory. False: `error` is one sentence.
  bool open(std::string& error);

  /// Submits until every place is in flight.
  void fill();
  /// Fetches what has completed and, when `again`, submits as much anew in one batch. Returns how
  /// many completed.
  std::size_t reap(bool again);

  [[nodiscard]] std::uint64_t in_flight() const noexcept { return in_flight_; }

  /// What was counted since the last forget().
  void forget();
  [[nodiscard]] std::uint64_t completed() const noexcept { return completed_; }
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
  /// In cycles of the time stamp counter.
  [[nodiscard]] const service::LatencyHistogram& latencies() const noexcept { return latencies_; }
  /// Commands completed of each session.
  [[nodiscard]] const std::vector<std::uint64_t>& completed_by_session() const noexcept {
    return by_session_;
  }

 private:
  static constexpr std::size_t kBatch = 32;

  struct Slot {
    std::uint64_t started = 0;
    std::uint32_t session = 0;
    iovec iov{};
  };

  void prepare(Slot& slot, pollux_command& command);
  void submit(const pollux_command* commands, std::size_t count);

  LoadOptions options_;
  pollux_instance& instance_;
  std::uint32_t worker_;
  std::vector<pollux_session_id> sessions_;
  std::uint64_t lun_;
  pollux_queue* queue_ = nullptr;
  pollux_region* region_ = nullptr;
  std::byte* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::size_t next_buffer_ = 0;
  std::vector<Slot> slots_;
  Random random_{42};
  std::uint64_t next_lba_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t failed_ = 0;
  std::vector<std::uint64_t> by_session_;
  service::LatencyHistogram latencies_;
};

}  // namespace pollux::bench
