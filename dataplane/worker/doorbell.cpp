#include "dataplane/worker/doorbell.hpp"

#include <sys/eventfd.h>

namespace pollux::worker {

void ring(int event_fd) noexcept {
  if (event_fd < 0) return;
  // A full counter means the sleeper has not yet taken earlier rings: it wakes all the same.
  (void)eventfd_write(event_fd, 1);
}

}  // namespace pollux::worker
