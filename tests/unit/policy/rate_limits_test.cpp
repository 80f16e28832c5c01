// The users' limits: replies, reloads and restarts.
#include <gtest/gtest.h>

#include "relay/policy/rate_limits.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

using namespace std::chrono_literals;

constexpr WallTime noon = WallTime(Duration(1'795'000'000'000));

UserDirectory one_user(RateSettings rates) {
  UserDirectory users;
  users["camera"].name = "camera";
  users["camera"].rates = rates;
  return users;
}

RateLimits limits_of(RateSettings rates, MonotonicTime now = at(0s)) {
  RateLimits limits;
  limits.configure(one_user(rates), now);
  return limits;
}

TEST(RateLimits, WithoutSettingsThereIsNoLimit) {
  RateLimits limits = limits_of({});
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(limits.take_message("camera", 1U << 30U, at(0s)), std::nullopt);
    ASSERT_EQ(limits.take_recipient("camera", at(0s)), std::nullopt);
    ASSERT_EQ(limits.take_bytes("camera", 1U << 30U, at(0s)), std::nullopt);
  }
}

TEST(RateLimits, MessagesAMinuteSayWhenToComeBack) {
  RateLimits limits = limits_of({.messages_per_minute_max = 2});
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  const auto reply = limits.take_message("camera", 0, at(0s));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(),
            "450 4.7.1 user camera has reached its limit of 2 messages a minute; come back in 30s "
            "or raise messages_per_minute_max in the relay's configuration");
  EXPECT_TRUE(limits.take_message("camera", 0, at(30s - 1ms)));
  EXPECT_EQ(limits.take_message("camera", 0, at(30s)), std::nullopt);
}

TEST(RateLimits, RecipientsADayAreCountedOneByOne) {
  RateLimits limits = limits_of({.recipients_per_day_max = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limits.take_recipient("camera", at(0s)), std::nullopt);
  const auto reply = limits.take_recipient("camera", at(0s));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(),
            "452 4.7.1 user camera has reached its limit of 3 recipients a day; come back in 8h or "
            "raise recipients_per_day_max in the relay's configuration");
  EXPECT_TRUE(limits.take_recipient("camera", at(8h - 1ms)));
  EXPECT_EQ(limits.take_recipient("camera", at(8h)), std::nullopt);
}

TEST(RateLimits, BytesADayAreOnlyLookedAtAtMailAndTakenAtTheDot) {
  RateLimits limits = limits_of({.bytes_per_day_max = 1'000});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(limits.take_message("camera", 1'000, at(0s)), std::nullopt);
  }
  EXPECT_EQ(limits.take_bytes("camera", 600, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_message("camera", 400, at(0s)), std::nullopt);
  const auto at_mail = limits.take_message("camera", 401, at(0s));
  ASSERT_TRUE(at_mail);
  EXPECT_EQ(at_mail->code, 452);
  EXPECT_EQ(at_mail->enhanced, (smtp::EnhancedStatus{4, 7, 1}));
  const auto at_dot = limits.take_bytes("camera", 401, at(0s));
  ASSERT_TRUE(at_dot);
  EXPECT_EQ(at_dot->code, 452);
  EXPECT_EQ(limits.take_bytes("camera", 400, at(0s)), std::nullopt);
}

