// Replies: written within the limits, read from hostile upstreams, told to people.
#include "relay/smtp/reply.hpp"

#include <gtest/gtest.h>

#include <string>

namespace postern::smtp {
namespace {

using Status = ReplyParser::Status;

Reply parsed(std::string_view wire) {
  ReplyParser parser;
  EXPECT_EQ(parser.feed(wire), Status::complete);
  EXPECT_TRUE(wire.empty());
  return parser.take();
}

Status status_of(std::string_view wire) { return ReplyParser().feed(wire); }

TEST(Reply, IsWrittenWithItsEnhancedCodeOnEveryLine) {  // RFC 2034 §4
  const Reply reply = make_reply(550, {5, 7, 1}, "not allowed\nask the administrator");
  EXPECT_EQ(reply.wire(), "550-5.7.1 not allowed\r\n550 5.7.1 ask the administrator\r\n");
  EXPECT_EQ(make_reply(354, "go on").wire(), "354 go on\r\n");
}

TEST(Reply, CannotBeMadeToCarryAForgedLine) {
  Reply reply = make_reply(550, "x");
  reply.lines[0] = "evil\r\n250 ok\x01\xc3\xa4";
  EXPECT_EQ(reply.wire(), "550 evil??250 ok???\r\n");
}

TEST(Reply, LineIsAtMost512OctetsLong) {  // RFC 5321 §4.5.3.1.5
  EXPECT_EQ(make_reply(250, std::string(4000, 'a')).wire().size(), 512U);
}

TEST(Reply, TextForPeopleIsOneBoundedLine) {
  EXPECT_EQ(parsed("550-5.1.1 no such user\r\n550 5.1.1 second line\r\n").text(),
            "550 5.1.1 no such user / second line");
  EXPECT_LE(make_reply(550, std::string(4000, 'a')).text().size(), reply_text_bytes_max);
  std::string umlauts;
  for (int i = 0; i < 1000; ++i) umlauts += "ä";
  const std::string text = make_reply(550, umlauts).text();
  EXPECT_LE(text.size(), reply_text_bytes_max);
  EXPECT_TRUE(text.ends_with("ä…"));
}

TEST(ReplyParser, ReadsCodeAloneAndEmptyText) {  // RFC 5321 §4.2: the text is optional
  EXPECT_EQ(parsed("250\r\n").lines, std::vector<std::string>{""});
  EXPECT_EQ(parsed("250 \r\n").code, 250);
}

TEST(ReplyParser, ReadsByOctets) {
  ReplyParser parser;
  const std::string wire = "250-mail.example\r\n250-SIZE 1000\r\n250 DSN\r\n";
  for (std::size_t i = 0; i < wire.size(); ++i) {
    std::string_view piece(wire.data() + i, 1);
    EXPECT_EQ(parser.feed(piece), i + 1 < wire.size() ? Status::need_more : Status::complete);
  }
  EXPECT_EQ(parser.take().lines, (std::vector<std::string>{"mail.example", "SIZE 1000", "DSN"}));
}

TEST(ReplyParser, LeavesTheNextReplyInTheInput) {
  ReplyParser parser;
  std::string_view input = "250 2.1.0 one\r\n550 5.1.1 two\r\n";
  ASSERT_EQ(parser.feed(input), Status::complete);
  EXPECT_EQ(parser.take().text(), "250 2.1.0 one");
  ASSERT_EQ(parser.feed(input), Status::complete);
  EXPECT_EQ(parser.take().text(), "550 5.1.1 two");
}

TEST(ReplyParser, TakesALoneLineFeedAsTheEndOfALine) {
  EXPECT_EQ(parsed("220 old server\n").text(), "220 old server");
}

TEST(ReplyParser, EnhancedCodeOfAnotherClassIsText) {  // RFC 2034 §4: the classes agree
  const Reply reply = parsed("550 2.0.0 strange\r\n");
  EXPECT_FALSE(reply.enhanced);
  EXPECT_EQ(reply.lines[0], "2.0.0 strange");
}

TEST(ReplyParser, CleansControlCharactersAndBrokenUtf8) {
  EXPECT_EQ(parsed("550 a\x01"
                   "b\x1b[31m\r\n")
                .lines[0],
            "a?b?[31m");
  EXPECT_EQ(parsed("550 gr\xc3\xbc\xc3\x9f\r\n").lines[0], "grüß");
  EXPECT_EQ(parsed("550 gr\xfc\r\n").lines[0], "gr?");
}

TEST(ReplyParser, RefusesWhatIsNoReply) {
  for (const std::string_view wire :
       {"HTTP/1.1 400 Bad Request\r\n", "\r\n", "25\r\n", "150 one\r\n", "650 six\r\n",
        "250+plus\r\n", "2500 digits\r\n", "250-one\r\n251 two\r\n", "250-one\r\nrubbish\r\n",
        "\x16\x03\x01\n", "-25 x\r\n", "2 5 x\r\n"}) {
    EXPECT_EQ(status_of(wire), Status::malformed) << wire;
  }
}

TEST(ReplyParser, BoundsTheLineAndTheNumberOfLines) {
  EXPECT_EQ(status_of("250 " + std::string(reply_line_bytes_max, 'a')), Status::malformed);
  std::string endless;
  for (std::size_t i = 0; i <= reply_lines_max; ++i) endless += "250-x\r\n";
  EXPECT_EQ(status_of(endless), Status::malformed);
}

TEST(EnhancedStatus, IsParsedStrictly) {  // RFC 3463 §2
  EXPECT_EQ(EnhancedStatus::parse_prefix("5.7.1 no")->text(), "5.7.1");
  EXPECT_EQ(EnhancedStatus::parse_prefix("4.999.999")->detail, 999);
  for (const std::string_view text :
       {"3.0.0", "5.7", "5.7.1.2", "5.7.x", "5.07.1", "5.7.1000", ".7.1", "5..1", "5.7.1x", ""}) {
    EXPECT_FALSE(EnhancedStatus::parse_prefix(text)) << text;
  }
}

TEST(Reply, ShortenedKeepsWhatItShowsAndNoMore) {
  Reply reply{550, EnhancedStatus{5, 1, 1}, {}};
  reply.lines.assign(reply_lines_max, "\xC3\xA4" + std::string(reply_line_bytes_max - 8, 'x'));
  const Reply kept = shortened(reply);
  EXPECT_EQ(kept.text(), reply.text());
  std::size_t octets = 0;
  for (const auto& line : kept.lines) octets += line.size();
  EXPECT_LE(octets, reply_text_bytes_max);
  const Reply brief = make_reply(452, {4, 3, 1}, "full\ncome back");
  EXPECT_EQ(shortened(brief), brief);
}

}  // namespace
}  // namespace postern::smtp
