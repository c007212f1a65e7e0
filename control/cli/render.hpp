// Output for people and for scripts: aligned tables, sizes with units, and JSON documents that
// begin with a schema and its version. Text that came from a target is made harmless before it is
// printed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pollux::cli {

/// Members stay in the order in which they were added.
using Json = nlohmann::ordered_json;

/// A table of text cells. Columns are as wide as their widest cell; the last one is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

  /// A short row leaves its last cells empty; cells beyond the header are dropped.
  void add(std::vector<std::string> row);
  /// Header line and rows, each ended by a newline.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// {"schema": "pollux.NAME/1"} to add members to.
[[nodiscard]] Json document(std::string_view name);
/// Pretty-printed and ended by a newline; bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string text_of(const Json& json);

/// Without spaces and in one line, ended by a newline.
[[nodiscard]] std::string line_of(const Json& json);

/// "64.0 MiB", "512 B".
[[nodiscard]] std::string human_size(std::uint64_t bytes);
/// "0x00000000000000ff"
[[nodiscard]] std::string format_id(std::uint64_t id);
/// Lines of 16 bytes: offset, hexadecimal, printable ASCII.
[[nodiscard]] std::string hex_dump(std::span<const std::byte> bytes);
/// One line a leaf of a JSON value, "workers.0.busy_cycles  17", the values aligned.
[[nodiscard]] std::string flatten(const Json& json);
/// Text of a peer, fit for a terminal.
[[nodiscard]] std::string clean(std::string_view text);

/// Writes to stdout. Failure generic when that is not possible (a full disk, a closed pipe).
void print(std::string_view text);
void print_json(const Json& json);

}  // namespace pollux::cli
