// The program `pollux`: from the command line to a verb, from what a verb throws to a sentence and
// an exit code. With --json a failure is also a document on standard output.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>

#include "control/cli/args.hpp"
#include "control/cli/interrupt.hpp"
#include "control/cli/render.hpp"
#include "control/cli/verbs.hpp"

namespace pollux::cli {
namespace {

struct Verb {
  std::string_view name;
  ExitCode (*run)(const Options&);
};

constexpr auto kVerbs = std::to_array<Verb>({
    {"discover", run_discover},
    {"login", run_login},
    {"logout", run_logout},
    {"sessions", run_sessions},
    {"send-targets", run_send_targets},
    {"luns", run_luns},
    {"inquiry", run_inquiry},
    {"capacity", run_capacity},
    {"read", run_read},
    {"write", run_write},
    {"verify", run_verify},
    {"bench", run_bench},
    {"status", run_status},
    {"stats", run_stats},
    {"top", run_top},
});

ExitCode run_verb(const Options& options) {
  const auto* verb = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& v) { return v.name == options.verb; });
  if (verb == kVerbs.end())
    throw Failure(ExitCode::internal, fmt::format("The verb '{}' has no code.", options.verb));
  return verb->run(options);
}

/// A verb that lists things has printed its empty list already, and data are no place for JSON.
bool wants_json_error(const Options& options, const Failure& failure) {
  const bool is_data_on_stdout = options.verb == "read" && options.file == "-";
  return options.json && failure.code() != ExitCode::no_objects && !is_data_on_stdout;
}

void print_json_error(const Options& options, const Failure& failure) {
  Json json = document("error");
  json["exit_code"] = static_cast<int>(failure.code());
  json["status"] = failure.isdsc() == 0 ? Json(nullptr) : Json(pollux_isdsc_name(failure.isdsc()));
  json["message"] = failure.what();
  // What top writes is read line by line.
  print(options.verb == "top" ? line_of(json) : text_of(json));
}

int run(std::vector<std::string> arguments) {
  ParsedArgs parsed;
  try {
    parsed = parse_args(std::move(arguments));
    if (parsed.text_instead) {
      print(*parsed.text_instead);
      return static_cast<int>(ExitCode::ok);
    }
    return static_cast<int>(run_verb(parsed.options));
  } catch (const Failure& failure) {
    fmt::print(stderr, "pollux: {}\n", failure.what());
    if (wants_json_error(parsed.options, failure)) print_json_error(parsed.options, failure);
    return static_cast<int>(failure.code());
  }
}

}  // namespace
}  // namespace pollux::cli

int main(int argc, char** argv) {
  pollux::cli::install_signal_handlers();
  try {
    return pollux::cli::run({argv + 1, argv + std::max(argc, 1)});
  } catch (const pollux::cli::Failure& failure) {
    fmt::print(stderr, "pollux: {}\n", failure.what());
    return static_cast<int>(failure.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "pollux: There is not enough memory.\n");
    return static_cast<int>(pollux::cli::ExitCode::out_of_memory);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pollux: This program failed: {}.\n", error.what());
    return static_cast<int>(pollux::cli::ExitCode::internal);
  }
}
