// One look of `pollux top`: as text for people, as one line of JSON for scripts, and cut to the
// size of a terminal that is drawn over.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "control/cli/worker_rates.hpp"

namespace pollux::cli {

struct TopSession {
  std::string id;
  std::string state;  ///< "logged in"
  std::uint64_t worker = 0;
  std::string portal;
  std::string target;
};

struct TopView {
  std::string instance;
  std::uint64_t pid = 0;
  std::uint64_t uptime_s = 0;
  double seconds = 0;  ///< that the rates are of
  std::vector<WorkerRates> workers;
  std::vector<TopSession> sessions;
};

/// `seconds` between the statistics of before and those of now.
[[nodiscard]] TopView top_view(const std::vector<WorkerSnapshot>& before,
                               const std::vector<WorkerSnapshot>& after, double seconds,
                               const Json& status);

[[nodiscard]] std::string top_text(const TopView& view);
[[nodiscard]] Json top_json(const TopView& view);

struct ScreenSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

/// Draws `text` from the upper left corner over what was there; what does not fit is left out.
[[nodiscard]] std::string redrawn(const std::string& text, ScreenSize size);

}  // namespace pollux::cli
