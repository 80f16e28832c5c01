// Envelopes to text and back: the exact words, every envelope the grammar can make, damaged rows.
#include "relay/queue/envelope_codec.hpp"

#include <gtest/gtest.h>

#include <random>

#include "relay/smtp/envelope_parameters.hpp"

namespace postern::queue {
namespace {

bool same(const smtp::Sender& a, const smtp::Sender& b) {
  return a.reverse_path == b.reverse_path && a.declared_bytes == b.declared_bytes &&
         a.body == b.body && a.smtputf8 == b.smtputf8 && a.require_tls == b.require_tls &&
         a.dsn_return == b.dsn_return && a.envelope_id == b.envelope_id;
}

bool same(const smtp::Recipient& a, const smtp::Recipient& b) {
  return a.mailbox == b.mailbox && a.notify == b.notify &&
         a.original_recipient == b.original_recipient;
}

smtp::Sender mail(const std::string& arguments) {
  auto sender = smtp::parse_mail_arguments(arguments);
  EXPECT_TRUE(sender) << arguments;
  return sender ? *sender : smtp::Sender{};
}

smtp::Recipient rcpt(const std::string& arguments) {
  auto recipient = smtp::parse_rcpt_arguments(arguments);
  EXPECT_TRUE(recipient) << arguments;
  return recipient ? *recipient : smtp::Recipient{};
}

void expect_round_trip(const smtp::Sender& sender) {
  const auto stored = to_stored(sender);
  const auto again = from_stored(stored);
  ASSERT_TRUE(again) << stored.reverse_path << " " << stored.parameters << ": "
                     << again.error().text();
  EXPECT_TRUE(same(*again, sender)) << stored.reverse_path << " " << stored.parameters;
}

void expect_round_trip(const smtp::Recipient& recipient) {
  const auto stored = to_stored(std::vector{recipient});
  ASSERT_EQ(stored.size(), 1U);
  const auto again = from_stored(stored[0]);
  ASSERT_TRUE(again) << stored[0].address << " " << stored[0].parameters << ": "
                     << again.error().text();
  EXPECT_TRUE(same(*again, recipient)) << stored[0].address << " " << stored[0].parameters;
}

storage::StoredRecipient stored_recipient(std::string address, std::string parameters) {
  storage::StoredRecipient stored;
  stored.address = std::move(address);
  stored.parameters = std::move(parameters);
  return stored;
}

TEST(EnvelopeCodec, WritesTheWordsOfMail) {
  const auto stored = to_stored(
      mail("FROM:<Scan@Office.example> SIZE=1024 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS "
           "ENVID=QQ+2B314159"));
  EXPECT_EQ(stored.reverse_path, "Scan@office.example");
  EXPECT_EQ(stored.parameters,
            "SIZE=1024 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=QQ+2B314159");
}

TEST(EnvelopeCodec, WritesNothingForWhatWasNotSaid) {
  const auto stored = to_stored(mail("FROM:<scan@office.example>"));
  EXPECT_EQ(stored.parameters, "");
  EXPECT_EQ(to_stored(std::vector{rcpt("TO:<anna@far.example>")})[0].parameters, "");
}

TEST(EnvelopeCodec, TheNullReversePathIsAnEmptyText) {
  const auto stored = to_stored(smtp::Sender{});
  EXPECT_EQ(stored.reverse_path, "");
  const auto again = from_stored(stored);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->reverse_path.is_null());
}

TEST(EnvelopeCodec, WritesTheWordsOfRcptAndNumbersThem) {
  const auto stored = to_stored(
      {rcpt("TO:<anna@far.example> NOTIFY=DELAY,FAILURE ORCPT=rfc822;Anna+2Ba@far.example"),
       rcpt("TO:<\"bob b\"@far.example> NOTIFY=NEVER")});
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[0].index, 0);
  EXPECT_EQ(stored[0].address, "anna@far.example");
  EXPECT_EQ(stored[0].parameters, "NOTIFY=FAILURE,DELAY ORCPT=rfc822;Anna+2Ba@far.example");
  EXPECT_EQ(stored[0].state, storage::RecipientState::waiting);
  EXPECT_EQ(stored[1].index, 1);
  EXPECT_EQ(stored[1].address, "\"bob b\"@far.example");
  EXPECT_EQ(stored[1].parameters, "NOTIFY=NEVER");
  EXPECT_TRUE(to_stored(std::vector<smtp::Recipient>{}).empty());
}