TEST(RateLimits, AUsedUpDayIsToldAtMailEvenWhenTheSizeIsNotKnown) {
  RateLimits limits = limits_of({.bytes_per_day_max = 1'000});
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_bytes("camera", 1'000, at(0s)), std::nullopt);
  EXPECT_TRUE(limits.take_message("camera", 0, at(0s)));
}

TEST(RateLimits, AMessageRefusedForItsBytesCostsNoMessage) {
  RateLimits limits = limits_of({.messages_per_minute_max = 1, .bytes_per_day_max = 1'000});
  EXPECT_EQ(limits.take_bytes("camera", 900, at(0s)), std::nullopt);
  EXPECT_TRUE(limits.take_message("camera", 500, at(0s)));
  EXPECT_EQ(limits.take_message("camera", 50, at(0s)), std::nullopt);
}

TEST(RateLimits, WhatCanNeverFitIsRefusedForGood) {
  // A wait would be a lie: the same message would be refused again tomorrow.
  RateLimits limits = limits_of({.messages_per_minute_max = 0, .bytes_per_day_max = 1'000});
  EXPECT_EQ(limits.take_message("camera", 1'001, at(0s))->text(),
            "550 5.7.1 user camera may send only 1000 octets a day and asked for 1001 at once; "
            "raise bytes_per_day_max in the relay's configuration");
  EXPECT_EQ(limits.take_bytes("camera", 1'001, at(0s))->code, 550);
  EXPECT_EQ(limits.take_bytes("camera", 1'000, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_message("camera", 0, at(48h))->code, 550);
}

TEST(RateLimits, ALongUserNameLeavesTheAdviceInTheReplyLine) {
  UserDirectory users;
  const std::string name(255, 'n');
  users[name].rates = {.bytes_per_day_max = 0};
  RateLimits limits;
  limits.configure(users, at(0s));
  const auto reply = limits.take_bytes(name, 1, at(0s));
  ASSERT_TRUE(reply);
  EXPECT_LE(reply->wire().size(), 512U);
  EXPECT_TRUE(reply->wire().ends_with("in the relay's configuration\r\n"));
}

TEST(RateLimits, ANameWithoutBucketsHasNoLimitAndNoState) {
  RateLimits limits = limits_of({.messages_per_minute_max = 1});
  EXPECT_EQ(limits.take_message("stranger", 0, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_recipient("stranger", at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_bytes("stranger", 1, at(0s)), std::nullopt);
  EXPECT_EQ(limits.save("stranger", {at(0s), noon}), "");
  limits.restore("stranger", "wall=1 messages=1", {at(0s), noon});
  EXPECT_EQ(limits.changed_users(), std::vector<std::string>{});
}

TEST(RateLimits, AReloadKeepsTheLevelOfUsersThatStay) {
  RateLimits limits = limits_of({.messages_per_minute_max = 2});
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  limits.configure(one_user({.messages_per_minute_max = 2}), at(0s));
  EXPECT_TRUE(limits.take_message("camera", 0, at(0s)));
  // A higher limit refills faster but gives nothing at once.
  limits.configure(one_user({.messages_per_minute_max = 60}), at(0s));
  EXPECT_TRUE(limits.take_message("camera", 0, at(0s)));
  EXPECT_EQ(limits.take_message("camera", 0, at(1s)), std::nullopt);
}

TEST(RateLimits, AReloadCutsTheLevelToTheNewMaximum) {
  RateLimits limits = limits_of({.messages_per_minute_max = 10});
  limits.configure(one_user({.messages_per_minute_max = 1}), at(0s));
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  EXPECT_TRUE(limits.take_message("camera", 0, at(0s)));
}

TEST(RateLimits, AReloadDropsUsersAndLimitsThatAreGone) {
  RateLimits limits = limits_of({.messages_per_minute_max = 1});
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  limits.configure(one_user({}), at(0s));
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  limits.configure({}, at(0s));
  EXPECT_EQ(limits.save("camera", {at(0s), noon}), "");
  limits.configure(one_user({.messages_per_minute_max = 1}), at(0s));
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
}

using Names = std::vector<std::string>;

TEST(RateLimits, OnlyWhatWasTakenIsAChangeToBeSaved) {
  UserDirectory users = one_user(
      {.messages_per_minute_max = 2, .recipients_per_day_max = 1, .bytes_per_day_max = 10});
  users["idle"].rates = {.messages_per_minute_max = 1};
  RateLimits limits;
  limits.configure(users, at(0s));
  EXPECT_EQ(limits.changed_users(), Names{});
  EXPECT_EQ(limits.take_message("camera", 0, at(0s)), std::nullopt);
  EXPECT_EQ(limits.changed_users(), Names{"camera"});
  limits.forget_changes();
  EXPECT_EQ(limits.take_recipient("camera", at(0s)), std::nullopt);
  EXPECT_EQ(limits.changed_users(), Names{"camera"});
  limits.forget_changes();
  EXPECT_EQ(limits.take_bytes("camera", 10, at(0s)), std::nullopt);
  EXPECT_EQ(limits.changed_users(), Names{"camera"});
  limits.forget_changes();
  EXPECT_TRUE(limits.take_recipient("camera", at(0s)));
  EXPECT_TRUE(limits.take_bytes("camera", 1, at(0s)));
  EXPECT_EQ(limits.changed_users(), Names{}) << "a refusal takes nothing";
}

TEST(RateLimits, AnotherMaximumIsAChangeAndAReloadWithoutOneIsNone) {
  RateLimits limits = limits_of({.messages_per_minute_max = 2});
  limits.configure(one_user({.messages_per_minute_max = 2}), at(0s));
  EXPECT_EQ(limits.changed_users(), Names{});
  limits.configure(one_user({.messages_per_minute_max = 3}), at(0s));
  EXPECT_EQ(limits.changed_users(), Names{"camera"});
}

class RateLimitsRestart : public testing::Test {
 protected:
  static constexpr RateSettings rates{
      .messages_per_minute_max = 4, .recipients_per_day_max = 24, .bytes_per_day_max = 24'000};

  // What is saved after a quarter of everything was left over.
  static std::string saved_line() {
    RateLimits limits = limits_of(rates, at(5h));
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(limits.take_message("camera", 0, at(5h)), std::nullopt);
    }
    for (int i = 0; i < 18; ++i) EXPECT_EQ(limits.take_recipient("camera", at(5h)), std::nullopt);
    EXPECT_EQ(limits.take_bytes("camera", 18'000, at(5h)), std::nullopt);
    return limits.save("camera", {at(5h), noon});
  }

  static int recipients_left(RateLimits& limits, MonotonicTime now) {
    int count = 0;
    while (count < 1'000 && !limits.take_recipient("camera", now)) ++count;
    return count;
  }
  static int messages_left(RateLimits& limits, MonotonicTime now) {
    int count = 0;
    while (count < 1'000 && !limits.take_message("camera", 0, now)) ++count;
    return count;
  }
  static RateLimits restored(std::string_view line, WallTime wall) {
    RateLimits limits = limits_of(rates);
    limits.restore("camera", line, {at(0s), wall});
    return limits;
  }
};

TEST_F(RateLimitsRestart, TheLineIsTextForTheStore) {
  EXPECT_EQ(saved_line(), "wall=1795000000000 messages=1000 recipients=6000 bytes=6000000");
}

TEST_F(RateLimitsRestart, AtOnceTheLevelsAreTheSame) {
  RateLimits limits = restored(saved_line(), noon);
  EXPECT_EQ(messages_left(limits, at(0s)), 1);
  EXPECT_EQ(recipients_left(limits, at(0s)), 6);
  EXPECT_TRUE(limits.take_bytes("camera", 6'001, at(0s)));
  EXPECT_EQ(limits.take_bytes("camera", 6'000, at(0s)), std::nullopt);
}

TEST_F(RateLimitsRestart, TheTimeAwayRefillsWhatItExplains) {
  RateLimits limits = restored(saved_line(), noon + 2h);
  EXPECT_EQ(messages_left(limits, at(0s)), 4);
  EXPECT_EQ(recipients_left(limits, at(0s)), 8);
  EXPECT_EQ(limits.take_bytes("camera", 8'000, at(0s)), std::nullopt);
  EXPECT_TRUE(limits.take_bytes("camera", 1, at(0s)));
}

TEST_F(RateLimitsRestart, AClockFarAheadFillsTheBucketAndNoMore) {
  RateLimits limits = restored(saved_line(), WallTime::max());
  EXPECT_EQ(messages_left(limits, at(0s)), 4);
  EXPECT_EQ(recipients_left(limits, at(0s)), 24);
}

TEST_F(RateLimitsRestart, AClockSetBackRefillsNothing) {
  for (const WallTime wall : {noon - 1ms, noon - 365 * 24h, WallTime(Duration(0))}) {
    RateLimits limits = restored(saved_line(), wall);
    EXPECT_EQ(messages_left(limits, at(0s)), 1);
    EXPECT_EQ(recipients_left(limits, at(0s)), 6);
  }
}

TEST_F(RateLimitsRestart, AfterwardsTheMonotonicClockRefills) {
  RateLimits limits = restored(saved_line(), noon);
  EXPECT_EQ(recipients_left(limits, at(0s)), 6);
  EXPECT_EQ(recipients_left(limits, at(1h)), 1);
}

TEST_F(RateLimitsRestart, WhatIsNotUnderstoodIsIgnored) {
  for (const char* line :
       {"", " ", "nonsense", "recipients", "recipients=", "recipients=x", "recipients=-1",
        "recipients=1.5", "recipients=99999999999999999999999", "Recipients=0", "xrecipients=0",
        "recipientsx=0", "=", "\n", "messages recipients bytes"}) {
    RateLimits limits = restored(line, noon);
    EXPECT_EQ(recipients_left(limits, at(0s)), 24) << line;
  }
  RateLimits endless = restored("recipients=0 " + std::string(10'000, ' '), noon);
  EXPECT_EQ(recipients_left(endless, at(0s)), 24);
}

TEST_F(RateLimitsRestart, ALineWithoutATimeRefillsNothing) {
  RateLimits limits = restored("future=7 recipients=2000", noon);
  EXPECT_EQ(recipients_left(limits, at(0s)), 2);
  RateLimits negative = restored("wall=-5 recipients=2000", noon);
  EXPECT_EQ(recipients_left(negative, at(0s)), 2);
}

TEST_F(RateLimitsRestart, ASavedLevelAboveTheNewMaximumIsCut) {
  RateLimits limits = restored("wall=1795000000000 recipients=18446744073709551615", noon);
  EXPECT_EQ(recipients_left(limits, at(0s)), 24);
}

TEST_F(RateLimitsRestart, ALimitThatIsGoneIsNotBroughtBack) {
  RateLimits limits = limits_of({.messages_per_minute_max = 4});
  limits.restore("camera", saved_line(), {at(0s), noon});
  EXPECT_EQ(recipients_left(limits, at(0s)), 1'000);
  EXPECT_EQ(messages_left(limits, at(0s)), 1);
}

TEST(RateLimits, AHugeLimitCanBeSavedAndRestored) {
  RateLimits limits = limits_of({.bytes_per_day_max = UINT64_MAX});
  const std::string line = limits.save("camera", {at(0s), noon});
  limits.restore("camera", line, {at(0s), noon});
  EXPECT_EQ(limits.take_bytes("camera", 1'000'000'000'000'000, at(0s)), std::nullopt);
}

}  // namespace
}  // namespace postern::policy
