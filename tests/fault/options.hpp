// What the program was asked: --cuts N, --seed S, --every N; or the environment's
// POSTERN_FAULT_CUTS for CTest.
#pragma once

#include <cstdint>

namespace postern::fault {

struct Options {
  std::uint64_t cuts = 0;
  std::uint64_t seed = 1;   // of the first life; the next has the next number
  std::uint64_t every = 0;  // of the checkpoint's operations each how many is failed; 1: each
};
[[nodiscard]] const Options& options();

}  // namespace postern::fault
