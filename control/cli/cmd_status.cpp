// status and stats: the service's own JSON, passed on or laid out for people and collectors.
#include "control/cli/service_json.hpp"
#include "control/cli/stats_text.hpp"
#include "control/cli/verbs.hpp"
#include "pollux/operations.h"

namespace pollux::cli {

ExitCode run_status(const Options& options) {
  Connection connection(options.service);
  const Json json = service_json(connection, "Asking for the service's status", POLLUX_OP_STATUS,
                                 options.deadline_ms());
  print(options.json ? text_of(json) : flatten(json));
  return ExitCode::ok;
}

ExitCode run_stats(const Options& options) {
  if (options.json && options.prometheus)
    throw Failure(ExitCode::invalid_argument,
                  "Statistics are printed in one form: with --json or with --prometheus.");
  Connection connection(options.service);
  const Json json =
      service_json(connection, "Asking for statistics", POLLUX_OP_STATS, options.deadline_ms());
  if (options.json) {
    print_json(json);
  } else {
    print(options.prometheus ? prometheus_text(json) : stats_text(json));
  }
  return ExitCode::ok;
}

}  // namespace pollux::cli
