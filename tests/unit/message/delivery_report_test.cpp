// Delivery status notifications: readable, complete (RFC 3464), and unbreakable by a peer's words.
#include "relay/message/delivery_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "relay/base/text.hpp"
#include "relay/message/header.hpp"
#include "relay/message/report_text.hpp"

namespace postern::message {
namespace {

WallTime at(std::int64_t seconds) {
  return WallTime(std::chrono::seconds(1'795'467'300 + seconds));
}

ReportFacts facts() {
  ReportFacts facts;
  facts.reporting_mta = "relay.office.example";
  facts.to = "scan@office.example";
  facts.postmaster = "postmaster@office.example";
  facts.queue_id = "01J0000000000";
  facts.message_id = "dsn.1@relay.office.example";
  facts.boundary_token = "0123456789abcdef";
  facts.user_name = "scanner-2";
  facts.arrival = at(0);
  facts.now = at(60);
  facts.original_header = "From: scan@office.example\r\nSubject: Scan\r\n";
  ReportedRecipient recipient;
  recipient.address = "anna@far.example";
  recipient.status = "5.1.1";
  recipient.diagnostic = "550 5.1.1 no such user";
  recipient.remote_mta = "smtp.provider.example";
  recipient.last_attempt = at(50);
  facts.recipients.push_back(recipient);
  return facts;
}

bool contains(std::string_view text, std::string_view part) { return text.contains(part); }

// The parts between the boundaries, split by exact boundary lines as a MIME reader would.
std::vector<std::string> parts_of(const Report& report) {
  const auto header = Header::parse(report.header);
  EXPECT_TRUE(header);
  const std::string type = header->find("Content-Type")->value();
  const std::size_t start = type.find("boundary=\"") + 10;
  const std::string line = "--" + type.substr(start, type.find('"', start) - start);
  std::vector<std::string> parts;
  std::size_t from = report.body.find(line + "\r\n");
  EXPECT_EQ(from, 0U);
  while (from != std::string::npos && !report.body.substr(from).starts_with(line + "--")) {
    const std::size_t begin = from + line.size() + 2;
    from = report.body.find("\r\n" + line, begin);
    parts.push_back(report.body.substr(begin, from - begin));
    if (from != std::string::npos) from += 2;
  }
  EXPECT_TRUE(report.body.ends_with(line + "--\r\n"));
  return parts;
}

void expect_clean_lines(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find("\r\n");
    ASSERT_NE(end, std::string_view::npos) << "every line ends with CRLF";
    EXPECT_LE(end, 998U);
    EXPECT_EQ(text.substr(0, end).find_first_of(std::string_view("\r\n\0", 3)),
              std::string_view::npos);
    text.remove_prefix(end + 2);
  }
}

TEST(DeliveryReport, IsAMultipartReportOfThreeParts) {  // RFC 6522 §3, RFC 3464 §2
  const Report report = write_report(facts());
  EXPECT_TRUE(contains(report.header, "Auto-Submitted: auto-replied\r\n"));  // RFC 3834 §5
  EXPECT_TRUE(contains(report.header, "report-type=delivery-status"));
  EXPECT_TRUE(contains(report.header, "Subject: Your mail could not be delivered\r\n"));
  EXPECT_FALSE(report.needs_utf8);
  const auto parts = parts_of(report);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_TRUE(contains(parts[0], "Content-Type: text/plain"));
  EXPECT_TRUE(contains(parts[1], "Content-Type: message/delivery-status\r\n"));
  EXPECT_TRUE(contains(parts[2], "Content-Type: text/rfc822-headers\r\n\r\nFrom: scan@"));
  expect_clean_lines(report.header);
  expect_clean_lines(report.body);
}

TEST(DeliveryReport, TellsAPersonWhatHappenedAndWhatToDo) {
  const std::string text = parts_of(write_report(facts()))[0];
  for (const std::string_view words :
       {"anna@far.example", "could not be delivered", "does not know this address", "What to do:",
        "550 5.1.1 no such user", "postmaster@office.example", "01J0000000000", "scanner-2"}) {
    EXPECT_TRUE(contains(text, words)) << words << "\n" << text;
  }
}

TEST(DeliveryReport, HasTheFieldsForMachines) {  // RFC 3464 §2.2, §2.3
  ReportFacts given = facts();
  given.envelope_id = "scan-17";
  given.recipients[0].original_recipient = "rfc822;anna@old.example";
  const std::string status = parts_of(write_report(given))[1];
  for (const std::string_view field :
       {"Original-Envelope-Id: scan-17\r\n", "Reporting-MTA: dns; relay.office.example\r\n",
        "Original-Recipient: rfc822; anna@old.example\r\n",
        "Final-Recipient: rfc822; anna@far.example\r\n", "Action: failed\r\n", "Status: 5.1.1\r\n",
        "Remote-MTA: dns; smtp.provider.example\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n", "Last-Attempt-Date: "}) {
    EXPECT_TRUE(contains(status, field)) << field << "\n" << status;
  }
}

TEST(DeliveryReport, WritesDelaysExpiryAndRelaying) {
  ReportFacts given = facts();
  given.recipients[0].action = ReportAction::delayed;
  given.recipients[0].status = "rubbish";
  given.recipients[0].will_retry_until = at(86'400);
  given.recipients[0].diagnostic = "connection refused";
  Report report = write_report(given);
  EXPECT_TRUE(contains(report.header, "Subject: Your mail is delayed"));
  EXPECT_TRUE(contains(report.body, "Action: delayed\r\nStatus: 4.0.0\r\n"));
  EXPECT_TRUE(contains(report.body, "Will-Retry-Until: "));
  EXPECT_TRUE(contains(report.body, "Do not send it again"));
  EXPECT_TRUE(contains(report.body, "Diagnostic-Code: x-postern; connection refused"));
  given.recipients[0].action = ReportAction::expired;
  given.recipients[0].status = "4.4.7";
  report = write_report(given);
  EXPECT_TRUE(contains(report.body, "Action: failed\r\nStatus: 4.4.7\r\n"));
  EXPECT_FALSE(contains(report.body, "Will-Retry-Until: "));
  given.recipients[0].action = ReportAction::relayed;
  given.recipients[0].status = "";
  report = write_report(given);
  EXPECT_TRUE(contains(report.header, "Subject: Your mail was handed on"));
  EXPECT_TRUE(contains(report.body, "Action: relayed\r\nStatus: 2.0.0\r\n"));
}

TEST(DeliveryReport, APeersWordsCannotBreakTheStructure) {
  ReportFacts given = facts();
  const std::string attack =
      "550 x\r\n--postern-0123456789abcdef--\r\n\r\nAction: relayed\r\n\0\x1b[2J";
  given.recipients[0].diagnostic = attack + std::string(100'000, 'y');
  given.recipients[0].remote_mta = "evil\r\nStatus: 2.0.0";
  given.recipients[0].status = "5.1.1\r\nX: y";
  given.original_header = "Subject: x\r\n--postern-0123456789abcdef\r\nX: y\r\n";
  given.user_name = "a\r\n--postern-0123456789abcdef";
  const Report report = write_report(given);
  EXPECT_EQ(parts_of(report).size(), 3U);
  EXPECT_FALSE(contains(report.body, "\r\nAction: relayed"));
  EXPECT_FALSE(contains(report.body, "\r\nStatus: 2.0.0"));
  EXPECT_TRUE(contains(report.body, "Status: 5.0.0\r\n"));
  EXPECT_LT(report.body.size(), 8'000U);
  expect_clean_lines(report.body);
}

TEST(DeliveryReport, EncodesAnEightBitOriginalHeader) {
  ReportFacts given = facts();
  given.original_header =
      "Subject: Gr\xfc\xdf"
      "e\r\nX-Long: " +
      std::string(1'200, 'z') + "\r\n";
  const Report report = write_report(given);
  EXPECT_TRUE(is_ascii(report.body));
  EXPECT_TRUE(contains(report.body, "Subject: Gr=FC=DFe\r\n"));
  expect_clean_lines(report.body);
}

TEST(DeliveryReport, StaysAsciiForASenderWithoutUtf8) {  // RFC 6533 §3: utf-8-addr-xtext
  ReportFacts given = facts();
  given.recipients[0].address = "jürgen+x@büro.example";
  given.recipients[0].diagnostic = "550 5.6.7 größer";
  const Report report = write_report(given);
  EXPECT_FALSE(report.needs_utf8);
  EXPECT_TRUE(is_ascii(report.header + report.body));
  EXPECT_TRUE(
      contains(report.body, "Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@b\\x{FC}ro.example\r\n"));
}

TEST(DeliveryReport, UsesTheGlobalTypesForAnInternationalSender) {  // RFC 6533 §6
  ReportFacts given = facts();
  given.to = "jürgen@büro.example";
  given.recipients[0].address = "änna@far.example";
  given.original_header = "From: jürgen@büro.example\r\n";
  const Report report = write_report(given);
  EXPECT_TRUE(report.needs_utf8);
  EXPECT_TRUE(contains(report.body, "Content-Type: message/global-delivery-status\r\n"));
  EXPECT_TRUE(contains(report.body, "Content-Type: message/global-headers\r\n"));
  EXPECT_TRUE(contains(report.body, "Final-Recipient: utf-8; änna@far.example\r\n"));
  EXPECT_TRUE(is_valid_utf8(report.header + report.body));
}

// RFC 6533 §3: an ASCII report stays one, also where a recipient's octets are no UTF-8.
TEST(DeliveryReport, StaysAsciiWhateverARecipientsOctetsAre) {
  for (const auto* address : {"\xC3\xA4nna@far.example", "\xC3\xA4\xFF@far.example"}) {
    ReportFacts given = facts();
    given.recipients[0].address = address;
    const Report report = write_report(given);
    EXPECT_FALSE(report.needs_utf8);
    EXPECT_TRUE(is_ascii(report.body)) << address;
  }
}

TEST(ReportText, FoldsAndWrapsAtTheMargin) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  const std::string field = folded_field("Diagnostic-Code", words);
  const std::string wrapped = wrap(words, "    ");
  for (std::string_view text : {std::string_view(field), std::string_view(wrapped)}) {
    while (!text.empty()) {
      const std::size_t end = text.find("\r\n");
      EXPECT_LE(end, 78U);
      text.remove_prefix(end + 2);
    }
  }
  EXPECT_EQ(std::ranges::count(field, 'w'), 60);
}

TEST(ReportText, QuotedPrintableKeepsItsLines) {  // RFC 2045 §6.7
  EXPECT_EQ(encode_quoted_printable("a=b \r\n--x\r\n\xc3\xa4\t"), "a=3Db=20\r\n=2D-x\r\n=C3=A4=09");
  const std::string encoded = encode_quoted_printable(std::string(200, '='));
  EXPECT_EQ(encoded.substr(75, 3), "=\r\n");
}

}  // namespace
}  // namespace postern::message
