// What every target of this folder stands on: values taken off the fuzzer's input, a failure that
// libFuzzer notices, and the time that one input may take.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <span>

namespace pollux::fuzz {

/// Ends the process with one sentence; libFuzzer keeps the input.
[[noreturn]] inline void fail(const char* sentence) {
  std::fprintf(stderr, "fuzz: %s\n", sentence);
  __builtin_trap();
}
inline void require(bool holds, const char* otherwise) {
  if (!holds) fail(otherwise);
}

/// Zeroes when the input is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t u8() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  /// Up to `count` bytes.
  std::span<const std::uint8_t> bytes(std::size_t count) {
    const auto out = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }
  std::span<const std::uint8_t> rest() { return bytes(rest_.size()); }

 private:
  std::span<const std::uint8_t> rest_;
};

/// Runs one input and fails when it takes more than 60 ms of processor time. One that does is given
/// two more chances: the first touch of memory and a busy machine are nobody's fault. The longest
/// inputs take 15 ms under the sanitizers, and twice that when the other half of the core works.
template <class Body>
int within_budget(Body body) {
  constexpr long kBudgetNanoseconds = 60'000'000;
  const auto now = [] {
    timespec at{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * 1'000'000'000L + at.tv_nsec;
  };
  for (int attempt = 0; attempt < 3; ++attempt) {
    const long start = now();
    body();
    if (now() - start <= kBudgetNanoseconds) return 0;
  }
  fail("one input took more than 60 ms three times");
}

}  // namespace pollux::fuzz
