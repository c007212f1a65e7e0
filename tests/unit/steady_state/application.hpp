// An application on the public queue API that polls its worker itself, and the embedded target at
// the other end of a wire inside the process.
#pragma once

#include <pollux/pollux.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "control/library/instance.hpp"
#include "dataplane/base/units.hpp"
#include "tests/target/lab.hpp"

namespace pollux::steady {

enum class Kind { lent_read, placed_read, registered_write, plain_write, all };

/// What the worker's own counters say about copies.
struct CopyCounters {
  std::uint64_t iscsi = 0;       ///< to the caller's memory, to snapshots, to control
  std::uint64_t tcp = 0;         ///< into frames, headers of PDUs included
  std::uint64_t linearised = 0;  ///< frames that the driver cannot take in pieces
  std::uint64_t sent_again = 0;  ///< retransmissions, which copy
};

class Application {
 public:
  /// `wire` as behind "ring:". ready() says whether it has logged in.
  Application(const std::string& wire, bool digests);
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  [[nodiscard]] bool ready() const { return queue_ != nullptr && region_ != nullptr; }

  struct Work {
    Kind kind = Kind::all;
    std::uint64_t commands = 0;
    /// Every sixteenth command moves 64 KiB instead of 4.
    bool long_ones = true;
    /// The worker is turned for that long at least, without commands if need be.
    std::chrono::milliseconds at_least{0};
    /// Sleeps after a turn without work, so that turns do not add up while the target is held up.
    bool rests = false;
  };
  struct Done {
    std::uint64_t commands = 0;
    std::uint64_t bytes = 0;
    std::uint64_t failed = 0;
  };
  /// On the calling thread. Allocates nothing and makes no system call of its own but to rest.
  Done run(const Work& work);

  /// From here on, for good, each turn comes 50 microseconds of the worker's time after the last,
  /// however long it takes: else a stepped worker finds that all its timers have expired.
  void hold_time();

  [[nodiscard]] CopyCounters copies() const;
  /// Memory of the caller, which reads go to and writes come from.
  [[nodiscard]] std::span<const std::byte> memory() const { return {memory_, kSlots * kLongBytes}; }
  /// Where the worker keeps what is written from memory that is not registered.
  [[nodiscard]] std::span<const std::byte> snapshots() const;

 private:
  static constexpr std::uint32_t kShortBytes = 4 * KiB;
  static constexpr std::uint32_t kLongBytes = 64 * KiB;
  static constexpr std::size_t kSlots = 32;

  void open(const std::string& wire);
  void log_in(bool digests);
  void make_queue();
  std::size_t turn();
  std::uint32_t submit(std::size_t slot, std::uint64_t number, const Work& work);

  std::optional<target::Lab> lab_;
  pollux_instance* instance_ = nullptr;
  pollux_session_id session_ = 0;
  pollux_queue* queue_ = nullptr;
  pollux_region* region_ = nullptr;
  std::byte* memory_ = nullptr;
  std::array<iovec, kSlots> iov_{};
  std::optional<Instant> held_now_;
};

}  // namespace pollux::steady
