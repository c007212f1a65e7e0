#include "dataplane/worker/nap_bell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace pollux::worker {

void NapBell::nap(Duration length) noexcept {
  const timespec timeout{static_cast<time_t>(length / 1s), static_cast<long>((length % 1s) / 1ns)};
  // The kernel compares once more under its own lock: a ring between our look and the sleep is not
  // missed. Whatever ends the nap, the caller turns next.
  (void)syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, kAnnounced, &timeout, nullptr, 0);
}

void NapBell::wake() noexcept {
  // Of several ringers one makes the system call.
  if (state_.exchange(kAwake, std::memory_order_relaxed) != kAnnounced) return;
  (void)syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace pollux::worker
