// SNTP (RFC 4330): which answers set the clock.
#include "firmware/init/sntp.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

constexpr std::uint64_t number = 0x0123456789ABCDEF;
constexpr std::int64_t built = 1'795'000'000;  // 2026-11-18

void put(std::vector<std::uint8_t>& message, std::size_t at, std::uint64_t value) {
  for (std::size_t i = 0; i < 8; ++i)
    message[at + i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
}

// A good answer `seconds` after 1970, and a half.
std::vector<std::uint8_t> answer(std::int64_t seconds) {
  std::vector<std::uint8_t> message(sntp_bytes, 0);
  message[0] = 4 << 3 | 4;
  message[1] = 2;
  put(message, 24, number);
  const auto since_1900 = static_cast<std::uint64_t>(seconds + 2'208'988'800) & 0xFFFFFFFF;
  put(message, 40, since_1900 << 32 | 0x80000000);
  return message;
}

TEST(SntpTest, ARequestCarriesNothingButItsNumber) {  // RFC 4330 section 5
  const auto request = sntp_request(number);
  EXPECT_EQ(request[0], 4 << 3 | 3);
  EXPECT_TRUE(
      std::all_of(request.begin() + 1, request.begin() + 40, [](auto o) { return o == 0; }));
  EXPECT_EQ(request[40], 0x01);
  EXPECT_EQ(request[47], 0xEF);
}

TEST(SntpTest, AGoodAnswerIsTaken) {
  const auto time = read_sntp_reply(answer(built + 5), number, built);
  ASSERT_TRUE(time);
  EXPECT_EQ(time->seconds, built + 5);
  EXPECT_EQ(time->microseconds, 500'000U);
}

TEST(SntpTest, TheEraThatBeginsIn2036IsUnderstood) {  // RFC 4330 section 3
  const std::int64_t later = 2'085'978'496 + 1000;    // NTP's seconds are 1000 again
  const auto time = read_sntp_reply(answer(later), number, later - 86'400);
  ASSERT_TRUE(time);
  EXPECT_EQ(time->seconds, later);
}

TEST(SntpTest, AnAnswerThatIsNotForThisQuestionOrNotFromAServerInTimeIsRefused) {
  const auto refused = [](std::vector<std::uint8_t> message) {
    return !read_sntp_reply(message, number, built).has_value();
  };
  auto message = answer(built + 5);
  EXPECT_FALSE(read_sntp_reply(message, number + 1, built));
  for (std::size_t size = 0; size < sntp_bytes; ++size)
    EXPECT_FALSE(read_sntp_reply(std::span(message).first(size), number, built)) << size;
  message[0] = 4 << 3 | 3;  // a client's mode
  EXPECT_TRUE(refused(message));
  message[0] = 3 << 6 | 4 << 3 | 4;  // not synchronised
  EXPECT_TRUE(refused(message));
  message = answer(built + 5);
  for (const std::uint8_t stratum :
       std::array<std::uint8_t, 3>{0, 16, 255}) {  // section 8: kiss of death
    message[1] = stratum;
    EXPECT_TRUE(refused(message));
  }
  message = answer(built + 5);
  put(message, 40, 0);
  EXPECT_TRUE(refused(message));
}

TEST(SntpTest, ATimeBeforeTheImageOrLongAfterItIsRefused) {
  EXPECT_FALSE(read_sntp_reply(answer(built - 1), number, built));
  EXPECT_TRUE(read_sntp_reply(answer(built), number, built));
  EXPECT_TRUE(read_sntp_reply(answer(built + 9LL * 31'556'952), number, built));
  EXPECT_FALSE(read_sntp_reply(answer(built + 11LL * 31'556'952), number, built));
}

}  // namespace
}  // namespace postern::firmware
