// Durations, near names, domains: the small words of the configuration.
#include <gtest/gtest.h>

#include <array>

#include "relay/config/toml_reader.hpp"
#include "relay/config/toml_text.hpp"
#include "relay/config/words.hpp"

namespace postern::config {
namespace {

TEST(Durations, TakeOneNumberAndOneUnit) {
  EXPECT_EQ(parse_duration("250ms"), Duration(250));
  EXPECT_EQ(parse_duration("90s"), std::chrono::seconds(90));
  EXPECT_EQ(parse_duration("5m"), std::chrono::minutes(5));
  EXPECT_EQ(parse_duration("4h"), std::chrono::hours(4));
  EXPECT_EQ(parse_duration("5d"), std::chrono::hours(120));
}

TEST(Durations, RefuseEverythingElse) {
  for (const std::string_view text : {"", "5", "m", "-5m", "5 m", "1h30m", "5M", "5.5m", "+5m",
                                      "9223372036854775807d", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Durations, AreWrittenInTheLargestWholeUnit) {
  EXPECT_EQ(written(std::chrono::hours(48)), "2d");
  EXPECT_EQ(written(std::chrono::minutes(90)), "90m");
  EXPECT_EQ(written(Duration(1'500)), "1500ms");
  EXPECT_EQ(written(Duration(0)), "0ms");
}

TEST(NearestName, FindsASlipAndLeavesAStrangerAlone) {
  constexpr std::array<std::string_view, 3> names = {"recipients", "senders", "owner"};
  EXPECT_EQ(nearest_name("recipient", names), "recipients");
  EXPECT_EQ(nearest_name("Sender", names), "senders");
  EXPECT_EQ(nearest_name("ownre", names), "owner");
  EXPECT_EQ(nearest_name("colour", names), "");
  EXPECT_EQ(nearest_name(std::string(10'000, 'a'), names), "");
}

TEST(QualifiedDomain, HasTwoLabelsAndALastOneThatIsNoNumber) {
  // RFC 5321 §2.3.5.
  EXPECT_TRUE(is_qualified_domain("relay.office.example"));
  for (const std::string_view text :
       {"relay", "relay.", ".example", "10.0.0.1", "a..example", "-a.example", "a b.example"}) {
    EXPECT_FALSE(is_qualified_domain(text)) << text;
  }
}

TEST(TextFlaw, TypographicQuotesAreToldWithTheirPlace) {
  const auto flaw = find_text_flaw("# größe\na = \"ä\"\nb = “x”\n");
  ASSERT_TRUE(flaw);
  EXPECT_EQ(flaw->line, 3U);
  EXPECT_EQ(flaw->column, 5U);
  EXPECT_NE(flaw->message.find("not typographic ones"), std::string::npos);
}

TEST(TextFlaw, ColumnsCountCharacters) {
  const auto flaw = find_text_flaw("a = \"ää\" ä");
  ASSERT_TRUE(flaw);
  EXPECT_EQ(flaw->column, 10U);
}

TEST(TextFlaw, QuotesCommentsAndTheByteOrderMarkMayHoldAnything) {
  for (const std::string_view text : {"",
                                      "\xef\xbb\xbf"
                                      "a = 1",
                                      "a = 'ä\\' # ö", "a = \"ä \\\" ö\" # \"", "\"ä\" = 1\n# ä",
                                      "a = \"\"\nb = ''", "a = \"unended ä"}) {
    EXPECT_FALSE(find_text_flaw(text)) << text;
  }
}

TEST(TextFlaw, TextsOverSeveralLinesAndStrayCharactersAreRefused) {
  for (const std::string_view text : {"a = \"\"\"x\"\"\"", "a = '''x'''", "ä = 1", "a = 1 ä", "[ä]",
                                      "a = \"\\ä\"", "\xff", "a = 5\"ä\"", "a = \"b\"\"ä\""}) {
    EXPECT_TRUE(find_text_flaw(text)) << text;
  }
}

}  // namespace
}  // namespace postern::config
