// A counter with one writer and many readers: relaxed load, add, relaxed store, which on x86 is a
// plain add without a lock prefix, and no data race for the control thread that reads it.
#pragma once

#include <atomic>
#include <cstdint>

namespace pollux {

class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace pollux
