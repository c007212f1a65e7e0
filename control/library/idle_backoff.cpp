#include "control/library/idle_backoff.hpp"

#include <algorithm>

namespace pollux::library {

IdleBackoff::IdleBackoff(const IdleOptions& options) noexcept
    : options_(options), next_nap_(std::min(kNapFirst, options.nap_max)) {}

IdleAction IdleBackoff::after_turn(bool is_busy, Instant now) noexcept {
  if (is_busy) {
    last_work_ = now;
    next_nap_ = std::min(kNapFirst, options_.nap_max);
    is_deadline_known_ = false;
    return IdleAction::turn;
  }
  const Duration idle = now - last_work_;
  if (idle < options_.spin) return IdleAction::turn;
  return idle < options_.spin + kPauseStage ? IdleAction::pause : IdleAction::nap;
}

bool IdleBackoff::wants_deadline(Instant now) const noexcept {
  return !is_deadline_known_ || now >= deadline_ || now - deadline_asked_ >= kDeadlineAge;
}

void IdleBackoff::know_deadline(Instant deadline, Instant now) noexcept {
  deadline_ = deadline;
  deadline_asked_ = now;
  is_deadline_known_ = true;
}

Duration IdleBackoff::nap_length(Instant now) noexcept {
  const Duration room = deadline_ - now - kWakeMargin;
  if (room < kNapLeast) return Duration::zero();
  const Duration length = std::min(next_nap_, room);
  next_nap_ = std::min(2 * next_nap_, options_.nap_max);
  return length;
}

}  // namespace pollux::library
