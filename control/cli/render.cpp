// See render.hpp.
#include "control/cli/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "control/cli/failure.hpp"
#include "control/session/display_text.hpp"

namespace pollux::cli {
namespace {

constexpr std::size_t kPeerTextBytesMax = 512;
constexpr std::string_view kColumnGap = "  ";
constexpr int kJsonIndent = 2;

void flatten_into(const Json& json, const std::string& path, Table& table) {
  const auto child = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (json.is_object() && !json.empty()) {
    for (const auto& [key, value] : json.items()) flatten_into(value, child(clean(key)), table);
  } else if (json.is_array() && !json.empty()) {
    for (std::size_t i = 0; i < json.size(); ++i)
      flatten_into(json[i], child(fmt::format("{}", i)), table);
  } else {
    table.add({path, json.is_string() ? clean(json.get<std::string>()) : json.dump()});
  }
}

void append_row(std::string& out, const std::vector<std::string>& row,
                const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (i > 0) line += kColumnGap;
    line += fmt::format("{:<{}}", i < row.size() ? row[i] : std::string{}, widths[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line;
  out += '\n';
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  row.resize(header_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < header_.size(); ++i) {
    std::size_t width = header_[i].size();
    for (const auto& row : rows_) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string out;
  const bool has_header = std::any_of(header_.begin(), header_.end(),
                                      [](const std::string& cell) { return !cell.empty(); });
  if (has_header) append_row(out, header_, widths);
  for (const auto& row : rows_) append_row(out, row, widths);
  return out;
}

Json document(std::string_view name) { return Json{{"schema", fmt::format("pollux.{}/1", name)}}; }

std::string text_of(const Json& json) {
  return json.dump(kJsonIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  constexpr std::uint64_t kStep = 1024;
  if (bytes < kStep) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  value /= kStep;
  while (value >= kStep && unit + 1 < kUnits.size()) {
    value /= kStep;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_id(std::uint64_t id) { return fmt::format("0x{:016x}", id); }

std::string hex_dump(std::span<const std::byte> bytes) {
  constexpr std::size_t kPerLine = 16;
  std::string out;
  for (std::size_t start = 0; start < bytes.size(); start += kPerLine) {
    const auto line = bytes.subspan(start, std::min(kPerLine, bytes.size() - start));
    out += fmt::format("{:04x} ", start);
    std::string ascii;
    for (const std::byte byte : line) {
      const auto value = static_cast<unsigned char>(byte);
      out += fmt::format(" {:02x}", value);
      ascii += value >= 0x20 && value < 0x7f ? static_cast<char>(value) : '.';
    }
    out += fmt::format("{:{}}  {}\n", "", (kPerLine - line.size()) * 3, ascii);
  }
  return out;
}

std::string flatten(const Json& json) {
  Table table({"", ""});
  flatten_into(json, "", table);
  return table.text();
}

std::string clean(std::string_view text) { return session::printable(text, kPeerTextBytesMax); }

void print(std::string_view text) {
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!is_written || std::fflush(stdout) != 0)
    throw Failure(ExitCode::generic, "The result could not be written to standard output.");
}

void print_json(const Json& json) { print(text_of(json)); }

}  // namespace pollux::cli