TEST(EnvelopeCodec, EverySenderOfTheGrammarComesBack) {
  for (const char* arguments :
       {"FROM:<>", "FROM:<scan@office.example>",
        "FROM:<\"a \\\" \\\\ > b\"@office.example> RET=FULL",
        "FROM:<@hop.example:scan@office.example> BODY=7BIT", "FROM:<root@[192.0.2.1]>",
        "FROM:<root@[IPv6:2001:db8::1]>", "FROM:<scan@office.example> SIZE=0",
        "FROM:<scan@office.example> SIZE=18446744073709551615",
        "FROM:<scan@office.example> SIZE=99999999999999999999", "FROM:<a@b.example> ENVID=",
        "FROM:<a@b.example> ENVID=a+20b+2B+3D~", "FROM:<> SMTPUTF8 REQUIRETLS",
        "FROM:<gr\xc3\xbc\xc3\x9f"
        "e@b\xc3\xbc"
        "cher.example> SMTPUTF8"}) {
    expect_round_trip(mail(arguments));
  }
}

TEST(EnvelopeCodec, EveryRecipientOfTheGrammarComesBack) {
  for (const char* arguments :
       {"TO:<anna@far.example>", "TO:<\"<>@ ;=+\"@far.example>", "TO:<a%b!c@far.example>",
        "TO:<anna@far.example> NOTIFY=NEVER", "TO:<anna@far.example> NOTIFY=SUCCESS",
        "TO:<anna@far.example> NOTIFY=SUCCESS,FAILURE,DELAY",
        "TO:<anna@far.example> ORCPT=rfc822;+2B+3D+20;;x", "TO:<anna@far.example> ORCPT=x-y;+2B",
        "TO:<gr\xc3\xbc\xc3\x9f"
        "e@far.example> ORCPT=utf-8;gr\xc3\xbc\xc3\x9f"
        "e@far.example"}) {
    expect_round_trip(rcpt(arguments));
  }
}

TEST(EnvelopeCodec, TheLongestParametersOfTheGrammarComeBack) {
  // RFC 3461 §4.4 and §4.2: 100 octets of ENVID, 500 of ORCPT, also all of them UTF-8 (RFC 6533
  // §3).
  expect_round_trip(mail("FROM:<a@b.example> ENVID=" + std::string(100, 'e')));
  std::string escaped;
  for (int i = 0; i < 33; ++i) escaped += "+3D";
  expect_round_trip(mail("FROM:<a@b.example> ENVID=" + escaped));
  expect_round_trip(rcpt("TO:<a@b.example> ORCPT=rfc822;" + std::string(493, 'o')));
  std::string umlauts;
  while (umlauts.size() < 492) umlauts += "\xc3\xbc";
  expect_round_trip(rcpt("TO:<a@b.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;" + umlauts));
}

TEST(EnvelopeCodec, TheLongestAddressesComeBack) {
  // RFC 5321 §4.5.3.1: 64 octets of local part, 254 in all.
  const std::string label(60, 'd');
  const std::string domain = label + "." + label + "." + label + ".example";
  const std::string quotes = [] {
    std::string text;
    for (int i = 0; i < 25; ++i) text += "\\\"";
    return text;
  }();
  expect_round_trip(rcpt("TO:<" + std::string(60, 'l') + "@" + domain + ">"));
  expect_round_trip(rcpt("TO:<\"" + quotes + "\"@" + domain + ">"));
}

TEST(EnvelopeCodec, AReportMayGoBackToAnAddressLiteral) {
  const smtp::Recipient recipient{
      .mailbox = {"root", "[192.0.2.1]"}, .notify = {}, .original_recipient = {}};
  expect_round_trip(recipient);
}

TEST(EnvelopeCodec, AnOriginalRecipientWithoutATypeIsLeftOut) {
  // The grammar makes none; the mail must not be lost for it.
  smtp::Recipient recipient = rcpt("TO:<anna@far.example>");
  recipient.original_recipient = "anna@far.example";
  const auto stored = to_stored(std::vector{recipient});
  EXPECT_EQ(stored[0].parameters, "");
  EXPECT_TRUE(from_stored(stored[0]));
}

TEST(EnvelopeCodec, DamagedSendersAreCorrupt) {
  const std::pair<const char*, const char*> rows[] = {
      {"scan", ""},
      {"<scan@office.example>", ""},
      {"scan@office.example> SIZE=1", ""},
      {" ", ""},
      {"@hop.example:scan@office.example", ""},
      {"gr\xc3\xbc\xc3\x9f"
       "e@office.example",
       ""},
      {"scan@office.example", "SIZE"},
      {"scan@office.example", "SIZE=x"},
      {"scan@office.example", "SIZE=1 SIZE=1"},
      {"scan@office.example", "BODY=9BIT"},
      {"scan@office.example", "RET=SOME"},
      {"scan@office.example", "ENVID=a+0Ab"},
      {"scan@office.example", "ENVID=a+"},
      {"scan@office.example", "SMTPUTF8=1"},
      {"scan@office.example", "NOTIFY=NEVER"},
      {"scan@office.example", "BODY=8BITMIME\r\nRCPT TO:<x@y.example>"},
      {"scan@office.example", "<>"},
  };
  for (const auto& [reverse_path, parameters] : rows) {
    const auto sender = from_stored(storage::StoredSender{reverse_path, parameters});
    ASSERT_FALSE(sender) << reverse_path << " " << parameters;
    EXPECT_EQ(sender.error().kind, ErrorKind::corrupt);
  }
}

