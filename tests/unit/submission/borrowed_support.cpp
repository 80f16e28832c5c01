// The support of tests/unit/net and tests/unit/crypto, compiled once more into this test program.
// GCC expects types without linkage only in a main file; this one stands in for it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
#include "tests/unit/crypto/test_certificates.cpp"  // NOLINT(bugprone-suspicious-include)
#include "tests/unit/net/net_support.cpp"           // NOLINT(bugprone-suspicious-include)
