// See top_view.hpp.
#include "control/cli/top_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "control/cli/service_json.hpp"

namespace pollux::cli {
namespace {

using Row = std::vector<std::string>;

/// Below this a column grows and shrinks with its numbers, and the eye loses its place.
constexpr std::size_t kColumnLeast = 6;
constexpr std::string_view kHome = "\033[H";
constexpr std::string_view kEndOfLine = "\033[K";
constexpr std::string_view kEndOfScreen = "\033[J";

/// Numbers under their headings, which are the first row.
std::string aligned_right(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), kColumnLeast);
  for (const Row& row : rows)
    for (std::size_t i = 0; i < widths.size() && i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i)
      text += fmt::format("{}{:>{}}", i == 0 ? "" : "  ", i < row.size() ? row[i] : "", widths[i]);
    text += '\n';
  }
  return text;
}

std::string workers_text(const TopView& view) {
  std::vector<Row> rows = {{"WORKER", "IOPS", "READ MiB/s", "WRITE MiB/s", "BUSY %", "CYCLES/IO",
                            "RX BURST", "TX BURST", "RETRANS/s", "BUFFERS", "TASKS"}};
  for (std::size_t i = 0; i < view.workers.size(); ++i) {
    const WorkerRates& rates = view.workers[i];
    rows.push_back(
        {fmt::format("{}", i), fmt::format("{:.0f}", rates.iops),
         fmt::format("{:.1f}", rates.read_mib), fmt::format("{:.1f}", rates.written_mib),
         fmt::format("{:.1f}", rates.busy_percent), fmt::format("{:.0f}", rates.cycles_per_io),
         fmt::format("{:.1f}", rates.received_burst), fmt::format("{:.1f}", rates.sent_burst),
         fmt::format("{:.1f}", rates.retransmissions), fmt::format("{}", rates.buffers_in_use),
         fmt::format("{}", rates.tasks_in_use)});
  }
  return aligned_right(rows);
}

std::string stages_text(const TopView& view) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < view.workers.size(); ++i) {
    const auto& stages = view.workers[i].stage_percent;
    if (stages.empty()) continue;
    if (rows.empty()) {
      Row& heading = rows.emplace_back(Row{"% OF BUSY"});
      for (const auto& [name, share] : stages) heading.push_back(name);
    }
    Row& row = rows.emplace_back(Row{fmt::format("{}", i)});
    for (const auto& [name, share] : stages) row.push_back(fmt::format("{:.1f}", share));
  }
  return rows.empty() ? std::string{} : "\n" + aligned_right(rows);
}

std::string sessions_text(const TopView& view) {
  if (view.sessions.empty()) return "\nno sessions\n";
  Table table({"SESSION", "STATE", "WORKER", "PORTAL", "TARGET"});
  for (const TopSession& session : view.sessions)
    table.add({session.id, session.state, fmt::format("{}", session.worker), session.portal,
               session.target});
  return "\n" + table.text();
}

/// "LOGGED_IN" as people write it.
std::string in_words(std::string state) {
  for (char& c : state)
    c = c == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return state;
}

/// As much of a line as a terminal has columns, and no half of a character.
std::string_view cut(std::string_view line, std::size_t columns) {
  if (line.size() <= columns) return line;
  std::size_t end = columns;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end);
}

}  // namespace

TopView top_view(const std::vector<WorkerSnapshot>& before,
                 const std::vector<WorkerSnapshot>& after, double seconds, const Json& status) {
  TopView view;
  view.instance = text_in(status, "instance");
  view.pid = number_in(status, "pid");
  view.uptime_s = number_in(status, "uptime_seconds");
  view.seconds = seconds;
  for (std::size_t i = 0; i < after.size(); ++i)
    view.workers.push_back(
        rates_between(i < before.size() ? before[i] : WorkerSnapshot{}, after[i], seconds));
  for (const Json& entry : list_in(status, "sessions")) {
    if (!entry.is_object()) continue;
    view.sessions.push_back({.id = text_in(entry, "id"),
                             .state = in_words(text_in(entry, "state")),
                             .worker = number_in(entry, "worker"),
                             .portal = text_in(entry, "portal"),
                             .target = text_in(entry, "target")});
  }
  return view;
}

std::string top_text(const TopView& view) {
  const std::uint64_t minutes = view.uptime_s / 60;
  return fmt::format("pollux {}  pid {}  up {}:{:02}:{:02}  over {:.2f} s\n\n{}{}{}", view.instance,
                     view.pid, minutes / 60, minutes % 60, view.uptime_s % 60, view.seconds,
                     workers_text(view), stages_text(view), sessions_text(view));
}

Json top_json(const TopView& view) {
  Json json = document("top");
  json["instance"] = view.instance;
  json["pid"] = view.pid;
  json["uptime_seconds"] = view.uptime_s;
  json["seconds"] = view.seconds;
  json["workers"] = Json::array();
  for (const WorkerRates& rates : view.workers) {
    Json stages = Json::object();
    for (const auto& [name, share] : rates.stage_percent) stages[name] = share;
    json["workers"].push_back({{"iops", rates.iops},
                               {"read_mib_per_second", rates.read_mib},
                               {"written_mib_per_second", rates.written_mib},
                               {"busy_percent", rates.busy_percent},
                               {"cycles_per_io", rates.cycles_per_io},
                               {"stage_percent", std::move(stages)},
                               {"frames_per_received_burst", rates.received_burst},
                               {"frames_per_sent_burst", rates.sent_burst},
                               {"retransmissions_per_second", rates.retransmissions},
                               {"buffers_in_use", rates.buffers_in_use},
                               {"tasks_in_use", rates.tasks_in_use}});
  }
  json["sessions"] = Json::array();
  for (const TopSession& session : view.sessions)
    json["sessions"].push_back({{"session_id", session.id},
                                {"state", session.state},
                                {"worker", session.worker},
                                {"portal", session.portal},
                                {"target", session.target}});
  return json;
}

std::string redrawn(const std::string& text, ScreenSize size) {
  std::string out(kHome);
  std::string_view rest = text;
  // A newline in the last row would scroll.
  for (std::size_t row = 1; row < size.rows && !rest.empty(); ++row) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    out += cut(rest.substr(0, end), size.columns);
    out += kEndOfLine;
    out += '\n';
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  out += kEndOfScreen;
  return out;
}

}  // namespace pollux::cli
