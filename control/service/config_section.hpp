// One table of a TOML file, read key by key with the checks that every key needs. The first fault
// is remembered with its line; from then on nothing is read.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "control/service/config.hpp"
#include "control/service/config_text.hpp"

namespace pollux::service {

/// Reads values of one table, remembers the first fault and which keys exist.
class Section {
 public:
  Section(const toml::table& table, std::string name, std::string_view source, std::string& error)
      : table_(table), name_(std::move(name)), source_(source), error_(error) {}

  template <class T>
  void integer(std::string_view key, T& value, std::uint64_t min, std::uint64_t max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->value_exact<std::int64_t>();
    if (!number || *number < 0 || static_cast<std::uint64_t>(*number) < min ||
        static_cast<std::uint64_t>(*number) > max) {
      return refuse(key, *node, fmt::format("must be a whole number from {} to {}", min, max));
    }
    value = static_cast<T>(*number);
  }
  void seconds(std::string_view key, Seconds& value, double max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->is_number() ? node->value<double>() : std::nullopt;
    if (!number || !(*number > 0) || *number > max) {
      return refuse(key, *node, fmt::format("must be seconds above 0 and at most {}", max));
    }
    value = Seconds{*number};
  }
  void boolean(std::string_view key, bool& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto flag = node->value_exact<bool>();
    if (!flag) return refuse(key, *node, "must be true or false");
    value = *flag;
  }
  void text(std::string_view key, std::string& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto string = node->value_exact<std::string>();
    if (!string || string->empty() || string->find('\0') != std::string::npos) {
      return refuse(key, *node, "must be a text that is not empty");
    }
    value = *string;
  }
  /// `parse` turns the text into an optional value.
  template <class T, class Parse>
  void parsed(std::string_view key, T& value, Parse parse, std::string_view allowed) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto string = node->value_exact<std::string>();
    const auto result = string ? parse(*string) : std::nullopt;
    if (!result) return refuse(key, *node, fmt::format("must be {}", allowed));
    value = *result;
  }
  void integers(std::string_view key, std::vector<std::uint32_t>& values, std::uint32_t max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string allowed = fmt::format("must be a list of whole numbers from 0 to {}", max);
    const toml::array* array = node->as_array();
    if (array == nullptr) return refuse(key, *node, allowed);
    values.clear();
    for (const toml::node& item : *array) {
      const auto number = item.value_exact<std::int64_t>();
      if (!number || *number < 0 || *number > max) return refuse(key, item, allowed);
      values.push_back(static_cast<std::uint32_t>(*number));
    }
  }
  /// A subtable, or null. Its keys are read by a Section of its own.
  const toml::table* table(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) refuse(key, *node, fmt::format("must be a section: [{}]", key));
    return node->as_table();
  }
  const toml::array* tables(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_array_of_tables()) {
      refuse(key, *node, fmt::format("must be sections: [[{}]]", key));
      return nullptr;
    }
    return node->as_array();
  }
  void require(std::string_view key) {
    if (error_.empty() && !table_.contains(key)) {
      error_ = fmt::format("{}:{}: [{}] needs the key \"{}\"", source_, table_.source().begin.line,
                           name_, key);
    }
  }
  /// Call last: a key that was not asked for is a mistake of the author, not an extension.
  void end() {
    for (const auto& [key, node] : table_) {
      if (!error_.empty()) return;
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      const auto suggestion = nearest_word(key.str(), known_);
      error_ = fmt::format("{}:{}: unknown key \"{}\" in {}{}", source_, node.source().begin.line,
                           key.str(), name_.empty() ? "the file" : "[" + name_ + "]",
                           suggestion ? fmt::format("; did you mean \"{}\"?", *suggestion)
                                      : fmt::format("; known are {}", fmt::join(known_, ", ")));
    }
  }

 private:
  const toml::node* find(std::string_view key) {
    known_.push_back(key);
    return error_.empty() ? table_.get(key) : nullptr;
  }
  void refuse(std::string_view key, const toml::node& node, std::string_view why) {
    error_ = fmt::format("{}:{}: {}{}{} {}", source_, node.source().begin.line, name_,
                         name_.empty() ? "" : ".", key, why);
  }

  const toml::table& table_;
  std::string name_;
  std::string_view source_;
  std::string& error_;
  std::vector<std::string_view> known_;
};

}  // namespace pollux::service
