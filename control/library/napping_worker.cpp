#include "control/library/napping_worker.hpp"

#include <sys/prctl.h>

#include "dataplane/platform/cpu_pause.hpp"

namespace pollux::library {
namespace {

constexpr unsigned long kTimerSlackNanoseconds = 1000;  // instead of 50 us
constexpr std::uint64_t kPausesPerSecond = 1s / IdleBackoff::kPause;

}  // namespace

void NapGroup::enter(const worker::NapBell& own) noexcept {
  active_.fetch_add(1, std::memory_order_relaxed);
  if (!hands_over_()) return;
  // The fence in ring() pairs with the one in announce(): a worker that does not see us here sees
  // the bell.
  for (worker::NapBell* bell : bells_)
    if (bell != &own) bell->ring();
}

void NapGroup::leave() noexcept { active_.fetch_sub(1, std::memory_order_relaxed); }

bool NapGroup::keeps_awake() const noexcept {
  return active_.load(std::memory_order_relaxed) != 0 && hands_over_();
}

NappingWorker::NappingWorker(worker::Worker& worker, worker::NapBell& bell, NapGroup& group,
                             const platform::TscClock& clock, std::uint64_t tsc_hz,
                             const IdleOptions& options)
    : worker_(worker),
      bell_(bell),
      group_(group),
      clock_(clock),
      pause_cycles_(tsc_hz / kPausesPerSecond),
      backoff_(options) {}

void NappingWorker::run() noexcept {
  // Affects this thread alone. Should it fail, naps are longer than asked for, not wrong.
  (void)prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds, 0, 0, 0);
  std::uint64_t cycles = platform::TscClock::cycles();
  while (!worker_.stop_requested()) {
    const Instant now = clock_.at(cycles);
    const std::size_t work = worker_.poll_counted(now, cycles, &platform::TscClock::cycles);
    const IdleAction action = backoff_.after_turn(work != 0 || worker_.awaits_frames(), now);
    if (action == IdleAction::turn) {
      bell_.withdraw();
      set_active(true);
    } else {
      rest(action);
    }
    cycles = worker_.turn_ended();
  }
  set_active(false);
}

void NappingWorker::rest(IdleAction action) noexcept {
  const std::uint64_t start = worker_.turn_ended();
  const Duration nap = action == IdleAction::nap ? next_nap(clock_.at(start)) : Duration::zero();
  if (nap != Duration::zero()) {
    bell_.nap(nap);
  } else {
    platform::pause_until(start + pause_cycles_);
  }
  worker_.count_rest(platform::TscClock::cycles(), nap != Duration::zero());
}

Duration NappingWorker::next_nap(Instant now) noexcept {
  set_active(false);
  if (!bell_.is_announced()) {
    // One more turn follows, which sees what was brought by those who could not see this.
    bell_.announce();
    return Duration::zero();
  }
  if (group_.keeps_awake()) return Duration::zero();
  if (backoff_.wants_deadline(now)) backoff_.know_deadline(worker_.next_deadline(), now);
  return backoff_.nap_length(now);
}

void NappingWorker::set_active(bool is_active) noexcept {
  if (is_active == is_active_) return;
  is_active_ = is_active;
  if (is_active) {
    group_.enter(bell_);
  } else {
    group_.leave();
  }
}

}  // namespace pollux::library
