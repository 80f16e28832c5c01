// Fields kept octet by octet, and content split into header and body wherever it is cut.
#include "relay/message/header.hpp"

#include <gtest/gtest.h>

#include <string>

namespace postern::message {
namespace {

TEST(Header, KeepsTheOctetsOfEveryField) {
  const std::string block =
      "From: a@b.example\r\nSubject:  two\r\n\t lines \r\nX-Empty:\r\nOld : x\r\n";
  const auto header = Header::parse(block);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->octets(), block);
  EXPECT_EQ(header->find("subject")->value(), "two\t lines");
  EXPECT_EQ(header->find("x-empty")->value(), "");
  EXPECT_EQ(header->find("OLD")->value(), "x");  // RFC 5322 §4.5.8: blanks before the colon
  EXPECT_EQ(header->find("Old")->name(), "Old");
  EXPECT_EQ(header->find("Missing"), nullptr);
}

TEST(Header, IsEmptyWhenTheFirstLineIsNoField) {
  for (const std::string_view block :
       {"Hello world\r\nSubject: x\r\n", " folded first\r\n", ": x\r\n", "From me at 12:30\r\n",
        "n\xc3\xa4me: x\r\n", ""}) {
    const auto header = Header::parse(block);
    ASSERT_TRUE(header) << block;
    EXPECT_TRUE(header->fields().empty()) << block;
  }
}

TEST(Header, RefusesALaterLineThatIsNoField) {
  const auto header = Header::parse("Subject: x\r\nno field\r\n");
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().kind, ErrorKind::invalid);
  EXPECT_NE(header.error().detail.find("line 2"), std::string::npos);
}

TEST(Header, BoundsFieldsAndOctets) {
  std::string many;
  for (std::size_t i = 0; i < header_fields_max; ++i) many += "A: b\r\n";
  EXPECT_TRUE(Header::parse(many));
  EXPECT_FALSE(Header::parse(many + "A: b\r\n"));
  EXPECT_FALSE(Header::parse("A: " + std::string(header_bytes_max, 'x') + "\r\n"));
}

TEST(Header, CountsRemovesAndAdds) {
  auto header = Header::parse("A: 1\r\nB: 2\r\na: 3");
  ASSERT_TRUE(header);
  EXPECT_EQ(header->count("A"), 2U);
  header->append("C: 4\r\n");
  header->prepend("D: 5\r\n");
  header->remove("b");
  EXPECT_EQ(header->octets(), "D: 5\r\nA: 1\r\na: 3\r\nC: 4\r\n");
  EXPECT_TRUE(header->fields()[0].is("d"));
}

struct Split {
  std::string block;
  std::string body;
  HeaderCollector::Status status = HeaderCollector::Status::collecting;
};

Split split(std::string_view content, std::size_t piece_bytes) {
  HeaderCollector collector;
  Split split;
  while (!content.empty()) {
    const std::string_view piece = content.substr(0, piece_bytes);
    content.remove_prefix(piece.size());
    ByteView rest;
    const bool before = collector.complete();
    split.status = collector.feed(as_bytes(piece), rest);
    if (!before && collector.complete()) split.body += collector.body_prefix();
    split.body += as_text(rest);
  }
  if (!collector.complete() && split.status != HeaderCollector::Status::too_long) {
    collector.finish();
    split.body += collector.body_prefix();
  }
  split.block = collector.block();
  return split;
}

struct SplitCase {
  std::string_view content;
  std::string_view block;
  std::string_view body;
};

TEST(HeaderCollector, SplitsTheSameWhereverTheContentIsCut) {
  const SplitCase cases[] = {
      {"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore\r\n", "A: 1\r\nB: 2\r\n", "body\r\n\r\nmore\r\n"},
      {"A: 1\r\n\r\n", "A: 1\r\n", ""},
      {"A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n", ""},              // no empty line, no body
      {"\r\nonly a body\r\n", "", "only a body\r\n"},            // no header
      {"Hello\r\n\r\nworld\r\n", "", "Hello\r\n\r\nworld\r\n"},  // the first line is no field
      {"Hello", "", "Hello"},
      {"", "", ""},
      {"\r\n", "", ""},
      {"A: 1\r\nno field\r\n\r\nb", "A: 1\r\nno field\r\n", "b"},  // Header::parse's matter
  };
  for (const SplitCase& c : cases) {
    for (std::size_t piece = 1; piece <= c.content.size() + 1; ++piece) {
      const Split got = split(c.content, piece);
      EXPECT_EQ(got.block, c.block) << c.content << " in pieces of " << piece;
      EXPECT_EQ(got.body, c.body) << c.content << " in pieces of " << piece;
    }
  }
}

TEST(HeaderCollector, RefusesAHeaderThatDoesNotEnd) {
  for (const std::size_t piece : {1'000U, 65'536U, 10'000'000U}) {
    const std::string content = "A: " + std::string(header_bytes_max, 'x');
    EXPECT_EQ(split(content, piece).status, HeaderCollector::Status::too_long);
  }
  const std::string longest = "A: " + std::string(header_bytes_max - 5, 'x') + "\r\n";
  const Split fits = split(longest + "\r\nbody", 4'096);
  EXPECT_EQ(fits.status, HeaderCollector::Status::complete);
  EXPECT_EQ(fits.block, longest);
  EXPECT_EQ(fits.body, "body");
  EXPECT_EQ(split("A: " + std::string(header_bytes_max - 4, 'x') + "\r\n\r\nbody", 4'096).status,
            HeaderCollector::Status::too_long);
}

}  // namespace
}  // namespace postern::message
