// One worker: ports, TCP and iSCSI of one core, and the order of a turn. poll_once() is the whole
// data path; whoever calls it (a pinned thread, an embedder, a simulation) brings the time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/counter.hpp"
#include "dataplane/base/random.hpp"
#include "dataplane/base/stage_clock.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/iscsi/initiator.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/port.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/worker/address_report.hpp"
#include "dataplane/worker/idle_reclaim.hpp"
#include "dataplane/worker/link.hpp"
#include "dataplane/worker/steered_ports.hpp"

namespace pollux::worker {

/// A port of the worker and how it is addressed.
struct PortSetup {
  platform::Port* port = nullptr;
  net::InterfaceConfig addressing;
  /// Of a port that several workers share: whose a connection is, and which of them this one is.
  /// Outlives the worker.
  const platform::Steering* steering = nullptr;
  unsigned index = 0;
};

struct WorkerSetup {
  std::vector<PortSetup> ports;
  tcp::EngineLimits tcp_limits;
  tcp::EngineTimers tcp_timers;
  iscsi::InitiatorSetup iscsi;
  std::uint64_t random_seed = 0;  ///< from the kernel's generator, or the simulation's seed
};

/// Written by the worker, read by anyone.
struct WorkerCounters {
  /// Frames of one burst: 1, 2, 3-4, 5-8, 9-16, 17-32, more.
  static constexpr std::size_t kBurstSizes = 7;

  Counter turns;
  /// Of turns that received, passed on, sent, took a command or fired a timer.
  Counter busy_cycles;
  Counter idle_cycles;
  /// From the end of a turn to the start of the next: whoever polls does something else. The three
  /// add up to the time since the first turn.
  Counter away_cycles;
  std::array<Counter, kBurstSizes> received_bursts;
  std::array<Counter, kBurstSizes> sent_bursts;
  Counter frames_received;
  Counter frames_sent;
  Counter doorbells;
  Counter buffers_in_use;  ///< sampled every kSampleTurns turns
  Counter tasks_in_use;
  Counter timers_armed;
  Counter reclaims;       ///< ports made to give back what they had sent
  Counter naps;           ///< sleeps of the worker's thread between two turns
  Counter nap_cycles;     ///< of them, part of idle_cycles
  Counter external_held;  ///< frames that still pointed into callers' memory after the last one
};

class Worker {
 public:
  /// All memory of the data path is taken here. `memory` and `link` outlive the worker.
  Worker(const WorkerSetup& setup, platform::PacketMemory& memory, Link& link, Instant start);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// One turn: bounded work, never blocks. Received frames are handled before timers fire, so that
  /// a worker that was held up does not retransmit what has been acknowledged meanwhile. Returns
  /// the units of work done; 0 means the turn was idle.
  std::size_t poll_once(Instant now) noexcept;

  /// As poll_once, and accounts for the cycles since `start`, when the turn began.
  std::size_t poll_counted(Instant now, std::uint64_t start, StageClock::Cycles cycles) noexcept;
  /// When the last counted turn ended: whoever does nothing else between two turns starts the next
  /// one there.
  [[nodiscard]] std::uint64_t turn_ended() const noexcept { return turn_ended_; }

  /// The worker's thread has rested since the last counted turn, asleep (`is_nap`) or not: what it
  /// took is idle time, and the next turn starts at `end`.
  void count_rest(std::uint64_t end, bool is_nap) noexcept;

  [[nodiscard]] bool stop_requested() const noexcept { return initiator_.stop_requested(); }
  /// Commands or pings are to be answered: frames will come, and nobody rings for them.
  [[nodiscard]] bool awaits_frames() const noexcept { return initiator_.tasks_in_use() != 0; }
  /// Earliest instant at which a timer has something to do. Slow: simulation and idle sleep.
  [[nodiscard]] Instant next_deadline() const noexcept;

  [[nodiscard]] const WorkerCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] const StageClock& stages() const noexcept { return stages_; }
  [[nodiscard]] const iscsi::Initiator& initiator() const noexcept { return initiator_; }
  [[nodiscard]] platform::PortState port_state(std::size_t path) const noexcept {
    return port_states_[path];
  }
  [[nodiscard]] std::size_t path_count() const noexcept { return paths_.size(); }
  [[nodiscard]] const tcp::Engine& engine(std::size_t path) const noexcept {
    return *engines_[path];
  }
  [[nodiscard]] const net::Interface& interface(std::size_t path) const noexcept {
    return *interfaces_[path];
  }

 private:
  /// Frames of any kind, those included that were another worker's.
  std::size_t receive(iscsi::Path& path, Instant now) noexcept;
  std::size_t hand_on_events(iscsi::Path& path, Instant now) noexcept;
  std::size_t catch_up(iscsi::Path& path, Instant now) noexcept;
  void take_path_errors(iscsi::Path& path, Instant now) noexcept;
  void ring_doorbell() noexcept;
  void sample() noexcept;
  void steer(const WorkerSetup& setup);
  void reclaim(Instant now) noexcept;
  [[nodiscard]] std::uint64_t external_in_flight() const noexcept;
  // port_check.cpp
  void check_ports(Instant now) noexcept;
  void check_addresses(Instant now) noexcept;
  void change_port(std::size_t path, platform::PortState state, Instant now) noexcept;
  [[nodiscard]] Instant next_port_check() const noexcept;
  std::size_t send(std::size_t path, Instant now) noexcept;

  static constexpr std::size_t kBurst = 64;
  static constexpr std::size_t kTimersPerTurn = 64;
  static constexpr Duration kHeldUp = 1ms;  ///< between two turns: no timer is shorter
  /// More than a receive ring holds, even if every frame came alone.
  static constexpr std::size_t kCatchUpBursts = 1024;
  static constexpr std::uint64_t kSampleTurns = 1024;
  static constexpr std::uint64_t kSampleNaps = 16;  ///< turns are rare then

  std::vector<std::unique_ptr<net::Interface>> interfaces_;
  std::vector<std::unique_ptr<SteeredPorts>> steered_ports_;
  std::vector<std::unique_ptr<tcp::Engine>> engines_;
  std::vector<iscsi::Path> paths_;
  std::vector<IdleReclaim> reclaims_;  // one for each path
  platform::PacketMemory& memory_;
  Link& link_;
  StageClock stages_;
  std::uint64_t turn_ended_ = 0;
  iscsi::Initiator initiator_;
  // Filled anew in every turn; here because clearing them as locals costs more than an idle turn.
  std::array<net::TcpDatagram, kBurst> datagrams_;
  std::array<tcp::Event, kBurst> events_;
  std::array<platform::PortState, kPortsMost> port_states_{};  ///< as of the last check
  std::array<AddressWatch, kPortsMost> address_watches_{};
  Instant next_port_check_;
  WorkerCounters counters_;
  Instant last_turn_at_;
};

}  // namespace pollux::worker
