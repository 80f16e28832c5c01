// Text helpers: ASCII case, trimming, UTF-8 and decimal numbers.
#include "relay/base/text.hpp"

#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::string_view_literals;

TEST(Text, CaseIsAsciiOnly) {
  EXPECT_EQ(to_lower("MaIl \xC3\x84"), "mail \xC3\x84");
  EXPECT_TRUE(equals_ignoring_case("StartTLS", "STARTtls"));
  EXPECT_FALSE(equals_ignoring_case("\xC3\x84", "\xC3\xA4"));
  EXPECT_FALSE(equals_ignoring_case("@", "`"));
  EXPECT_TRUE(starts_with_ignoring_case("from:<a@b>", "FROM:"));
  EXPECT_FALSE(starts_with_ignoring_case("FRO", "FROM:"));
}

TEST(Text, TrimTakesSpaceAndTabOnly) {
  EXPECT_EQ(trim(" \t a b\t "), "a b");
  EXPECT_EQ(trim("\r\na"), "\r\na");
  EXPECT_EQ(trim("   "), "");
}

TEST(Text, ControlsAreC0DelAndC1AsUtf8WritesIt) {
  EXPECT_FALSE(holds_control(""));
  EXPECT_FALSE(holds_control("a ~ \xC2\xA0 \xC3\x80 \xE2\x80\x93"));
  for (const auto text : {"\0"sv, "a\r"sv, "\x1F"sv, "\x7F"sv, "a\xC2\x80"sv, "\xC2\x9F z"sv}) {
    EXPECT_TRUE(holds_control(text)) << text;
  }
}

TEST(Text, Utf8OfRfc3629Section4) {
  EXPECT_TRUE(is_valid_utf8("plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x93\xA7 \xF4\x8F\xBF\xBF"));
  EXPECT_FALSE(is_valid_utf8("\xC0\x80"));          // overlong NUL
  EXPECT_FALSE(is_valid_utf8("\xC1\xBF"));          // overlong
  EXPECT_FALSE(is_valid_utf8("\xE0\x9F\xBF"));      // overlong
  EXPECT_FALSE(is_valid_utf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(is_valid_utf8("\xF0\x8F\xBF\xBF"));  // overlong
  EXPECT_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(is_valid_utf8("\xE2\x82"));          // cut off
  EXPECT_FALSE(is_valid_utf8("\xE2\x82x"));
  EXPECT_FALSE(is_valid_utf8("\x80"));
  EXPECT_FALSE(is_valid_utf8("\xFF"));
}

TEST(Text, DecimalIsDigitsOnlyAndBounded) {
  EXPECT_EQ(parse_decimal<std::uint16_t>("65535"), 65535);
  EXPECT_FALSE(parse_decimal<std::uint16_t>("65536"));
  EXPECT_EQ(parse_decimal<std::uint64_t>("18446744073709551615"), 18446744073709551615ULL);
  for (const auto text : {""sv, "-1"sv, "+1"sv, " 1"sv, "1 "sv, "0x1"sv, "1e3"sv}) {
    EXPECT_FALSE(parse_decimal<int>(text)) << text;
  }
}

}  // namespace
}  // namespace postern
