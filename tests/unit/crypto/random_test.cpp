// Random octets and device passwords.
#include "crypto/random.hpp"

#include <gtest/gtest.h>

#include <set>

namespace postern::crypto {
namespace {

TEST(Random, HexHasTwoDigitsAnOctetAndDiffers) {
  const std::string one = random_hex(16);
  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(one, random_hex(16));
}

TEST(Random, FillsTheWholeSpan) {
  std::array<std::byte, 64> first{};
  std::array<std::byte, 64> second{};
  fill_random(first);
  fill_random(second);
  EXPECT_NE(first, second);
}

TEST(DevicePassword, HasSixteenCharactersWithoutLookAlikes) {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const Secret password = make_device_password();
    ASSERT_EQ(password.size(), 16U);
    for (const char c : password.text()) {
      EXPECT_TRUE((c >= '2' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
      EXPECT_EQ(std::string_view("0Oo1lI").find(c), std::string_view::npos) << c;
    }
    seen.emplace(password.text());
  }
  EXPECT_EQ(seen.size(), 200U);
}

}  // namespace
}  // namespace postern::crypto
