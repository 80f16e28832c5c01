// When a slot on trial is checked, kept and given up.
#include "firmware/init/trial_policy.hpp"

#include <gtest/gtest.h>

namespace postern::firmware {
namespace {

using Step = TrialPolicy::Step;
using std::chrono::minutes;
using std::chrono::seconds;
constexpr TrialPolicy::Clock::time_point start{};

TEST(TrialPolicy, ChecksWhatWorkedForTwentySecondsOnEnd) {
  TrialPolicy policy(start);
  EXPECT_EQ(policy.step(start + seconds(5), false, 0), Step::wait);
  EXPECT_EQ(policy.step(start + seconds(15), true, 0), Step::wait);
  EXPECT_EQ(policy.step(start + seconds(20), false, 1), Step::wait);
  EXPECT_EQ(policy.step(start + seconds(39), true, 1), Step::wait);
  EXPECT_EQ(policy.step(start + seconds(40), true, 1), Step::check);
}

TEST(TrialPolicy, GivesUpAfterThreeFailedChecksWithTwentySecondsBetween) {
  TrialPolicy policy(start);
  auto now = start;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(policy.step(now + seconds(19), true, 0), Step::wait);
    now += seconds(20);
    EXPECT_EQ(policy.step(now, true, 0), Step::check);
    policy.check_failed(now);
  }
  EXPECT_EQ(policy.step(now, true, 0), Step::fail);
}

TEST(TrialPolicy, GivesUpAfterThreeEndsOrFiveMinutes) {
  TrialPolicy policy(start);
  EXPECT_EQ(policy.step(start + seconds(9), false, 2), Step::wait);
  EXPECT_EQ(policy.step(start + seconds(9), false, 3), Step::fail);
  EXPECT_EQ(policy.step(start + minutes(5), false, 0), Step::wait);
  EXPECT_EQ(policy.step(start + minutes(5) + seconds(1), false, 0), Step::fail);
}

TEST(TrialPolicy, BegunAgainItForgetsWhatWas) {
  TrialPolicy policy(start);
  policy.check_failed(start);
  policy.check_failed(start);
  const auto later = start + minutes(6);
  ASSERT_EQ(policy.step(later, false, 3), Step::fail);
  policy.begin_again(later, 3);
  policy.check_failed(later);
  EXPECT_EQ(policy.step(later + seconds(20), true, 5), Step::check);
  EXPECT_EQ(policy.step(later + seconds(20), true, 6), Step::fail);
}

}  // namespace
}  // namespace postern::firmware
