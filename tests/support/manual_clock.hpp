// Time for tests: an Instant that moves only when it is told to.
#pragma once

#include "dataplane/base/assert.hpp"
#include "dataplane/base/time.hpp"

namespace pollux::sim {

class ManualClock {
 public:
  /// Not zero, so that a forgotten "time 0" shows.
  explicit ManualClock(Instant start = Instant{1000s}) noexcept : now_(start) {}

  [[nodiscard]] Instant now() const noexcept { return now_; }
  void advance(Duration by) noexcept {
    POLLUX_ASSERT(by >= Duration::zero());
    now_ += by;
  }
  /// Never goes back.
  void set(Instant to) noexcept {
    POLLUX_ASSERT(to >= now_);
    now_ = to;
  }

 private:
  Instant now_;
};

}  // namespace pollux::sim
