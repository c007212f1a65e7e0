// Assertions for our own mistakes. They are always on: a worker whose state is wrong must stop
// before it corrupts a disk. Nothing a peer or a client sends may ever reach one.
#pragma once

namespace pollux {

/// Prints expression and place to standard error and aborts. Cold, never inlined.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace pollux

#define POLLUX_ASSERT(expression)                       \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::pollux::assertion_failed(#expression, __FILE__, __LINE__))
