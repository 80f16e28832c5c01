// What a submission server adds to and takes from a header, and that the client's words stay words.
#include <gtest/gtest.h>

#include <string>

#include "relay/message/header.hpp"

namespace postern::message {
namespace {

SubmissionFacts facts() {
  SubmissionFacts facts;
  facts.hostname = "relay.office.example";
  facts.queue_id = "01J0000000000";
  facts.client_name = "printer";
  facts.client_address = "192.168.10.7";
  facts.user_name = "scan";
  facts.tls_version = "TLSv1.3";
  facts.tls_cipher = "TLS_AES_256_GCM_SHA384";
  facts.now = WallTime(std::chrono::milliseconds(1'795'467'300'000));
  facts.random_token = "0123456789abcdef";
  return facts;
}

Header header_of(std::string_view block) {
  auto header = Header::parse(block);
  EXPECT_TRUE(header);
  return header ? *header : Header();
}

constexpr std::string_view complete =
    "From: scan@office.example\r\nDate: Mon, 23 Nov 2026 20:55:00 +0000\r\nMessage-ID: <a@b>\r\n";

std::string received(const SubmissionFacts& given) {
  Header header = header_of(complete);
  EXPECT_TRUE(fix_up(header, given));
  EXPECT_TRUE(header.fields()[0].is("Received"));
  EXPECT_EQ(header.octets(), header.fields()[0].octets + std::string(complete));
  return header.fields()[0].octets;
}

TEST(FixUp, AddsDateAndMessageIdWhereMissingOrEmpty) {  // RFC 6409 §8.2, §8.3
  for (const std::string_view block :
       {"From: a@b.example\r\n", "From: a@b.example\r\nDate: \r\nMessage-ID:\r\n"}) {
    Header header = header_of(block);
    ASSERT_TRUE(fix_up(header, facts()));
    EXPECT_EQ(header.find("Date")->value(), format_mail_date(facts().now));
    EXPECT_EQ(header.find("Message-ID")->value(),
              "<01J0000000000.0123456789abcdef@relay.office.example>");
    EXPECT_EQ(header.count("Date"), 1U);
  }
}

TEST(FixUp, WritesTheTraceField) {  // RFC 5321 §4.4, RFC 3848, RFC 8314 §4.3
  SubmissionFacts given = facts();
  given.single_recipient = "anna@far.example";
  const std::string field = received(given);
  const std::string value = header_of(field).fields()[0].value();
  EXPECT_EQ(value,
            "from printer ([192.168.10.7]) (authenticated as scan)\tby relay.office.example with "
            "ESMTPSA id 01J0000000000 for <anna@far.example>\ttls TLS_AES_256_GCM_SHA384 "
            "(TLSv1.3);\t" +
                format_mail_date(given.now));
  std::size_t start = 0;
  for (std::size_t end = field.find("\r\n"); end != std::string::npos;
       end = field.find("\r\n", start)) {
    EXPECT_LE(end - start, 78U);
    start = end + 2;
  }
  EXPECT_EQ(start, field.size());
}

TEST(FixUp, NamesUtf8AndIpv6) {  // RFC 6531 §4.3, RFC 5321 §4.1.3
  SubmissionFacts given = facts();
  given.utf8 = true;
  given.client_address = "2001:db8::7";
  given.user_name = "büro";
  const std::string field = received(given);
  EXPECT_NE(field.find("with UTF8SMTPSA"), std::string::npos);
  EXPECT_NE(field.find("([IPv6:2001:db8::7])"), std::string::npos);
  EXPECT_NE(field.find("(authenticated as büro)"), std::string::npos);
  given.utf8 = false;
  EXPECT_NE(received(given).find("(authenticated as b??ro)"), std::string::npos);
}

TEST(FixUp, HidesTheUserWhenAsked) {
  SubmissionFacts given = facts();
  given.show_user = false;
  const std::string field = received(given);
  for (const std::string_view secret : {"printer", "192.168.10.7", "scan"}) {
    EXPECT_EQ(field.find(secret), std::string::npos) << secret;
  }
}

TEST(FixUp, HostileNamesStayInsideTheirPlace) {
  for (const std::string_view name :
       {"a\r\nBcc: x@y.example", "a) (b", "a b", "a;b", "", "b\xff", "a\tby evil.example"}) {
    SubmissionFacts given = facts();
    given.client_name = name;
    EXPECT_NE(received(given).find("from unknown "), std::string::npos) << name;
  }
  SubmissionFacts given = facts();
  given.client_name = std::string(300, 'a');
  EXPECT_NE(received(given).find("from unknown "), std::string::npos);
  given = facts();
  given.user_name = "x) by evil (\\\r\nBcc: y";
  const std::string field = received(given);
  EXPECT_NE(field.find("x\\) by evil \\(\\\\??Bcc: y)"), std::string::npos);
  EXPECT_EQ(header_of(field).fields().size(), 1U);
  given.single_recipient = "a@b>\r\nBcc: <c@d";
  EXPECT_EQ(received(given).find("for <"), std::string::npos);
}

TEST(FixUp, RemovesWhatMustNotTravelOn) {  // RFC 8601 §5, RFC 5321 §4.4
  Header header = header_of(
      "Authentication-Results: relay.office.example; spf=pass\r\n"
      "Authentication-Results: (a \\) comment) Relay.Office.Example 1; none\r\n"
      "Authentication-Results: \"relay.office.example\"; none\r\n"
      "Authentication-Results: other.example; spf=pass\r\n"
      "Bcc: hidden@far.example\r\nReturn-Path: <x@y.example>\r\n" +
      std::string(complete));
  ASSERT_TRUE(fix_up(header, facts()));
  EXPECT_EQ(header.count("Authentication-Results"), 1U);
  EXPECT_EQ(header.find("Authentication-Results")->value(), "other.example; spf=pass");
  EXPECT_EQ(header.count("Bcc"), 0U);
  EXPECT_EQ(header.count("Return-Path"), 0U);
}

TEST(FixUp, RefusesNoFromAndSeveral) {  // RFC 5322 §3.6
  for (const std::string_view block : {"Subject: x\r\n", "From: a@b\r\nFROM: c@d\r\n"}) {
    Header header = header_of(block);
    const auto result = fix_up(header, facts());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::invalid);
    EXPECT_NE(result.error().detail.find("From"), std::string::npos);
    EXPECT_EQ(header.octets(), block) << "a refused header is left alone";
  }
}

TEST(FixUp, RefusesSeveralSenders) {  // RFC 5322 §3.6: only one would be judged
  Header header = header_of("From: a@b\r\nSender: a@b\r\nSENDER: boss@b\r\n");
  const auto result = fix_up(header, facts());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::invalid);
  EXPECT_NE(result.error().detail.find("Sender"), std::string::npos);
}

TEST(FixUp, RefusesALoop) {  // RFC 5321 §6.3
  std::string block(complete);
  for (std::size_t i = 0; i < received_fields_max; ++i) block += "Received: by x; date\r\n";
  Header header = header_of(block);
  EXPECT_TRUE(fix_up(header, facts()));
  header = header_of(block + "Received: by y; date\r\n");
  const auto result = fix_up(header, facts());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::unsupported);
}

}  // namespace
}  // namespace postern::message
