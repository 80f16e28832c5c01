// The dot reader: what ends the data, what poisons it, and what comes out (RFC 5321 §2.3.8,
// §4.1.1.4, §4.5.2).
#include "relay/smtp/content.hpp"

#include <gtest/gtest.h>

#include <random>

namespace postern::smtp {
namespace {

using namespace std::string_view_literals;
using Status = ContentReader::Status;

struct Outcome {
  Status status = Status::need_more;
  std::string content;
  std::size_t consumed = 0;  // only told for an end: how much behind it is left alone
  bool operator==(const Outcome&) const = default;
};

Outcome read(std::string_view octets, BareNewline bare_newline, std::size_t piece) {
  ContentReader reader(bare_newline);
  Outcome outcome;
  std::size_t consumed = 0;
  while (consumed < octets.size()) {
    std::string_view input = octets.substr(consumed, piece);
    const std::size_t given = input.size();
    outcome.status = reader.read(input);
    consumed += given - input.size();
    if (outcome.status != Status::need_more && outcome.status != Status::end) {
      outcome.content.clear();  // the message is lost
      return outcome;
    }
    outcome.content += as_text(reader.output());
    if (outcome.status == Status::end) {
      outcome.consumed = consumed;
      return outcome;
    }
  }
  return outcome;
}

// Whole, octet by octet and in threes; all must agree.
Outcome read(std::string_view octets, BareNewline bare_newline = BareNewline::reject) {
  const Outcome whole = read(octets, bare_newline, octets.size());
  EXPECT_EQ(read(octets, bare_newline, 1), whole) << octets;
  EXPECT_EQ(read(octets, bare_newline, 3), whole) << octets;
  return whole;
}

TEST(Content, OnlyADotOnALineOfItsOwnEndsIt) {
  EXPECT_EQ(read("a\r\n.\r\nQUIT"), (Outcome{Status::end, "a\r\n", 6}));
  EXPECT_EQ(read(".\r\n"), (Outcome{Status::end, "", 3}));
  EXPECT_EQ(read("\r\n.\r\n"), (Outcome{Status::end, "\r\n", 5}));
  EXPECT_EQ(read("a.\r\n"), (Outcome{Status::need_more, "a.\r\n", 0}));
  EXPECT_EQ(read(" .\r\n").status, Status::need_more);
}

TEST(Content, DotsAreUnstuffed) {  // RFC 5321 §4.5.2
  EXPECT_EQ(read("..\r\n...a\r\n.b\r\n.\r\n"), (Outcome{Status::end, ".\r\n..a\r\nb\r\n", 17}));
}

// Every sequence that some server somewhere took for the end of the data.
constexpr std::string_view look_alikes[] = {
    "\n.\n"sv,       "\n.\r\n"sv,       "\r\n.\n"sv,       "\r.\r"sv,       "\r.\r\n"sv,
    "\r\n.\r"sv,     "\n.\r"sv,         "\r.\n"sv,         "\r\n\0.\r\n"sv, "\r\n.\0\r\n"sv,
    "\r\n.\r\0\n"sv, "\r\n\0.\0\r\n"sv, "\r\r\n.\r\r\n"sv, "\r\n.\r\r\n"sv, "\r\r\n.\r\n"sv,
    "\n\r.\n\r"sv,   "\n\n.\n\n"sv,     "\r\0\n.\r\0\n"sv, "\n\0.\r\n"sv,   "\n.\0\n"sv};

TEST(Content, NoLookAlikeEndsItAndTheMessageIsRefused) {
  for (const std::string_view look_alike : look_alikes) {
    const std::string octets =
        "Subject: x\r\n\r\ntext" + std::string(look_alike) + "MAIL FROM:<evil@x.example>\r\n";
    const Status status = read(octets, BareNewline::reject).status;
    EXPECT_TRUE(status == Status::bare_line_feed || status == Status::bare_carriage_return ||
                status == Status::nul)
        << octets;
  }
}

TEST(Content, NoLookAlikeEndsItWhenBareLineFeedsAreNormalised) {
  for (const std::string_view look_alike : look_alikes) {
    const std::string octets = "text" + std::string(look_alike) + "MAIL FROM:<evil@x.example>\r\n";
    const Outcome outcome = read(octets, BareNewline::normalize);
    EXPECT_NE(outcome.status, Status::end) << octets;
    const bool bare_cr_or_nul = outcome.status != Status::need_more;
    const bool only_line_feeds = look_alike.find_first_of("\r\0"sv) == std::string_view::npos;
    if (only_line_feeds) {
      EXPECT_FALSE(bare_cr_or_nul) << octets;
    }
  }
}

TEST(Content, ANormalisedLineFeedBeginsNoLineOfTheProtocol) {
  EXPECT_EQ(read("a\n.\nb\r\n.\r\n", BareNewline::normalize),
            (Outcome{Status::end, "a\r\n.\r\nb\r\n", 10}));
  EXPECT_EQ(read("a\n.\r\nb\r\n.\r\n", BareNewline::normalize),
            (Outcome{Status::end, "a\r\n.\r\nb\r\n", 11}));
  EXPECT_EQ(read("a\n..b\r\n.\r\n", BareNewline::normalize).content, "a\r\n..b\r\n");
  EXPECT_EQ(read("a\r\n.\nb\r\n.\r\n", BareNewline::normalize).content, "a\r\n\r\nb\r\n");
  EXPECT_EQ(read("\n.\r\n.\r\n", BareNewline::normalize).content, "\r\n.\r\n");
}

TEST(Content, ABareCarriageReturnOrANulIsNeverNormalised) {
  EXPECT_EQ(read("a\rb\r\n", BareNewline::normalize).status, Status::bare_carriage_return);
  EXPECT_EQ(read("a\r\r\n", BareNewline::normalize).status, Status::bare_carriage_return);
  EXPECT_EQ(read("a\0\r\n"sv, BareNewline::normalize).status, Status::nul);
}

TEST(Content, WhatComesOutIsCleanHoweverTheInputIsCut) {
  std::mt19937 random(4711);  // a fixed seed: the same inputs at every run
  constexpr std::string_view alphabet = "\r\r\n\n\n..ab\0"sv;
  for (int round = 0; round < 4'000; ++round) {
    std::string octets;
    for (std::size_t i = random() % 24; i-- > 0;) octets += alphabet[random() % alphabet.size()];
    if (random() % 2 == 0) octets += "\r\n.\r\n";
    for (const auto mode : {BareNewline::reject, BareNewline::normalize}) {
      const Outcome outcome = read(octets, mode);
      const std::string& content = outcome.content;
      for (std::size_t i = 0; i < content.size(); ++i) {
        ASSERT_NE(content[i], '\0');
        if (content[i] == '\n') {
          ASSERT_TRUE(i > 0 && content[i - 1] == '\r');
        }
        if (content[i] == '\r') {
          ASSERT_TRUE(i + 1 < content.size() && content[i + 1] == '\n');
        }
      }
      if (outcome.status == Status::end) {
        ASSERT_TRUE(content.empty() || content.ends_with("\r\n"));
        const std::string_view taken = std::string_view(octets).substr(0, outcome.consumed);
        ASSERT_TRUE(taken == ".\r\n" || taken.ends_with("\r\n.\r\n"));
      }
    }
  }
}

TEST(Content, LongInputStaysWithinTheBuffer) {
  const std::string line_feeds(content_step_bytes_max * 3 + 1,
                               '\n');  // the worst case: each one doubles
  EXPECT_EQ(read(line_feeds, BareNewline::normalize, line_feeds.size()).content.size(),
            line_feeds.size() * 2);
  std::string lines = "\r";  // a held CR before a full step
  EXPECT_EQ(read(lines + "\n" + std::string(content_step_bytes_max * 2, 'x'), BareNewline::reject,
                 1'000'000)
                .content.size(),
            content_step_bytes_max * 2 + 2);
}

TEST(Content, TheSizeIsCountedWithoutStuffing) {  // RFC 1870 §3
  Content content(BareNewline::reject, 6);
  std::string_view input = "..abc\r\n.\r\n";
  EXPECT_EQ(content.read(input), Content::Progress::finished);
  EXPECT_FALSE(content.refusal());
  Content longer(BareNewline::reject, 5);
  input = "..abc\r\n.\r\n";
  EXPECT_EQ(longer.read(input), Content::Progress::finished);
  ASSERT_TRUE(longer.refusal());
  EXPECT_EQ(longer.refusal()->code, 552);
  EXPECT_TRUE(longer.output().empty());
}

}  // namespace
}  // namespace postern::smtp
