// Transparency (RFC 5321 §4.5.2): nothing in the content can end the data, wherever it is cut.
#include "relay/smtp/dot_stuffing.hpp"

#include <gtest/gtest.h>

#include <string>

namespace postern::smtp {
namespace {

std::string stuffed(std::string_view content) {
  DotStuffer stuffer;
  const std::string body = stuffer.stuff(as_bytes(content));
  return body + stuffer.finish();
}

TEST(DotStuffer, DoublesADotOnlyAtTheStartOfALine) {
  EXPECT_EQ(stuffed(".one\r\ntwo.\r\n.\r\n..\r\n"), "..one\r\ntwo.\r\n..\r\n...\r\n.\r\n");
}

TEST(DotStuffer, EndsContentThatLacksItsLineEnd) {
  EXPECT_EQ(stuffed(""), ".\r\n");
  EXPECT_EQ(stuffed("a"), "a\r\n.\r\n");
  EXPECT_EQ(stuffed("a\r"), "a\r\n.\r\n");
  EXPECT_EQ(stuffed("a\n"), "a\n\r\n.\r\n");
  EXPECT_EQ(stuffed("\n"), "\n\r\n.\r\n");
  EXPECT_EQ(stuffed("a\r\n"), "a\r\n.\r\n");
}

TEST(DotStuffer, DoublesADotAfterABareLineFeedToo) {
  EXPECT_EQ(stuffed("a\n.\r\nMAIL"), "a\n..\r\nMAIL\r\n.\r\n");
}

TEST(DotStuffer, GivesTheSameWhereverTheContentIsCut) {
  const std::string content = ".\r\n..\r\na.b\r\n.c\r\n\r\n.\r\r\n.\n.\r\n";
  const std::string whole = stuffed(content);
  for (std::size_t first = 0; first <= content.size(); ++first) {
    for (std::size_t second = first; second <= content.size(); ++second) {
      DotStuffer stuffer;
      std::string out = stuffer.stuff(as_bytes(content.substr(0, first)));
      out += stuffer.stuff(as_bytes(content.substr(first, second - first)));
      out += stuffer.stuff(as_bytes(content.substr(second)));
      ASSERT_EQ(out + stuffer.finish(), whole) << first << " " << second;
    }
  }
}

TEST(DotStuffer, IsReadyForTheNextMessageAfterFinish) {
  DotStuffer stuffer;
  EXPECT_EQ(stuffer.stuff(as_bytes("a")), "a");
  EXPECT_EQ(stuffer.finish(), "\r\n.\r\n");
  EXPECT_EQ(stuffer.stuff(as_bytes(".b\r\n")), "..b\r\n");
}

}  // namespace
}  // namespace postern::smtp
