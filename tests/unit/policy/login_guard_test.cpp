// Failed logins by address: delays, locks, memory bound.
#include <gtest/gtest.h>

#include "relay/policy/login_guard.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

using namespace std::chrono_literals;

const IpAddress attacker = ip("203.0.113.9");

// Fails `times` times at `now` and returns the last delay.
Duration fail_times(LoginGuard& guard, const IpAddress& address, int times, MonotonicTime now) {
  Duration delay{};
  for (int i = 0; i < times; ++i) delay = guard.failed(address, now);
  return delay;
}

TEST(LoginGuard, EachFailureDoublesTheDelayUpToEightSeconds) {
  LoginGuard guard(100);
  for (const Duration expected : {1s, 2s, 4s, 8s, 8s, 8s}) {
    EXPECT_EQ(guard.failed(attacker, at(0s)), expected);
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
  (void)guard.failed(attacker, at(10s));
  EXPECT_TRUE(guard.locked(attacker, at(10s)));
}

TEST(LoginGuard, TheLockLastsOneMinuteToTheMillisecond) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, at(10s));
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
    (void)guard.failed(attacker, now);
    EXPECT_TRUE(guard.locked(attacker, now + expected - 1ms)) << expected.count();
    EXPECT_FALSE(guard.locked(attacker, now + expected)) << expected.count();
    now += expected;
  }
}

TEST(LoginGuard, FailuresUnderWayDoNotLengthenALock) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, at(0s));
  (void)fail_times(guard, attacker, 10, at(30s));
  EXPECT_FALSE(guard.locked(attacker, at(60s)));
  (void)guard.failed(attacker, at(60s));
  EXPECT_TRUE(guard.locked(attacker, at(180s - 1ms)));
  EXPECT_FALSE(guard.locked(attacker, at(180s)));
}

TEST(LoginGuard, ASuccessForgetsTheAddress) {
  LoginGuard guard(3);
  (void)fail_times(guard, attacker, 3, at(0s));
  guard.succeeded(attacker);
  EXPECT_FALSE(guard.locked(attacker, at(0s)));
  EXPECT_EQ(guard.failed(attacker, at(0s)), Duration(1s));
  EXPECT_FALSE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, OtherAddressesAreNotTouched) {
  LoginGuard guard(1);
  (void)guard.failed(attacker, at(0s));
  EXPECT_FALSE(guard.locked(ip("203.0.113.10"), at(0s)));
  EXPECT_EQ(guard.failed(ip("203.0.113.10"), at(0s)), Duration(1s));
}

TEST(LoginGuard, Ipv6CountsByItsFirst64Bits) {
  LoginGuard guard(2);
  (void)guard.failed(ip("2001:db8:0:1::1"), at(0s));
  EXPECT_EQ(guard.failed(ip("2001:db8:0:1:ffff::2"), at(0s)), Duration(2s));
  EXPECT_TRUE(guard.locked(ip("2001:db8:0:1::3"), at(0s)));
  EXPECT_FALSE(guard.locked(ip("2001:db8:0:2::1"), at(0s)));
  guard.succeeded(ip("2001:db8:0:1::4"));
  EXPECT_FALSE(guard.locked(ip("2001:db8:0:1::1"), at(0s)));
}

TEST(LoginGuard, OnTheLinkAndInTheSiteEveryIpv6AddressIsADeviceOfItsOwn) {
  // RFC 4291 §2.5.6, RFC 4193 §3: there a /64 is a network of many devices. One locked them all.
  for (const auto& [first, second] :
       {std::pair("fe80::1", "fe80::2"), std::pair("febf::1", "febf::2"),
        std::pair("fd00::1", "fd00::2"), std::pair("fc00::1", "fc00::2")}) {
    LoginGuard guard(1);
    (void)guard.failed(ip(first), at(0s));
    EXPECT_TRUE(guard.locked(ip(first), at(0s)));
    EXPECT_FALSE(guard.locked(ip(second), at(0s))) << second;
  }
  LoginGuard guard(1);
  (void)guard.failed(ip("fec0::1"), at(0s));
  EXPECT_TRUE(guard.locked(ip("fec0::2"), at(0s))) << "the next block counts by /64 again";
}

TEST(LoginGuard, InTheNetworkOfTheConnectionsOwnAddressEveryDeviceCountsAlone) {
  LoginGuard guard(1);
  const IpAddress local = ip("2001:db8:0:1::465");
  (void)guard.failed({ip("2001:db8:0:1::1"), local}, at(0s));
  EXPECT_TRUE(guard.locked({ip("2001:db8:0:1::1"), local}, at(0s)));
  EXPECT_FALSE(guard.locked({ip("2001:db8:0:1::2"), local}, at(0s)));
  (void)guard.failed({ip("2001:db8:0:2::1"), local}, at(0s));
  EXPECT_TRUE(guard.locked({ip("2001:db8:0:2::2"), local}, at(0s))) << "others count by /64";
}

TEST(LoginGuard, AMappedAddressCountsAsItsIpv4Address) {
  LoginGuard guard(1);
  (void)guard.failed(ip("::ffff:203.0.113.9"), at(0s));
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, ANewMaximumAppliesToTheNextFailure) {
  LoginGuard guard(10);
  (void)fail_times(guard, attacker, 4, at(0s));
  guard.set_failures_max(5);
  EXPECT_FALSE(guard.locked(attacker, at(0s)));
  (void)guard.failed(attacker, at(0s));
  EXPECT_TRUE(guard.locked(attacker, at(0s)));
}

TEST(LoginGuard, WhenFullTheOldestThatIsNotLockedGoesFirst) {
  LoginGuard guard(2, 3);
  const IpAddress locked = ip("192.0.2.1");
  const IpAddress older = ip("192.0.2.2");
  const IpAddress newer = ip("192.0.2.3");
  (void)fail_times(guard, locked, 2, at(1s));
  (void)guard.failed(older, at(2s));
  (void)guard.failed(newer, at(3s));
  (void)guard.failed(ip("192.0.2.4"), at(4s));
  EXPECT_TRUE(guard.locked(locked, at(4s)));
  // `newer` is remembered: its second failure locks it. `older` is not: it starts again.
  EXPECT_EQ(guard.failed(newer, at(5s)), Duration(2s));
  EXPECT_EQ(guard.failed(older, at(5s)), Duration(1s));
}

TEST(LoginGuard, AnAddressThatFailsAgainIsNoLongerTheOldest) {
  LoginGuard guard(100, 2);
  (void)guard.failed(ip("192.0.2.1"), at(1s));
  (void)guard.failed(ip("192.0.2.2"), at(2s));
  (void)guard.failed(ip("192.0.2.1"), at(3s));
  (void)guard.failed(ip("192.0.2.3"), at(4s));
  EXPECT_EQ(guard.failed(ip("192.0.2.1"), at(5s)), Duration(4s));
}

TEST(LoginGuard, WhenAllAreLockedTheOldestLockGoes) {
  LoginGuard guard(1, 2);
  (void)guard.failed(ip("192.0.2.1"), at(1s));
  (void)guard.failed(ip("192.0.2.2"), at(2s));
  (void)guard.failed(ip("192.0.2.3"), at(3s));
  EXPECT_FALSE(guard.locked(ip("192.0.2.1"), at(3s)));
  EXPECT_TRUE(guard.locked(ip("192.0.2.2"), at(3s)));
  EXPECT_TRUE(guard.locked(ip("192.0.2.3"), at(3s)));
}

}  // namespace
}  // namespace postern::policy
