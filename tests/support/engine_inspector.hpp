// Looks into an engine between events and tells which of its invariants does not hold. Only tests
// include this: it is the one place outside of dataplane/tcp that knows the inside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {

struct EngineInspector {
  using Impl = Engine::Impl;
  [[nodiscard]] static const Impl& of(const Engine& engine) { return *engine.impl_; }
};

}  // namespace pollux::tcp

namespace pollux::sim {

/// What an engine was seen in, as bits: of states (1 << State) and of ways to repair a loss.
struct Sightings {
  std::uint32_t states = 0;
  std::uint64_t newreno = 0;       ///< turns in fast recovery without SACK
  std::uint64_t sack = 0;          ///< and with it
  std::uint64_t loss = 0;          ///< turns in recovery after a timeout
  std::uint64_t limited = 0;       ///< turns with one or two duplicates counted
  std::uint64_t zero_windows = 0;  ///< turns in which the peer's window was closed
  std::uint64_t own_zero = 0;      ///< turns in which the own window was closed
};

/// Holds what must be remembered from one check to the next. One for each engine.
class EngineChecks {
 public:
  explicit EngineChecks(const tcp::Engine& engine);

  /// After input, timers and calls of the owner. Empty when all is well, else one sentence.
  std::string after_input();
  /// After output(): nothing that could be sent or must be waited for is forgotten.
  std::string after_output();
  [[nodiscard]] const Sightings& sightings() const { return sightings_; }

 private:
  struct Memory {
    std::uint32_t generation = 0;
    TcpSeq rcv_edge;
    TcpSeq snd_edge;  ///< right edge of the peer's window at its furthest
    bool synchronized = false;
  };
  std::string check(const tcp::Connection& c, Memory& memory);
  std::string check_scoreboard(const tcp::Connection& c) const;
  std::string check_queues(const tcp::Connection& c) const;
  std::string check_no_stall(const tcp::Connection& c) const;
  void see(const tcp::Connection& c);

  const tcp::Engine& engine_;
  const tcp::EngineInspector::Impl& impl_;
  std::vector<Memory> memory_;
  Sightings sightings_;
  std::uint64_t checks_ = 0;
  std::size_t connections_ = 0;  ///< before the last output
  std::uint64_t pure_acks_ = 0;
};

}  // namespace pollux::sim
