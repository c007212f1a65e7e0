// What a worker's thread does after a turn that found nothing: turn again, pause for a moment, or
// sleep, and for how long. Decisions alone, with the time as an argument; who rests is
// napping_worker.cpp.
#pragma once

#include <cstdint>

#include "dataplane/base/time.hpp"

namespace pollux::library {

struct IdleOptions {
  Duration spin = 50us;  ///< after the last work the worker polls on as if it were busy
  Duration nap_max{};    ///< longest sleep; above zero
};

enum class IdleAction : std::uint8_t {
  turn,   ///< at once
  pause,  ///< for kPause, without a system call
  nap,    ///< as nap_length() says
};

/// Of one worker, used by its thread alone.
class IdleBackoff {
 public:
  static constexpr Duration kPause = 2us;
  static constexpr Duration kPauseStage = 100us;  ///< pauses before the first nap, after the spin
  static constexpr Duration kNapFirst = 10us;     ///< each following one is twice as long
  static constexpr Duration kNapLeast = 5us;      ///< less is not worth a system call
  /// Naps end this long before a deadline, because threads wake late.
  static constexpr Duration kWakeMargin = 50us;
  /// For how long a deadline is believed. It does not move while the worker is idle, unless a look
  /// at a port (ten a second) starts something.
  static constexpr Duration kDeadlineAge = 10ms;

  explicit IdleBackoff(const IdleOptions& options) noexcept;

  /// After a turn at `now`. `is_busy`: it did something, or what was sent before is to be answered.
  [[nodiscard]] IdleAction after_turn(bool is_busy, Instant now) noexcept;

  /// Whether know_deadline() is due before the next nap_length().
  [[nodiscard]] bool wants_deadline(Instant now) const noexcept;
  /// The earliest instant at which a timer has something to do; kNever when none has.
  void know_deadline(Instant deadline, Instant now) noexcept;
  /// How long to sleep; zero when a deadline is too near. Each call is taken for a nap.
  [[nodiscard]] Duration nap_length(Instant now) noexcept;

 private:
  IdleOptions options_;
  Instant last_work_{};
  Duration next_nap_;
  Instant deadline_{};
  Instant deadline_asked_{};
  bool is_deadline_known_ = false;
};

}  // namespace pollux::library
