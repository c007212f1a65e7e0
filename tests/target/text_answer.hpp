// The text of one answer while it is put together.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>

#include "dataplane/wire/text.hpp"
#include "tests/target/protocol.hpp"

namespace pollux::target {

struct Protocol::TextAnswer {
  std::array<std::byte, kReplyDataMax> bytes;
  wire::TextBuilder builder{bytes};

  /// What does not fit is left out: an initiator that asks so much gets an answer with holes.
  void add(std::string_view key, std::string_view value) noexcept {
    [[maybe_unused]] const bool fits = builder.append(key, value);
  }
  void add(std::string_view key, std::uint64_t number) noexcept {
    std::array<char, 24> text;
    const int length =
        std::snprintf(text.data(), text.size(), "%llu", static_cast<unsigned long long>(number));
    add(key, {text.data(), static_cast<std::size_t>(length)});
  }
  void add(std::string_view key, bool yes) noexcept { add(key, yes ? "Yes" : "No"); }
  void add(std::string_view key, const char* value) noexcept { add(key, std::string_view{value}); }
  [[nodiscard]] std::span<const std::byte> text() const noexcept {
    return std::span{bytes}.first(builder.size());
  }
};

}  // namespace pollux::target
