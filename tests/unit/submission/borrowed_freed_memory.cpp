// The watch of tests/unit/base, compiled once more into this test program.
#include "tests/unit/base/freed_memory.cpp"  // NOLINT(bugprone-suspicious-include)
