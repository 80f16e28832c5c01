// The rig's program; see README.md.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fault/options.hpp"

namespace postern::fault {

namespace {

// A sanitizer makes the rig about ten times slower, and CTest waits for it.
#ifdef POSTERN_SANITIZED
constexpr Options short_form{600, 1, 97};
#else
constexpr Options short_form{4'000, 1, 23};
#endif

Options& changeable_options() {
  static Options value = short_form;
  return value;
}

bool take(std::string_view name, const char* value) {
  Options& options = changeable_options();
  const std::uint64_t number = std::strtoull(value, nullptr, 10);
  if (name == "--cuts") {
    options.cuts = number;
  } else if (name == "--seed") {
    options.seed = number;
  } else if (name == "--every" && number > 0) {
    options.every = number;
  } else {
    return false;
  }
  return true;
}

}  // namespace

const Options& options() { return changeable_options(); }

}  // namespace postern::fault

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* cuts = std::getenv("POSTERN_FAULT_CUTS")) postern::fault::take("--cuts", cuts);
  for (int at = 1; at < argc; at += 2) {
    if (at + 1 == argc || !postern::fault::take(argv[at], argv[at + 1])) {
      std::fprintf(stderr, "use: fault [--cuts N] [--seed S] [--every N] [--gtest_...]\n");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
