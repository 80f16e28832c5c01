// Times as people and standards read them.
#include "relay/base/clock.hpp"

#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr WallTime evening =
    WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 23)) + 20h + 55min + 7s + 123ms;

TEST(Clock, MailDateOfRfc5322Section3_3) {
  EXPECT_EQ(format_mail_date(evening), "Mon, 23 Nov 2026 20:55:07 +0000");
  EXPECT_EQ(format_mail_date(WallTime()), "Thu, 1 Jan 1970 00:00:00 +0000");
}

TEST(Clock, TimestampOfRfc3339) {
  EXPECT_EQ(format_timestamp(evening), "2026-11-23T20:55:07.123Z");
  EXPECT_EQ(format_timestamp(WallTime(-1ms)), "1969-12-31T23:59:59.999Z");
}

TEST(Clock, DurationsHaveTwoUnitsAndAreRoundedUp) {
  EXPECT_EQ(format_duration(45s), "45s");
  EXPECT_EQ(format_duration(15min), "15m");
  EXPECT_EQ(format_duration(4h), "4h");
  EXPECT_EQ(format_duration(51h), "2d 3h");
  EXPECT_EQ(format_duration(1ms), "1s");
  EXPECT_EQ(format_duration(0ms), "0s");
  EXPECT_EQ(format_duration(-5s), "0s");
  EXPECT_EQ(format_duration(61s), "1m 1s");
  EXPECT_EQ(format_duration(1h + 1s), "1h 1m");
  EXPECT_EQ(format_duration(23h + 59min + 59s), "1d");
  EXPECT_EQ(format_duration(48h + 59min), "2d 1h");
  EXPECT_EQ(format_duration(24h + 1min), "1d 1h");
}

TEST(Clock, TheMonotonicClockNeverGoesBack) {
  const Now first = read_clocks();
  const Now second = read_clocks();
  EXPECT_GE(second.monotonic, first.monotonic);
  EXPECT_GT(first.wall, WallTime(std::chrono::sys_days(std::chrono::year(2000) / 1 / 1)));
}

}  // namespace
}  // namespace postern
