#pragma once

namespace pollux::worker {

/// Wakes the thread that sleeps on an eventfd. The only system call a worker makes for control
/// traffic; it costs some 16,000 cycles, so callers ring only a sleeper and at most once a turn. -1
/// does nothing.
void ring(int event_fd) noexcept;

}  // namespace pollux::worker
