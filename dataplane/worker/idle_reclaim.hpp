// When to make a port give back what it has sent. Drivers free lazily, and a queue that falls idle
// keeps its last frames, and the caller's memory that they point into, for as long as it stays
// idle. So the driver is poked within a bound after every burst, and again, ever more rarely, while
// memory of others is still held.
#pragma once

#include <algorithm>

#include "dataplane/base/time.hpp"

namespace pollux::worker {

/// One for each port. Thread: the worker's.
class IdleReclaim {
 public:
  static constexpr Duration kFirst = 1ms;  ///< after a burst
  static constexpr Duration kLongest = 64ms;

  void on_sent(Instant now) noexcept {
    sent_at_ = now;
    delay_ = kFirst;
    at_ = std::min(at_, now + kFirst);
  }
  [[nodiscard]] bool due(Instant now) const noexcept { return now >= at_; }
  /// Nothing was sent for a while: what is held now would stay.
  [[nodiscard]] bool is_idle(Instant now) const noexcept { return now >= sent_at_ + kFirst; }
  /// After the port was poked: `is_held` when an idle one has not given everything back.
  void on_reclaimed(bool is_held, Instant now) noexcept {
    if (!is_idle(now)) {
      at_ = sent_at_ + kFirst;
      return;
    }
    at_ = is_held ? now + delay_ : kNever;
    delay_ = std::min(2 * delay_, kLongest);
  }
  /// kNever when nothing is to be done.
  [[nodiscard]] Instant next_deadline() const noexcept { return at_; }

 private:
  Instant at_ = kNever;
  Instant sent_at_{};
  Duration delay_ = kFirst;
};

}  // namespace pollux::worker
