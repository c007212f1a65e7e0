// top: what the workers do, looked at again and again. A terminal is drawn over, a file gets one
// look after the other, a script one JSON object a line.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "control/cli/interrupt.hpp"
#include "control/cli/service_json.hpp"
#include "control/cli/top_view.hpp"
#include "control/cli/verbs.hpp"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint32_t kSliceMs = 100;  // how often the pause looks for Ctrl-C
constexpr std::string_view kWatching = "Watching the service";
constexpr std::string_view kClearAndHideCursor = "\033[2J\033[?25l";
constexpr std::string_view kShowCursor = "\033[?25h";

/// What the service has counted at one moment.
struct Sample {
  std::vector<WorkerSnapshot> workers;
  SteadyClock::time_point taken;
};

Sample take_sample(Connection& connection, const Options& options) {
  const Json stats =
      service_json(connection, "Asking for statistics", POLLUX_OP_STATS, options.deadline_ms());
  return {worker_snapshots(stats), SteadyClock::now()};
}

/// Failure when Ctrl-C or the end of the service comes first.
void pause_until(Connection& connection, SteadyClock::time_point end) {
  const std::string what(kWatching);
  while (!is_interrupted()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - SteadyClock::now());
    if (left.count() <= 0) return;
    // Nothing is under way that could complete: this notices when the service goes.
    static_cast<void>(connection.next(
        what, static_cast<std::uint32_t>(std::min<std::int64_t>(left.count(), kSliceMs))));
  }
  throw Failure(ExitCode::interrupted, fmt::format("{} was interrupted.", kWatching));
}

/// Standard output, in one of the three forms.
class Screen {
 public:
  explicit Screen(bool wants_json) : wants_json_(wants_json) {
    const char* terminal = std::getenv("TERM");
    const bool can_move = terminal != nullptr && std::string_view(terminal) != "dumb";
    is_drawn_over_ = !wants_json && can_move && isatty(STDOUT_FILENO) == 1;
    if (is_drawn_over_) print(kClearAndHideCursor);
  }
  ~Screen() {
    if (!is_drawn_over_) return;
    fmt::print("{}", kShowCursor);
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const TopView& view) {
    if (wants_json_) return print(line_of(top_json(view)));
    if (is_drawn_over_) return print(redrawn(top_text(view), size()));
    print((is_first_ ? "" : "\n") + top_text(view));
    is_first_ = false;
  }

 private:
  /// Asked for anew each time: a terminal may be drawn larger.
  static ScreenSize size() {
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0)
      return {};
    return {window.ws_row, window.ws_col};
  }

  bool wants_json_;
  bool is_drawn_over_ = false;
  bool is_first_ = true;
};

void watch(const Options& options) {
  Connection connection(options.service);
  const auto interval = std::chrono::duration_cast<SteadyClock::duration>(
      std::chrono::duration<double>(options.top.interval_s));
  Sample before = take_sample(connection, options);
  Screen screen(options.json);
  for (std::uint32_t looks = 0; options.top.count == 0 || looks < options.top.count; ++looks) {
    pause_until(connection, before.taken + interval);
    Sample now = take_sample(connection, options);
    const Json status = service_json(connection, "Asking for the service's status",
                                     POLLUX_OP_STATUS, options.deadline_ms());
    const std::chrono::duration<double> passed = now.taken - before.taken;
    screen.show(top_view(before.workers, now.workers, passed.count(), status));
    before = std::move(now);
  }
}

}  // namespace

ExitCode run_top(const Options& options) {
  try {
    watch(options);
  } catch (const Failure& failure) {
    // Ctrl-C is how one who named no count ends it.
    if (failure.code() != ExitCode::interrupted || options.top.count != 0) throw;
  }
  return ExitCode::ok;
}

}  // namespace pollux::cli
