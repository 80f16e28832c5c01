// DHCP as a client (RFC 2131, 2132): what is asked and what is taken.
#include "firmware/init/dhcp.hpp"

#include <algorithm>
#include <array>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

constexpr HardwareAddress hardware = {2, 0, 0, 0, 0, 1};
constexpr std::uint32_t transaction = 0x01020304;

// An answer with these octets as its options.
std::vector<std::uint8_t> answer(std::vector<std::uint8_t> options) {
  std::vector<std::uint8_t> message(240, 0);
  message[0] = 2;
  for (std::size_t i = 0; i < 4; ++i) {
    message[4 + i] = static_cast<std::uint8_t>(transaction >> (24 - 8 * i));
    message[16 + i] = static_cast<std::uint8_t>(10 + i);
  }
  std::ranges::copy(hardware, message.begin() + 28);
  std::ranges::copy(std::vector<std::uint8_t>{99, 130, 83, 99}, message.begin() + 236);
  message.insert(message.end(), options.begin(), options.end());
  return message;
}

std::optional<DhcpLease> read(std::vector<std::uint8_t> options) {
  return read_dhcp_reply(answer(std::move(options)), transaction, hardware);
}

TEST(DhcpReplyTest, EveryOptionOfInterestIsRead) {  // RFC 2132
  const auto lease = read({53, 1, 5,  1, 4, 255, 255, 0, 0,  0 /* pad */, 3,  4, 10, 0, 0,   1,
                           6,  8, 10, 0, 0, 2,   10,  0, 0,  3,           42, 4, 10, 0, 0,   4,
                           51, 4, 0,  0, 1, 44,  54,  4, 10, 0,           0,  1, 12, 1, 'x', 255});
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->kind, DhcpKind::acknowledge);
  EXPECT_EQ(lease->address, (Ipv4{10, 11, 12, 13}));
  EXPECT_EQ(lease->mask, (Ipv4{255, 255, 0, 0}));
  EXPECT_EQ(lease->router, (Ipv4{10, 0, 0, 1}));
  EXPECT_EQ(lease->name_servers, (std::vector<Ipv4>{{10, 0, 0, 2}, {10, 0, 0, 3}}));
  EXPECT_EQ(lease->time_servers, (std::vector<Ipv4>{{10, 0, 0, 4}}));
  EXPECT_EQ(lease->seconds, 300U);
  EXPECT_EQ(lease->server, (Ipv4{10, 0, 0, 1}));
}

TEST(DhcpReplyTest, AnOptionThatReachesBeyondTheEndRefusesTheWhole) {
  EXPECT_FALSE(read({53, 1, 5, 3}));
  EXPECT_FALSE(read({53, 1, 5, 3, 4, 10, 0, 0}));
  EXPECT_FALSE(read({53, 1, 5, 12, 255}));
}

TEST(DhcpReplyTest, AnAddressOfThreeOctetsRefusesTheWhole) {
  for (const std::uint8_t option : std::array<std::uint8_t, 4>{1, 3, 54, 51})
    EXPECT_FALSE(read({53, 1, 5, option, 3, 1, 2, 3}));
  EXPECT_FALSE(read({53, 2, 5, 5}));
}

TEST(DhcpReplyTest, WithoutAKindOrWithALeaseOfNoTimeItIsNoAnswer) {
  EXPECT_FALSE(read({255}));
  EXPECT_FALSE(read({53, 1, 5, 51, 4, 0, 0, 0, 0}));
}

TEST(DhcpReplyTest, OnlyTheFirstFourServersAreKept) {
  std::vector<std::uint8_t> options = {53, 1, 5, 6, 40};
  options.resize(options.size() + 40, 7);
  const auto lease = read(options);
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->name_servers.size(), 4U);
}

TEST(DhcpReplyTest, AnAnswerToSomebodyElseIsNotOurs) {
  const auto good = answer({53, 1, 5});
  EXPECT_TRUE(read_dhcp_reply(good, transaction, hardware));
  for (const std::size_t at : {0U, 4U, 28U, 33U, 236U}) {
    auto changed = good;
    changed[at] ^= 1;
    EXPECT_FALSE(read_dhcp_reply(changed, transaction, hardware)) << at;
  }
}

TEST(DhcpMessageTest, ARequestRepeatsTheOffer) {  // RFC 2131 section 4.3.2
  DhcpLease offer;
  offer.address = {10, 0, 0, 9};
  offer.server = {10, 0, 0, 1};
  const auto message = dhcp_message(DhcpKind::request, transaction, hardware, &offer);
  EXPECT_GE(message.size(), 300U);  // RFC 1542 section 2.1
  const std::vector<std::uint8_t> wanted = {53, 1, 3, 50, 4, 10, 0, 0, 9, 54, 4, 10, 0, 0, 1};
  EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), message.begin() + 240));
}

}  // namespace
}  // namespace postern::firmware
