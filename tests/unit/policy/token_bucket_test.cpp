// One token bucket: levels, waits, and clocks that jump.
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <limits>
#include <random>

#include "relay/policy/rate_limits.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

using namespace std::chrono_literals;

TEST(TokenBucket, StartsFullAndRefusesTheOneBeyond) {
  TokenBucket bucket(3, 1min, at(0s));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.take(1, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(1, at(0s)), Duration(20s));
}

TEST(TokenBucket, TheWaitThatWasToldIsExactlyEnough) {
  TokenBucket bucket(3, 1min, at(0s));
  EXPECT_EQ(bucket.take(3, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(1, at(20s - 1ms)), Duration(1ms));
  EXPECT_EQ(bucket.take(1, at(20s)), std::nullopt);
  EXPECT_EQ(bucket.take(1, at(20s)), Duration(20s));
}

TEST(TokenBucket, ARefusalTakesNothing) {
  TokenBucket bucket(10, 1min, at(0s));
  EXPECT_EQ(bucket.take(8, at(0s)), std::nullopt);
  EXPECT_NE(bucket.take(3, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(2, at(0s)), std::nullopt);
}

TEST(TokenBucket, ExactlyTheMaximumFitsAndOneMoreNeverDoes) {
  TokenBucket bucket(10, 1min, at(0s));
  EXPECT_EQ(bucket.peek(10, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.peek(11, at(0s)), Duration(1min));
  EXPECT_EQ(bucket.take(11, at(365 * 24h)), Duration(1min));
  EXPECT_EQ(bucket.take(10, at(365 * 24h)), std::nullopt);
}

TEST(TokenBucket, AnEmptyMaximumGivesNothing) {
  TokenBucket bucket(0, 1min, at(0s));
  EXPECT_EQ(bucket.take(0, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(1, at(1h)), Duration(1min));
}

TEST(TokenBucket, PeekChangesNothing) {
  TokenBucket bucket(1, 1min, at(0s));
  EXPECT_EQ(bucket.peek(1, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.peek(1, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(1, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.peek(1, at(15s)), Duration(45s));
}

TEST(TokenBucket, RefillsEvenlyAndNeverAboveItsSize) {
  TokenBucket bucket(60, 1min, at(0s));
  EXPECT_EQ(bucket.take(60, at(0s)), std::nullopt);
  EXPECT_DOUBLE_EQ(bucket.level(at(1s)), 1.0);
  EXPECT_DOUBLE_EQ(bucket.level(at(30s)), 30.0);
  EXPECT_DOUBLE_EQ(bucket.level(at(60s)), 60.0);
  EXPECT_DOUBLE_EQ(bucket.level(at(3h)), 60.0);
}

TEST(TokenBucket, GivesBackNoMoreThanFits) {
  TokenBucket bucket(5, 1min, at(0s));
  EXPECT_EQ(bucket.take(2, at(0s)), std::nullopt);
  bucket.give_back(1);
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 4.0);
  bucket.give_back(100);
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 5.0);
}

TEST(TokenBucket, ALevelIsKeptInsideItsBounds) {
  TokenBucket bucket(5, 1min, at(0s));
  bucket.set_level(-3, at(0s));
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 0.0);
  bucket.set_level(99, at(0s));
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 5.0);
  bucket.set_level(std::nan(""), at(0s));
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 0.0);
  bucket.set_level(std::numeric_limits<double>::infinity(), at(0s));
  EXPECT_DOUBLE_EQ(bucket.level(at(0s)), 0.0);
}

TEST(TokenBucket, AClockThatGoesBackRefillsNothingNowNorTwiceLater) {
  TokenBucket bucket(60, 1min, at(1h));
  EXPECT_EQ(bucket.take(60, at(1h)), std::nullopt);
  EXPECT_DOUBLE_EQ(bucket.level(at(10min)), 0.0);
  EXPECT_NE(bucket.take(1, at(10min)), std::nullopt);
  // Back at the time of the last take: still nothing was earned in between.
  EXPECT_DOUBLE_EQ(bucket.level(at(1h)), 0.0);
  EXPECT_DOUBLE_EQ(bucket.level(at(1h + 1s)), 1.0);
  // A successful take in the past does not make the time since then count twice.
  bucket.give_back(10);
  EXPECT_EQ(bucket.take(1, at(10min)), std::nullopt);
  EXPECT_DOUBLE_EQ(bucket.level(at(1h)), 9.0);
}

TEST(TokenBucket, AClockAtTheEndOfTimeOnlyFillsIt) {
  TokenBucket bucket(60, 1min, MonotonicTime::min());
  EXPECT_EQ(bucket.take(60, MonotonicTime::min()), std::nullopt);
  EXPECT_DOUBLE_EQ(bucket.level(MonotonicTime::max()), 60.0);
}

TEST(TokenBucket, LargeAmountsKeepTheirWaits) {
  constexpr std::uint64_t terabyte = 1'000'000'000'000;
  TokenBucket bucket(terabyte, 24h, at(0s));
  EXPECT_EQ(bucket.take(terabyte, at(0s)), std::nullopt);
  EXPECT_EQ(bucket.take(terabyte / 2, at(12h - 1ms)), Duration(1ms));
  EXPECT_EQ(bucket.take(terabyte / 2, at(12h)), std::nullopt);
}

// Whatever a client does, in any window of one period it gets at most twice the size (what was in
// the bucket and what flowed in); and whoever waits as told is served.
TEST(TokenBucket, HoldsItsRateAndItsWordOverRandomUse) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const std::uint64_t size = 1 + random() % 50;
    TokenBucket bucket(size, 1min, at(0s));
    MonotonicTime now = at(0s);
    std::deque<std::pair<MonotonicTime, std::uint64_t>> taken;
    for (int step = 0; step < 2'000; ++step) {
      now += Duration(random() % 4'000);
      const std::uint64_t tokens = 1 + random() % size;
      if (const auto wait = bucket.take(tokens, now)) {
        ASSERT_GT(*wait, Duration::zero());
        ASSERT_LE(*wait, Duration(1min));
        now += *wait;
        ASSERT_EQ(bucket.take(tokens, now), std::nullopt) << "seed " << seed << " step " << step;
      }
      taken.emplace_back(now, tokens);
      while (taken.front().first <= now - 1min) taken.pop_front();
      std::uint64_t in_window = 0;
      for (const auto& [time, amount] : taken) in_window += amount;
      ASSERT_LE(in_window, 2 * size) << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace postern::policy
