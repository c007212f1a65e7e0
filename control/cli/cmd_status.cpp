// status and stats: the service's own JSON, passed on or laid out one value a line.
#include <fmt/format.h>

#include "control/cli/operation.hpp"
#include "control/cli/render.hpp"
#include "control/cli/verbs.hpp"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

/// As a table of hundreds of counters is read: those that have counted something.
void drop_zeros(Json& json) {
  const auto protocols = json.find("protocols");
  if (protocols == json.end()) return;
  for (Json& report : *protocols)
    for (auto entry = report.begin(); entry != report.end();)
      entry = *entry == 0 && entry.key() != "worker" ? report.erase(entry) : std::next(entry);
}

constexpr std::size_t kJsonFirstBytes = std::size_t{64} << 10;

ExitCode print_service_json(const Options& options, const std::string& what, std::uint32_t opcode) {
  Connection connection(options.service);
  const Answer answer = connection.call(what, opcode, {}, kJsonFirstBytes, options.deadline_ms());
  if (const std::uint32_t status = status_of(what, answer); status != 0)
    throw failure_of_status(what, status);
  const auto out = output_of<pollux_status_out>(answer);
  const auto bytes = answer.bytes_at(offsetof(pollux_status_out, Json), out.JsonSize);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    throw Failure(ExitCode::internal,
                  fmt::format("{} failed: the service's answer is not a JSON object.", what));
  if (!options.json) drop_zeros(json);
  print(options.json ? text_of(json) : flatten(json));
  return ExitCode::ok;
}

}  // namespace

static_assert(offsetof(pollux_status_out, Json) == offsetof(pollux_stats_out, Json));

ExitCode run_status(const Options& options) {
  return print_service_json(options, "Asking for the service's status", POLLUX_OP_STATUS);
}

ExitCode run_stats(const Options& options) {
  return print_service_json(options, "Asking for statistics", POLLUX_OP_STATS);
}

}  // namespace pollux::cli
