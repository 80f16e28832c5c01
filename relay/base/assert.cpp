// What a failed POSTERN_ASSERT does: one line, then the end.
#include "relay/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace postern {

void assertion_failed(const char* condition, const char* file, int line) {
  // stdio on the unbuffered standard error: no allocation in a process that is already wrong.
  std::fprintf(stderr, "assertion failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace postern
