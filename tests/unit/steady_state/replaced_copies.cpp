// memcpy and memmove, noted. Copies of a length known to the compiler and short are put in line and
// do not come here; those of payload do. Compiled so that the compiler does not find in these loops
// the very functions that they are.
#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/unit/steady_state/watch.hpp"

#define POLLUX_STRONG __attribute__((visibility("default")))

namespace {

constexpr std::size_t kStep = sizeof(__m128i);

void move_up(char* to, const char* from, std::size_t bytes) noexcept {
  for (; bytes >= kStep; bytes -= kStep, to += kStep, from += kStep)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  for (; bytes != 0; --bytes) *to++ = *from++;
}

void move_down(char* to, const char* from, std::size_t bytes) noexcept {
  while (bytes != 0) {
    --bytes;
    to[bytes] = from[bytes];
  }
}

}  // namespace

extern "C" {

POLLUX_STRONG void* memcpy(void* __restrict to, const void* __restrict from,
                           std::size_t bytes) noexcept {
  pollux::steady::note_copy(to, from, bytes);
  move_up(static_cast<char*>(to), static_cast<const char*>(from), bytes);
  return to;
}

POLLUX_STRONG void* memmove(void* to, const void* from, std::size_t bytes) noexcept {
  pollux::steady::note_copy(to, from, bytes);
  const bool is_ahead =
      reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from) < bytes;
  (is_ahead ? move_down : move_up)(static_cast<char*>(to), static_cast<const char*>(from), bytes);
  return to;
}

/// What these are called where the sizes of buffers are checked (_FORTIFY_SOURCE).
POLLUX_STRONG void* __memcpy_chk(void* __restrict to, const void* __restrict from,
                                 std::size_t bytes, std::size_t) noexcept {
  return memcpy(to, from, bytes);
}
POLLUX_STRONG void* __memmove_chk(void* to, const void* from, std::size_t bytes,
                                  std::size_t) noexcept {
  return memmove(to, from, bytes);
}
}
