#include "dataplane/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace pollux {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "pollux: internal error: %s is false at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace pollux
