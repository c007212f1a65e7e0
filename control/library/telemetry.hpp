// An instance on DPDK's telemetry socket: /pollux/workers, /pollux/worker,N and /pollux/stages,N.
#pragma once

#include <pollux/pollux.h>

namespace pollux::library {

/// From now on the commands tell about `instance`, the latest if there are several. Its workers
/// exist already.
void attach_telemetry(const pollux_instance& instance);
/// When this returns, no command looks at `instance` any more. Does nothing if it is another's
/// turn.
void detach_telemetry(const pollux_instance& instance);

}  // namespace pollux::library
