// Failed logins by address: delays, locks, memory bound.
#include <gtest/gtest.h>

#include "relay/policy/login_guard.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

using namespace std::chrono_literals;

const IpAddress attacker = ip("203.0.113.9");
constexpr std::string_view user = "copier-2";

// Fails `times` times at `now` and returns the last delay.
Duration fail_times(LoginGuard& guard, const IpAddress& address, int times, MonotonicTime now) {
  Duration delay{};
  for (int i = 0; i < times; ++i) delay = guard.failed(address, user, now);
  return delay;
}

TEST(LoginGuard, EachFailureDoublesTheDelayUpToEightSeconds) {
  LoginGuard guard(100);
  for (const Duration expected : {1s, 2s, 4s, 8s, 8s, 8s}) {
    EXPECT_EQ(guard.failed(attacker, user, at(0s)), expected);
  }
}

TEST(LoginGuard, TheDelayStaysBoundedAfterManyFailures) {
  LoginGuard guard(1'000'000);
  EXPECT_EQ(fail_times(guard, attacker, 10'000, at(0s)), Duration(8s));
}

TEST(LoginGuard, LocksAtTheLastAllowedFailureAndNotOneBefore) {
  LoginGuard guard(5);
  (void)fail_times(guard, attacker, 4, at(10s));
  EXPECT_FALSE(guard.locked(attacker, at(10s)));
  (void)guard.failed(attacker, user, at(10s));
  EXPECT_TRUE(guard.locked(attacker, at(10s)));
}

TEST(LoginGuard, TheLockLastsOneMinuteToTheMillisecond) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, user, at(10s));
  EXPECT_TRUE(guard.locked(attacker, at(10s)));
  EXPECT_TRUE(guard.locked(attacker, at(70s - 1ms)));
  EXPECT_FALSE(guard.locked(attacker, at(70s)));
  EXPECT_FALSE(guard.locked(attacker, at(70s + 1ms)));
}

TEST(LoginGuard, EveryFailureAfterALockDoublesTheNextUpToAnHour) {
  LoginGuard guard(3);
  MonotonicTime now = at(1s);
  (void)fail_times(guard, attacker, 2, now);
  for (const Duration expected : {Duration(1min), Duration(2min), Duration(4min), Duration(8min),
                                  Duration(16min), Duration(32min), Duration(1h), Duration(1h)}) {
    (void)guard.failed(attacker, user, now);
    EXPECT_TRUE(guard.locked(attacker, now + expected - 1ms)) << expected.count();
    EXPECT_FALSE(guard.locked(attacker, now + expected)) << expected.count();
    now += expected;
  }
}

TEST(LoginGuard, FailuresUnderWayDoNotLengthenALock) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, user, at(0s));
  (void)fail_times(guard, attacker, 10, at(30s));
  EXPECT_FALSE(guard.locked(attacker, at(60s)));
  (void)guard.failed(attacker, user, at(60s));
  EXPECT_TRUE(guard.locked(attacker, at(180s - 1ms)));
  EXPECT_FALSE(guard.locked(attacker, at(180s)));
}

TEST(LoginGuard, ASuccessForgivesWhatTheSameUserNameFailedAt) {
  LoginGuard guard(3);
  (void)fail_times(guard, attacker, 2, at(0s));
  guard.succeeded(attacker, user);
  EXPECT_EQ(guard.failed(attacker, user, at(0s)), Duration(1s));
  EXPECT_FALSE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, ASuccessForgivesNothingThatAnotherUserNameFailedAt) {
  // Who had one credential guessed at the others for ever, with a login of his own in between.
  LoginGuard guard(5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(guard.locked(attacker, at(0s)));
    (void)guard.failed(attacker, "victim", at(0s));
    if (i < 3) (void)guard.failed(attacker, "own", at(0s));
    guard.succeeded(attacker, "own");
  }
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
  guard.succeeded(attacker, "own");
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
  (void)guard.failed(attacker, "victim", at(2min));
  EXPECT_TRUE(guard.locked(attacker, at(2min) + 2min - 1ms)) << "and the next lock is longer";
}

TEST(LoginGuard, NamesBeyondTheBoundAreCountedAndNotForgiven) {
  LoginGuard guard(100);
  for (std::size_t i = 0; i < user_names_max + 1; ++i) {
    (void)guard.failed(attacker, "name-" + std::to_string(i), at(0s));
  }
  guard.succeeded(attacker, "name-" + std::to_string(user_names_max));
  for (std::size_t i = 0; i < user_names_max; ++i) {
    guard.succeeded(attacker, "name-" + std::to_string(i));
  }
  EXPECT_EQ(guard.failed(attacker, user, at(0s)), Duration(2s)) << "one is left";
}

TEST(LoginGuard, ADayAfterTheLastFailureAllIsForgotten) {
  LoginGuard guard(3);
  (void)fail_times(guard, attacker, 2, at(0s));
  EXPECT_EQ(guard.failed(attacker, user, at(failures_kept - 1ms)), Duration(4s));
  EXPECT_TRUE(guard.locked(attacker, at(failures_kept)));
  EXPECT_EQ(guard.failed(attacker, user, at(2 * failures_kept)), Duration(1s));
  EXPECT_FALSE(guard.locked(attacker, at(2 * failures_kept)));
}

