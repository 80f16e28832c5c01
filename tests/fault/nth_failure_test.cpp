// Fails the first, the second, … operation of a run until the run is clean, once or from then on,
// and looks what the queue holds: after the restart, and after a power cut that follows it.
#include <gtest/gtest.h>

#include "tests/fault/lives.hpp"
#include "tests/fault/options.hpp"

namespace postern::fault {
namespace {

constexpr std::uint64_t operations_max = 100'000;  // a run that never gets clean is a fault itself

// How many operations were failed.
std::uint64_t sweep(Fault fault, bool lasting, Stage stage, std::uint64_t stride) {
  const RealFolder folder;
  std::uint64_t failed = 0;
  for (std::uint64_t nth = 1; nth < operations_max; nth += stride) {
    const FaultOutcome outcome =
        live_with_fault(folder, options().seed, {fault, nth, lasting}, stage);
    EXPECT_EQ(outcome.violation, "")
        << name_of(fault) << " at operation " << nth << (lasting ? " and all after it" : "")
        << "; replay with --seed " << options().seed;
    if (!outcome.violation.empty() || !outcome.met) return failed;
    ++failed;
  }
  ADD_FAILURE() << "the run never gets clean";
  return failed;
}

class NthFailure : public testing::TestWithParam<Fault> {};

TEST_P(NthFailure, OnceLosesNothing) {
  EXPECT_GT(sweep(GetParam(), false, Stage::whole_run, 1), 10U);
}

TEST_P(NthFailure, FromThenOnLosesNothing) {
  EXPECT_GT(sweep(GetParam(), true, Stage::whole_run, 1), 10U);
}

TEST_P(NthFailure, AroundACheckpointLosesNothing) {
  // Syncs are few and each matters; of a thousand equal writes a share is enough in the short form.
  const std::uint64_t stride = GetParam() == Fault::failed_sync ? 1 : options().every;
  EXPECT_GT(sweep(GetParam(), false, Stage::checkpoint, stride), 5U);
}

INSTANTIATE_TEST_SUITE_P(Every, NthFailure,
                         testing::Values(Fault::io_error, Fault::no_space, Fault::short_write,
                                         Fault::failed_sync),
                         [](const auto& fault) {
                           std::string name = name_of(fault.param);
                           std::erase(name, ' ');
                           return name;
                         });

}  // namespace
}  // namespace postern::fault
