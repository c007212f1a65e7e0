// The verbs. Each connects, does its work, prints its result and returns the exit code; what goes
// wrong leaves as a Failure.
#pragma once

#include "control/cli/options.hpp"

namespace pollux::cli {

ExitCode run_discover(const Options& options);
ExitCode run_login(const Options& options);
ExitCode run_logout(const Options& options);
ExitCode run_sessions(const Options& options);
ExitCode run_send_targets(const Options& options);
ExitCode run_luns(const Options& options);
ExitCode run_inquiry(const Options& options);
ExitCode run_capacity(const Options& options);
ExitCode run_read(const Options& options);
ExitCode run_write(const Options& options);
ExitCode run_verify(const Options& options);
ExitCode run_bench(const Options& options);
ExitCode run_status(const Options& options);
ExitCode run_stats(const Options& options);
ExitCode run_top(const Options& options);

}  // namespace pollux::cli
