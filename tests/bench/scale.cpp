// The measurements of many sessions (see scale.hpp): prints one JSON object a line in the field
// names of scripts/bench.
#include "tests/bench/scale.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

namespace pollux::bench {

int fail(const std::string& error) {
  fmt::print(stderr, "scale: {}\n", error);
  return 1;
}

}  // namespace pollux::bench

int main(int argc, char** argv) {
  using namespace pollux::bench;
  ScaleOptions options;
  std::string measure;
  CLI::App app{"scale: what many sessions and a second core cost and give"};
  app.add_option("measure", measure)
      ->required()
      ->check(CLI::IsMember({"scale_cycles", "memory_per_connection", "fairness", "two_workers"}));
  app.add_flag("--short", options.is_short, "less time and fewer sessions, for a test");
  app.add_option("--sessions", options.sessions, "most sessions of scale_cycles and of memory");
  app.add_option("--cpu", options.cpu);
  app.add_option("--target-cpu", options.target_cpu);
  CLI11_PARSE(app, argc, argv);
  if (measure == "scale_cycles") return measure_scale_cycles(options);
  if (measure == "memory_per_connection") return measure_memory_per_connection(options);
  if (measure == "fairness") return measure_fairness(options);
  return measure_two_workers(options);
}