TEST(EnvelopeCodec, DamagedRecipientsAreCorrupt) {
  const std::pair<const char*, const char*> rows[] = {
      {"", ""},
      {"anna", ""},
      {"<anna@far.example>", ""},
      {"anna@far.example> NOTIFY=NEVER", ""},
      {"postmaster", ""},
      {"anna@far.example\r\n", ""},
      {"anna@far.example", "NOTIFY"},
      {"anna@far.example", "NOTIFY="},
      {"anna@far.example", "NOTIFY=NEVER,FAILURE"},
      {"anna@far.example", "NOTIFY=NEVER NOTIFY=NEVER"},
      {"anna@far.example", "ORCPT=rfc822"},
      {"anna@far.example", "ORCPT=rfc822;a+0D+0Ab"},
      {"anna@far.example", "ORCPT=rfc822;\xff"},
      {"anna@far.example", "SIZE=1"},
  };
  for (const auto& [address, parameters] : rows) {
    const auto recipient = from_stored(stored_recipient(address, parameters));
    ASSERT_FALSE(recipient) << address << " " << parameters;
    EXPECT_EQ(recipient.error().kind, ErrorKind::corrupt);
  }
}

TEST(EnvelopeCodec, EndlessTextsAreCorruptAndQuotedOnlyInPart) {
  const std::string endless(100'000, ' ');
  const auto sender = from_stored(storage::StoredSender{"scan@office.example", endless});
  ASSERT_FALSE(sender);
  EXPECT_LT(sender.error().text().size(), 300U);
  EXPECT_FALSE(from_stored(stored_recipient("anna@far.example", endless)));
  const auto recipient = from_stored(stored_recipient(std::string(100'000, 'a'), ""));
  ASSERT_FALSE(recipient);
  EXPECT_LT(recipient.error().text().size(), 300U);
}

class EnvelopeCodecAtRandom : public testing::TestWithParam<unsigned> {
 protected:
  std::size_t pick(std::size_t count) { return random_() % count; }
  bool toss() { return pick(2) == 0; }

  std::string local_part() {
    constexpr std::string_view octets = "abcXYZ019!#%&'*+-/=?^_{|}~ \"\\@<>.,;:()";
    std::string text;
    for (std::size_t length = 1 + pick(20); length > 0; --length)
      text += octets[pick(octets.size())];
    return text;
  }
  // Text that holds what xtext must escape.
  std::string free_text(std::size_t bytes_max) {
    std::string text;
    for (std::size_t length = 1 + pick(bytes_max); length > 0; --length) {
      text += static_cast<char>(' ' + static_cast<char>(pick(95)));
    }
    return text;
  }
  smtp::Mailbox mailbox() { return {local_part(), toss() ? "far.example" : "a.b-c.far.example"}; }

  std::mt19937_64 random_{GetParam()};
};

TEST_P(EnvelopeCodecAtRandom, WhatGoesInComesOut) {
  for (int round = 0; round < 500; ++round) {
    smtp::Sender sender;
    if (pick(8) != 0) sender.reverse_path.mailbox = mailbox();
    if (toss()) sender.declared_bytes = random_();
    if (toss()) sender.body = smtp::BodyType::eight_bit_mime;
    sender.smtputf8 = toss();
    sender.require_tls = toss();
    if (toss()) sender.dsn_return = toss() ? smtp::DsnReturn::full : smtp::DsnReturn::headers;
    if (toss()) sender.envelope_id = free_text(33);
    expect_round_trip(sender);

    smtp::Recipient recipient;
    recipient.mailbox = mailbox();
    if (toss()) {
      recipient.notify.given = true;
      recipient.notify.success = toss();
      recipient.notify.failure = toss();
      recipient.notify.delay = toss();
      recipient.notify.never =
          !recipient.notify.success && !recipient.notify.failure && !recipient.notify.delay;
    }
    if (toss()) recipient.original_recipient = "rfc822;" + free_text(160);
    expect_round_trip(recipient);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EnvelopeCodecAtRandom, testing::Range(1U, 9U));

}  // namespace
}  // namespace postern::queue
