// How many connections may be open, in all and from one address.
#include "relay/policy/connection_limits.hpp"

#include <gtest/gtest.h>

#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

TEST(ConnectionLimits, AcceptsUpToTheMaximumInAll) {
  ConnectionLimits limits(2, 2);
  EXPECT_EQ(limits.opened(ip("192.0.2.1")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("192.0.2.2")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("192.0.2.3")), ConnectionLimits::Verdict::too_many);
  EXPECT_EQ(limits.open(), 2U);
  limits.closed(ip("192.0.2.1"));
  EXPECT_EQ(limits.open(), 1U);
  EXPECT_EQ(limits.opened(ip("192.0.2.3")), ConnectionLimits::Verdict::accepted);
}

TEST(ConnectionLimits, AcceptsUpToTheMaximumOfAnAddressAndCountsNoRefusal) {
  ConnectionLimits limits(10, 2);
  const IpAddress device = ip("192.0.2.1");
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::too_many_from_address);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::too_many_from_address);
  EXPECT_EQ(limits.open(), 2U);
  limits.closed(device);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::accepted);
}

TEST(ConnectionLimits, Ipv6CountsByItsFirst64Bits) {
  ConnectionLimits limits(10, 1);
  EXPECT_EQ(limits.opened(ip("2001:db8::1")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("2001:db8::2")), ConnectionLimits::Verdict::too_many_from_address);
  EXPECT_EQ(limits.opened(ip("2001:db8:0:1::1")), ConnectionLimits::Verdict::accepted);
  limits.closed(ip("2001:db8::3"));
  EXPECT_EQ(limits.opened(ip("2001:db8::2")), ConnectionLimits::Verdict::accepted);
}

TEST(ConnectionLimits, OnTheLinkAndInTheSiteEveryIpv6AddressIsADeviceOfItsOwn) {
  ConnectionLimits limits(10, 1);
  EXPECT_EQ(limits.opened(ip("fe80::1")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("fe80::1")), ConnectionLimits::Verdict::too_many_from_address);
  EXPECT_EQ(limits.opened(ip("fe80::2")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("fd00::1")), ConnectionLimits::Verdict::accepted);
  EXPECT_EQ(limits.opened(ip("fd00::2")), ConnectionLimits::Verdict::accepted);
}

TEST(ConnectionLimits, LowerLimitsCloseNothingButAcceptNoMore) {
  ConnectionLimits limits(10, 10);
  const IpAddress device = ip("192.0.2.1");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::accepted);
  }
  limits.configure(10, 2);
  EXPECT_EQ(limits.open(), 3U);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::too_many_from_address);
  limits.closed(device);
  limits.closed(device);
  EXPECT_EQ(limits.opened(device), ConnectionLimits::Verdict::accepted);
  limits.configure(1, 10);
  EXPECT_EQ(limits.opened(ip("192.0.2.2")), ConnectionLimits::Verdict::too_many);
}

TEST(ConnectionLimitsDeathTest, ClosingWhatWasNeverOpenedIsAProgrammersError) {
  ConnectionLimits limits(10, 10);
  EXPECT_DEATH(limits.closed(ip("192.0.2.1")), "");
}

}  // namespace
}  // namespace postern::policy
