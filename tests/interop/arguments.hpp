// Command lines of the small programs behind scripts/soak: "--name value" or "--name" alone.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>

namespace pollux::interop {

class Arguments {
 public:
  Arguments(int count, char** values) {
    for (int i = 1; i < count; ++i) {
      const std::string word = values[i];
      if (word.rfind("--", 0) != 0) {
        verb_ = word;
        continue;
      }
      const bool alone = i + 1 == count || std::string(values[i + 1]).rfind("--", 0) == 0;
      values_[word.substr(2)] = alone ? "" : values[++i];
    }
  }

  /// The word that is no option and no value of one.
  [[nodiscard]] const std::string& verb() const { return verb_; }
  [[nodiscard]] bool has(const std::string& name) const { return values_.count(name) != 0; }
  [[nodiscard]] std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  [[nodiscard]] std::uint64_t number(const std::string& name, std::uint64_t otherwise) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 0);
  }

 private:
  std::string verb_;
  std::map<std::string, std::string> values_;
};

}  // namespace pollux::interop
