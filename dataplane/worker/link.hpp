// The pair of rings between control and one worker, and the doorbell to a sleeping control thread.
#pragma once

#include <atomic>
#include <cstddef>

#include "dataplane/base/spsc_ring.hpp"
#include "dataplane/iscsi/mailbox.hpp"

namespace pollux::worker {

/// Created by control before the worker starts, destroyed after it has stopped.
struct Link {
  explicit Link(std::size_t connections)
      : to_worker(std::bit_ceil(8 * connections + 64)),
        to_control(std::bit_ceil(8 * connections + 64)) {}

  SpscRing<iscsi::ToWorker> to_worker;
  /// Never full: credits and one-message-per-state bound what a connection can have in it.
  SpscRing<iscsi::ToControl> to_control;

  /// Set by control before it sleeps and checks the rings once more; the worker that finds it set
  /// after pushing clears it and writes `doorbell_fd`, at most once a turn and at the end of the
  /// turn.
  std::atomic<bool> control_sleeps{false};
  int doorbell_fd = -1;  ///< eventfd of the control thread; -1 in simulation
};

}  // namespace pollux::worker
