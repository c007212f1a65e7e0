// See progress.hpp.
#include "control/cli/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "control/cli/render.hpp"
#include "control/ratio.hpp"

namespace pollux::cli {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kDrawEvery{200};
constexpr int kBarCells = 24;
constexpr std::string_view kEraseLine = "\r\033[K";

}  // namespace

bool is_stderr_terminal() noexcept { return isatty(STDERR_FILENO) == 1; }

std::string progress_line(const std::string& label, std::uint64_t done,
                          std::optional<std::uint64_t> total, milliseconds elapsed) {
  std::string line = label;
  if (total && *total > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(*total));
    const int cells = static_cast<int>(share * kBarCells);
    line += fmt::format(" [{:=<{}}{:{}}] {:3.0f}%", "", cells, "", kBarCells - cells, share * 100);
  }
  line += fmt::format("  {}", human_size(done));
  const double seconds = duration<double>(elapsed).count();
  if (seconds <= 0 || done == 0) return line;
  const double rate = static_cast<double>(done) / seconds;
  line += fmt::format("  {:.1f} MiB/s", mib_per_second(static_cast<double>(done), seconds));
  if (total && *total > done) {
    const auto left = static_cast<std::uint64_t>(static_cast<double>(*total - done) / rate);
    line += fmt::format("  ETA {}:{:02}", left / 60, left % 60);
  }
  return line;
}

Progress::Progress(std::string label, std::optional<std::uint64_t> total_bytes)
    : label_(std::move(label)),
      total_(total_bytes),
      start_(steady_clock::now()),
      next_draw_(start_),
      is_shown_(is_stderr_terminal()) {}

Progress::~Progress() {
  // What the verb says next stands where the bar stood.
  if (is_drawn_) fmt::print(stderr, "{}", kEraseLine);
}

milliseconds Progress::elapsed() const {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start_);
}

void Progress::update(std::uint64_t done_bytes) {
  if (!is_shown_ || steady_clock::now() < next_draw_) return;
  draw(done_bytes);
}

void Progress::draw(std::uint64_t done_bytes) {
  fmt::print(stderr, "{}{}", kEraseLine, progress_line(label_, done_bytes, total_, elapsed()));
  std::fflush(stderr);
  is_drawn_ = true;
  next_draw_ = steady_clock::now() + kDrawEvery;
}

}  // namespace pollux::cli
