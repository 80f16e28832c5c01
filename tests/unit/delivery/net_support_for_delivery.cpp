// What the tests of relay/net share, compiled once more into this test program: running a loop
// until something is true, and a temporary directory.
#include "tests/unit/net/net_support.cpp"  // NOLINT(bugprone-suspicious-include)