TEST(LoginGuard, OtherAddressesAreNotTouched) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, user, at(0s));
  EXPECT_FALSE(guard.locked(ip("203.0.113.10"), at(0s)));
  EXPECT_EQ(guard.failed(ip("203.0.113.10"), user, at(0s)), Duration(1s));
}

TEST(LoginGuard, Ipv6CountsByItsFirst64Bits) {
  LoginGuard guard(2);
  (void)guard.failed(ip("2001:db8:0:1::1"), user, at(0s));
  EXPECT_EQ(guard.failed(ip("2001:db8:0:1:ffff::2"), user, at(0s)), Duration(2s));
  EXPECT_TRUE(guard.locked(ip("2001:db8:0:1::3"), at(0s)));
  EXPECT_FALSE(guard.locked(ip("2001:db8:0:2::1"), at(0s)));
  guard.succeeded(ip("2001:db8:0:1::4"), user);
  EXPECT_FALSE(guard.locked(ip("2001:db8:0:1::1"), at(0s)));
}

TEST(LoginGuard, OnTheLinkAndInTheSiteEveryIpv6AddressIsADeviceOfItsOwn) {
  // RFC 4291 §2.5.6, RFC 4193 §3: there a /64 is a network of many devices. One locked them all.
  for (const auto& [first, second] :
       {std::pair("fe80::1", "fe80::2"), std::pair("febf::1", "febf::2"),
        std::pair("fd00::1", "fd00::2"), std::pair("fc00::1", "fc00::2")}) {
    LoginGuard guard(1);
    (void)guard.failed(ip(first), user, at(0s));
    EXPECT_TRUE(guard.locked(ip(first), at(0s)));
    EXPECT_FALSE(guard.locked(ip(second), at(0s))) << second;
  }
  LoginGuard guard(1);
  (void)guard.failed(ip("fec0::1"), user, at(0s));
  EXPECT_TRUE(guard.locked(ip("fec0::2"), at(0s))) << "the next block counts by /64 again";
}

TEST(LoginGuard, InTheNetworkOfTheConnectionsOwnAddressEveryDeviceCountsAlone) {
  LoginGuard guard(1);
  const IpAddress local = ip("2001:db8:0:1::465");
  (void)guard.failed({ip("2001:db8:0:1::1"), local}, user, at(0s));
  EXPECT_TRUE(guard.locked({ip("2001:db8:0:1::1"), local}, at(0s)));
  EXPECT_FALSE(guard.locked({ip("2001:db8:0:1::2"), local}, at(0s)));
  (void)guard.failed({ip("2001:db8:0:2::1"), local}, user, at(0s));
  EXPECT_TRUE(guard.locked({ip("2001:db8:0:2::2"), local}, at(0s))) << "others count by /64";
}

TEST(LoginGuard, AMappedAddressCountsAsItsIpv4Address) {
  LoginGuard guard(1);
  (void)guard.failed(ip("::ffff:203.0.113.9"), user, at(0s));
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, ANewMaximumAppliesToTheNextFailure) {
  LoginGuard guard(10);
  (void)fail_times(guard, attacker, 4, at(0s));
  guard.set_failures_max(5);
  EXPECT_FALSE(guard.locked(attacker, at(0s)));
  (void)guard.failed(attacker, user, at(0s));
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, WhenFullTheOldestThatIsNotLockedGoesFirst) {
  LoginGuard guard(2, 3);
  const IpAddress locked = ip("192.0.2.1");
  const IpAddress older = ip("192.0.2.2");
  const IpAddress newer = ip("192.0.2.3");
  (void)fail_times(guard, locked, 2, at(1s));
  (void)guard.failed(older, user, at(2s));
  (void)guard.failed(newer, user, at(3s));
  (void)guard.failed(ip("192.0.2.4"), user, at(4s));
  EXPECT_TRUE(guard.locked(locked, at(4s)));
  // `newer` is remembered: its second failure locks it. `older` is not: it starts again.
  EXPECT_EQ(guard.failed(newer, user, at(5s)), Duration(2s));
  EXPECT_EQ(guard.failed(older, user, at(5s)), Duration(1s));
}

TEST(LoginGuard, AnAddressThatFailsAgainIsNoLongerTheOldest) {
  LoginGuard guard(100, 2);
  (void)guard.failed(ip("192.0.2.1"), user, at(1s));
  (void)guard.failed(ip("192.0.2.2"), user, at(2s));
  (void)guard.failed(ip("192.0.2.1"), user, at(3s));
  (void)guard.failed(ip("192.0.2.3"), user, at(4s));
  EXPECT_EQ(guard.failed(ip("192.0.2.1"), user, at(5s)), Duration(4s));
}

TEST(LoginGuard, WhenAllAreLockedTheOldestLockGoes) {
  LoginGuard guard(1, 2);
  (void)guard.failed(ip("192.0.2.1"), user, at(1s));
  (void)guard.failed(ip("192.0.2.2"), user, at(2s));
  (void)guard.failed(ip("192.0.2.3"), user, at(3s));
  EXPECT_FALSE(guard.locked(ip("192.0.2.1"), at(3s)));
  EXPECT_TRUE(guard.locked(ip("192.0.2.2"), at(3s)));
  EXPECT_TRUE(guard.locked(ip("192.0.2.3"), at(3s)));
}

}  // namespace
}  // namespace postern::policy
