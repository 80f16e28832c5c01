// RFC 5321 section 4.2.5: having answered 250, the server must not lose the message for "trivial"
// reasons, "e.g., because the host later crashes". The power goes thousands of times, at any
// moment; nothing acknowledged is lost, nothing refused appears, no recorded outcome is undone.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/fault/lives.hpp"
#include "tests/fault/options.hpp"

namespace postern::fault {
namespace {

TEST(PowerCut, LosesNoAcknowledgedMailAtAnyMoment) {
  const RealFolder folder;
  LifeOutcome all;
  std::uint64_t seed = options().seed;
  for (; all.cuts < options().cuts; ++seed) {
    const LifeOutcome outcome = live(folder, seed, Mutant::none);
    all.cuts += outcome.cuts;
    all.cuts_while_opening += outcome.cuts_while_opening;
    all.cuts_around_checkpoints += outcome.cuts_around_checkpoints;
    ASSERT_EQ(outcome.violation, "")
        << "replay: fault --gtest_filter='PowerCut.LosesNo*' --cuts 1 --seed " << seed;
  }
  std::printf("%llu power cuts in %llu lives, %llu at the start, %llu around a checkpoint\n",
              static_cast<unsigned long long>(all.cuts),
              static_cast<unsigned long long>(seed - options().seed),
              static_cast<unsigned long long>(all.cuts_while_opening),
              static_cast<unsigned long long>(all.cuts_around_checkpoints));
  // The dangerous moments were met, and not by a few cuts only. (A replay of one life may miss
  // them.)
  if (all.cuts < 100) return;
  EXPECT_GT(all.cuts_while_opening, all.cuts / 20);
  EXPECT_GT(all.cuts_around_checkpoints, all.cuts / 40);
}

TEST(PowerCut, ReplaysALifeExactlyByItsSeed) {
  const RealFolder folder;
  for (std::uint64_t seed = options().seed; seed < options().seed + 20; ++seed) {
    // A mistaken queue shows more: also what goes wrong must come again.
    const LifeOutcome first = live(folder, seed, Mutant::synchronous_normal);
    const LifeOutcome again = live(folder, seed, Mutant::synchronous_normal);
    EXPECT_EQ(first.changes, again.changes) << seed;
    EXPECT_EQ(first.violation, again.violation) << seed;
  }
}

TEST(PowerCut, LosesNoMailThatTheStorageThreadAnsweredFor) {
  const RealFolder folder;
  std::uint64_t cuts = 0;
  for (std::uint64_t seed = options().seed; cuts < options().cuts / 10 + 1; ++seed) {
    const LifeOutcome outcome = live_with_thread(folder, seed);
    cuts += outcome.cuts;
    ASSERT_EQ(outcome.violation, "")
        << "replay: fault --gtest_filter='PowerCut.*Thread*' --cuts 1 --seed " << seed;
  }
}

}  // namespace
}  // namespace postern::fault
