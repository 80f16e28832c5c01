// Address blocks: boundaries of the prefix, host bits, families.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

TEST(AddressBlock, ContainsItsFirstAndLastAddressAndNotTheirNeighbours) {
  const auto office = block("192.168.10.0/24");
  EXPECT_FALSE(office.contains(ip("192.168.9.255")));
  EXPECT_TRUE(office.contains(ip("192.168.10.0")));
  EXPECT_TRUE(office.contains(ip("192.168.10.255")));
  EXPECT_FALSE(office.contains(ip("192.168.11.0")));
}

TEST(AddressBlock, APrefixMayEndInsideAnOctet) {
  const auto part = block("10.20.32.0/19");
  EXPECT_FALSE(part.contains(ip("10.20.31.255")));
  EXPECT_TRUE(part.contains(ip("10.20.32.0")));
  EXPECT_TRUE(part.contains(ip("10.20.63.255")));
  EXPECT_FALSE(part.contains(ip("10.20.64.0")));
}

TEST(AddressBlock, Ipv6PrefixesWorkTheSame) {
  const auto documentation = block("2001:db8::/32");
  EXPECT_TRUE(documentation.contains(ip("2001:db8::1")));
  EXPECT_TRUE(documentation.contains(ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")));
  EXPECT_FALSE(documentation.contains(ip("2001:db9::")));
  EXPECT_FALSE(documentation.contains(ip("2001:db7:ffff::")));
  EXPECT_TRUE(block("fe80::/10").contains(ip("febf::1")));
  EXPECT_FALSE(block("fe80::/10").contains(ip("fec0::1")));
}

TEST(AddressBlock, AnAddressAloneIsThatAddress) {
  EXPECT_TRUE(block("192.168.10.7").contains(ip("192.168.10.7")));
  EXPECT_FALSE(block("192.168.10.7").contains(ip("192.168.10.6")));
  EXPECT_TRUE(block("192.168.10.7/32").contains(ip("192.168.10.7")));
  EXPECT_FALSE(block("192.168.10.7/32").contains(ip("192.168.10.8")));
  EXPECT_TRUE(block("2001:db8::7/128").contains(ip("2001:db8::7")));
  EXPECT_FALSE(block("2001:db8::7").contains(ip("2001:db8::6")));
}

TEST(AddressBlock, ZeroBitsMeanTheWholeFamilyAndNotTheOther) {
  EXPECT_TRUE(block("0.0.0.0/0").contains(ip("255.255.255.255")));
  EXPECT_FALSE(block("0.0.0.0/0").contains(ip("::1")));
  EXPECT_TRUE(block("::/0").contains(ip("ffff::")));
  EXPECT_FALSE(block("::/0").contains(ip("192.0.2.1")));
}

TEST(AddressBlock, AMappedAddressIsItsIpv4Address) {
  EXPECT_TRUE(block("192.168.10.0/24").contains(ip("::ffff:192.168.10.3")));
}

TEST(AddressBlock, HostBitsAreAnErrorThatNamesTheBlockMeant) {
  const auto parsed = AddressBlock::parse("192.168.10.7/24");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
  EXPECT_NE(parsed.error().detail.find("\"192.168.10.0/24\""), std::string::npos);
  EXPECT_NE(parsed.error().detail.find("\"192.168.10.7\""), std::string::npos);

  const auto six = AddressBlock::parse("2001:db8::1/32");
  ASSERT_FALSE(six);
  EXPECT_NE(six.error().detail.find("\"2001:db8::/32\""), std::string::npos);
  EXPECT_FALSE(AddressBlock::parse("10.20.48.0/19"));
  EXPECT_FALSE(AddressBlock::parse("0.0.0.1/0"));
}

TEST(AddressBlock, ThePrefixHasItsBounds) {
  EXPECT_TRUE(AddressBlock::parse("192.0.2.0/31"));
  EXPECT_TRUE(AddressBlock::parse("192.0.2.0/32"));
  EXPECT_FALSE(AddressBlock::parse("192.0.2.0/33"));
  EXPECT_TRUE(AddressBlock::parse("2001:db8::/127"));
  EXPECT_TRUE(AddressBlock::parse("2001:db8::/128"));
  EXPECT_FALSE(AddressBlock::parse("2001:db8::/129"));
}

TEST(AddressBlock, WhatIsNoBlockIsAnError) {
  for (const char* text : {"", "/", "/24", "192.168.10/24", "192.168.10.0/", "192.168.10.0/ 24",
                           "192.168.10.0/024", "192.168.10.0/+24", "192.168.10.0/-1",
                           "192.168.10.0/24/24", "192.168.10.0/24 ", "192.168.10.0/255.255.255.0",
                           "192.168.10.*", "office.example", "192.168.10.0/99999999999999999999",
                           "192.168.10.256", "2001:db8:::/32", "[2001:db8::]/32"}) {
    EXPECT_FALSE(AddressBlock::parse(text)) << text;
  }
  EXPECT_FALSE(AddressBlock::parse(std::string(100'000, '1')));
}

TEST(AddressBlock, AgreesWithCountingBitsOneByOne) {
  std::mt19937 generator(20'261'123);
  const auto random = [&generator] { return static_cast<unsigned>(generator()); };
  for (int round = 0; round < 2'000; ++round) {
    const bool six = random() % 2 == 0;
    const unsigned bits = random() % (six ? 129U : 33U);
    IpAddress network;
    network.is_ipv6 = six;
    const auto bit = [](const IpAddress& address, unsigned index) {
      return (address.octets[index / 8] >> (7U - index % 8U)) & 1U;
    };
    for (unsigned i = 0; i < bits; ++i) {
      const unsigned value = (random() & 1U) << (7U - i % 8U);
      network.octets[i / 8] = static_cast<std::uint8_t>(network.octets[i / 8] | value);
    }
    const auto parsed = AddressBlock::parse(network.text() + "/" + std::to_string(bits));
    if (!parsed) {
      // The only text that changes its family: an IPv4-mapped block.
      EXPECT_TRUE(six && !ip(network.text()).is_ipv6) << network.text() << "/" << bits;
      continue;
    }
    IpAddress candidate = network;
    for (unsigned flips = random() % 3; flips > 0; --flips) {
      const unsigned index = random() % (six ? 128U : 32U);
      candidate.octets[index / 8] =
          static_cast<std::uint8_t>(candidate.octets[index / 8] ^ (1U << (7U - index % 8U)));
    }
    bool expected = true;
    for (unsigned i = 0; i < bits; ++i) expected = expected && bit(network, i) == bit(candidate, i);
    EXPECT_EQ(parsed->contains(candidate), expected)
        << parsed->text() << " and " << candidate.text();
  }
}

}  // namespace
}  // namespace postern::policy
