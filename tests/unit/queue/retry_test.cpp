// The retry schedule: growth, spread, notices and expiry (RFC 5321 §4.5.4.1).
#include "relay/queue/retry.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace postern::queue {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t random_max = UINT32_MAX;

TEST(RetryDelay, DoublesFromTheMinimumToTheMaximum) {
  const RetrySettings settings;
  const Duration expected[] = {1min, 2min, 4min, 8min, 16min, 32min, 64min, 128min, 4h, 4h};
  std::uint32_t attempts = 1;
  for (const Duration delay : expected) EXPECT_EQ(retry_delay(settings, attempts++, 0), delay);
  EXPECT_EQ(retry_delay(settings, UINT32_MAX, 0), Duration(4h));
}

TEST(RetryDelay, BeforeTheFirstAttemptIsLikeAfterIt) {
  EXPECT_EQ(retry_delay({}, 0, 0), Duration(1min));
}

TEST(RetryDelay, ChanceTakesUpToATenthOff) {
  const RetrySettings settings;
  EXPECT_EQ(retry_delay(settings, 1, 1U << 31U), Duration(57s));
  EXPECT_EQ(retry_delay(settings, 1, random_max), Duration(54s + 1ms));
  EXPECT_EQ(retry_delay(settings, 100, random_max), Duration(4h - 24min + 1ms));
}

TEST(RetryDelay, AThousandMessagesDoNotComeBackTogether) {
  std::mt19937 random(7);
  std::vector<int> in_second(7, 0);
  for (int i = 0; i < 1'000; ++i) {
    const Duration delay = retry_delay({}, 1, static_cast<std::uint32_t>(random()));
    ASSERT_GE(delay, Duration(54s));
    ASSERT_LE(delay, Duration(60s));
    ++in_second[static_cast<std::size_t>((delay - Duration(54s)) / Duration(1s))];
  }
  for (int second = 0; second < 6; ++second) {
    EXPECT_GT(in_second[static_cast<std::size_t>(second)], 100) << second;
  }
}

TEST(RetryDelay, NeverShrinksWithMoreAttempts) {
  const RetrySettings settings{.retry_delay_min = 7s, .retry_delay_max = 1h};
  for (std::uint32_t attempts = 1; attempts < 100; ++attempts) {
    EXPECT_LE(retry_delay(settings, attempts, 0), retry_delay(settings, attempts + 1, 0));
    EXPECT_LE(retry_delay(settings, attempts, 0), Duration(1h));
  }
}

TEST(RetryDelay, StrangeSettingsMakeNeitherABusyLoopNorAnOverflow) {
  RetrySettings settings;
  settings.retry_delay_min = Duration(0);
  settings.retry_delay_max = Duration(0);
  EXPECT_EQ(retry_delay(settings, 1, random_max), Duration(1));
  settings.retry_delay_min = Duration::min();
  settings.retry_delay_max = Duration::max();
  EXPECT_EQ(retry_delay(settings, 1, 0), Duration(1));
  EXPECT_EQ(retry_delay(settings, UINT32_MAX, 0), Duration::max());
  EXPECT_GE(retry_delay(settings, UINT32_MAX, random_max), Duration::max() / 10 * 9);
  settings.retry_delay_min = 5h;
  settings.retry_delay_max = 1h;
  EXPECT_EQ(retry_delay(settings, 1, 0), Duration(1h));
}

TEST(Expiry, ComesAfterTheLifetimeAndNotAtIt) {
  const RetrySettings settings;
  EXPECT_FALSE(has_expired(settings, 0ms));
  EXPECT_FALSE(has_expired(settings, 120h - 1ms));
  EXPECT_FALSE(has_expired(settings, 120h));
  EXPECT_TRUE(has_expired(settings, 120h + 1ms));
}

TEST(Expiry, StrangeAgesAndSettingsDoNotOverflow) {
  EXPECT_FALSE(has_expired({}, Duration::min()));
  EXPECT_TRUE(has_expired({}, Duration::max()));
  EXPECT_FALSE(has_expired({.lifetime_max = Duration::max()}, Duration::max()));
}

TEST(DelayNotice, IsDueAtItsTime) {
  const RetrySettings settings;
  EXPECT_FALSE(delay_notice_due(settings, 0ms));
  EXPECT_FALSE(delay_notice_due(settings, 4h - 1ms));
  EXPECT_TRUE(delay_notice_due(settings, 4h));
  EXPECT_TRUE(delay_notice_due({.delay_notice_after = Duration(0)}, 0ms));
}

}  // namespace
}  // namespace postern::queue
