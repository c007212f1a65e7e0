// See stats_text.hpp.
#include "control/cli/stats_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>
#include <vector>

#include "control/cli/service_json.hpp"
#include "control/cli/worker_rates.hpp"
#include "control/ratio.hpp"

namespace pollux::cli {
namespace {

/// As a table of hundreds of counters is read: those that have counted something.
void drop_zeros(Json& json) {
  const auto protocols = json.find("protocols");
  if (protocols == json.end() || !protocols->is_array()) return;
  for (Json& report : *protocols) {
    if (!report.is_object()) continue;
    for (auto entry = report.begin(); entry != report.end();)
      entry = *entry == 0 && entry.key() != "worker" ? report.erase(entry) : std::next(entry);
  }
}

std::string stages_table(const Json& stats) {
  Table table({"WORKER", "STAGE", "CYCLES", "% OF BUSY", "CYCLES/COMMAND"});
  std::size_t rows = 0;
  std::size_t number = 0;
  for (const WorkerSnapshot& worker : worker_snapshots(stats)) {
    const auto busy = static_cast<double>(worker.busy_cycles);
    const auto commands = static_cast<double>(worker.commands);
    const std::vector<double> costs = spread(busy, worker.sampled_cycles);
    for (std::size_t i = 0; i < costs.size(); ++i, ++rows)
      table.add({fmt::format("{}", number), worker.stages[i], fmt::format("{:.0f}", costs[i]),
                 busy > 0 ? fmt::format("{:.1f}", 100 * costs[i] / busy) : "-",
                 commands > 0 ? fmt::format("{:.1f}", costs[i] / commands) : "-"});
    ++number;
  }
  return rows == 0 ? std::string{} : "\n" + table.text();
}

std::string bursts_table(const Json& stats) {
  Table table({"WORKER", "FRAMES IN A BURST", "RECEIVED", "SENT"});
  std::size_t rows = 0;
  std::size_t index = 0;
  for (const Json& worker : list_in(stats, "workers")) {
    const std::size_t number = index++;
    if (!worker.is_object() || !worker.contains("received_bursts") ||
        !worker.contains("sent_bursts"))
      continue;
    for (const auto& [size, received] : worker["received_bursts"].items()) {
      table.add({fmt::format("{}", number), clean(size), received.dump(),
                 fmt::format("{}", number_in(worker["sent_bursts"], size.c_str()))});
      ++rows;
    }
  }
  return rows == 0 ? std::string{} : "\n" + table.text();
}

/// Samples by metric: the format wants those of one name together.
class Exposition {
 public:
  void add(const std::string& name, bool is_level, const std::string& labels, std::uint64_t value) {
    std::string full = "pollux_" + name;
    for (char& c : full)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
    if (!is_level && !full.ends_with("_total")) full += "_total";
    Metric& metric = metric_of(full, is_level);
    metric.samples += fmt::format("{}{}{}{} {}\n", full, labels.empty() ? "" : "{", labels,
                                  labels.empty() ? "" : "}", value);
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const Metric& metric : metrics_)
      out += fmt::format("# TYPE {} {}\n{}", metric.name, metric.is_level ? "gauge" : "counter",
                         metric.samples);
    return out;
  }

 private:
  struct Metric {
    std::string name;
    bool is_level = false;
    std::string samples;
  };

  Metric& metric_of(const std::string& name, bool is_level) {
    const auto [place, is_new] = places_.try_emplace(name, metrics_.size());
    if (is_new) metrics_.push_back({name, is_level, {}});
    return metrics_[place->second];
  }

  std::vector<Metric> metrics_;
  std::map<std::string, std::size_t> places_;
};

/// What goes up and down; everything else in the statistics only grows.
bool is_level(std::string_view name) {
  constexpr std::array<std::string_view, 5> kLevels = {"tsc_hz", "buffers_in_use", "tasks_in_use",
                                                       "timers_armed", "address_state"};
  return std::find(kLevels.begin(), kLevels.end(), name) != kLevels.end();
}

std::string label(std::string_view name, const std::string& value) {
  std::string quoted;
  for (const char c : clean(value)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return fmt::format("{}=\"{}\"", name, quoted);
}

std::string joined(const std::string& labels, const std::string& one_more) {
  return labels.empty() ? one_more : labels + "," + one_more;
}

/// The numbers of one object.
void add_object(Exposition& out, const std::string& prefix, const std::string& labels,
                const Json& object) {
  for (const auto& [key, value] : object.items()) {
    if (key == "worker" || key == "port") continue;
    if (value.is_number_unsigned()) {
      out.add(prefix + key, is_level(key), labels, value.get<std::uint64_t>());
    } else if (value.is_object()) {
      const char* kind = key == "sampled_cycles" ? "stage" : "frames";
      for (const auto& [part, count] : value.items())
        if (count.is_number_unsigned())
          out.add(prefix + key, false, joined(labels, label(kind, part)),
                  count.get<std::uint64_t>());
    }
  }
}

void add_list(Exposition& out, const std::string& prefix, const Json& list) {
  std::size_t index = 0;
  for (const Json& object : list) {
    const std::size_t number = index++;
    if (!object.is_object()) continue;
    std::string labels;
    if (const std::string port = text_in(object, "port"); !port.empty())
      labels = label("port", port);
    if (object.contains("worker")) {
      labels = joined(labels, label("worker", fmt::format("{}", number_in(object, "worker"))));
    } else if (labels.empty()) {
      labels = label("worker", fmt::format("{}", number));
    }
    add_object(out, prefix, labels, object);
  }
}

}  // namespace

std::string stats_text(Json stats) {
  drop_zeros(stats);
  const std::string tables = stages_table(stats) + bursts_table(stats);
  if (const auto workers = stats.find("workers"); workers != stats.end() && workers->is_array())
    for (Json& worker : *workers)
      for (const char* table : {"sampled_cycles", "received_bursts", "sent_bursts"})
        if (worker.is_object()) worker.erase(table);
  return flatten(stats) + tables;
}

std::string prometheus_text(const Json& stats) {
  Exposition out;
  for (const char* section : {"sessions", "ring"})
    if (const auto found = stats.find(section); found != stats.end() && found->is_object())
      add_object(out, fmt::format("{}_", section), {}, *found);
  add_list(out, "worker_", list_in(stats, "workers"));
  add_list(out, "queue_", list_in(stats, "queues"));
  add_list(out, "", list_in(stats, "protocols"));
  add_list(out, "steering_", list_in(stats, "steering"));
  return out.text();
}

}  // namespace pollux::cli
