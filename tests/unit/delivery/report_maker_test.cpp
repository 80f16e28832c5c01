// Whom a report goes to, and what it is made of.
#include "relay/delivery/report_maker.hpp"

#include <gtest/gtest.h>

#include "relay/delivery/message_source.hpp"
#include "relay/message/header.hpp"
#include "storage/queue_store.hpp"
#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

class ReportMakerTest : public DeliveryTest {
 protected:
  [[nodiscard]] storage::StoredMessage stored_mail(const Mail& mail) {
    const auto found = stored(store(mail).id);
    EXPECT_TRUE(found);
    return found.value_or(storage::StoredMessage{});
  }
  [[nodiscard]] std::string addressee(const Mail& mail) {
    const auto told = report_addressee(snapshot, stored_mail(mail), true);
    return told ? told->text() : "nobody";
  }
  [[nodiscard]] static std::vector<message::ReportedRecipient> unknown_recipient() {
    message::ReportedRecipient recipient;
    recipient.address = "anna@far.example";
    recipient.status = "5.1.1";
    recipient.diagnostic = "550 5.1.1 no such user";
    return {recipient};
  }
};

TEST_F(ReportMakerTest, TellsTheSenderWhereTheUserHasNoOwner) {
  EXPECT_EQ(addressee({}), "scan@office.example");
}

TEST_F(ReportMakerTest, TellsTheOwnerOfTheUserBeforeTheSender) {
  snapshot.owners.emplace("scanner", smtp::Mailbox{"office-manager", "office.example"});
  EXPECT_EQ(addressee({}), "office-manager@office.example");
}

// RFC 5321 §6.1: no report about a report goes to its null reverse-path; the postmaster learns it
// once.
TEST_F(ReportMakerTest, TellsThePostmasterOfAFailedReportAndNobodyOfThatOne) {
  EXPECT_EQ(addressee({.sender = "", .user_name = ""}), "postmaster@office.example");
  EXPECT_EQ(addressee({.sender = "", .recipients = {"Postmaster@office.example"}, .user_name = ""}),
            "nobody");
}

// RFC 3464 §2: from the null reverse-path. RFC 3461 §6.2: NOTIFY=NEVER.
TEST_F(ReportMakerTest, MakesAReportThatNobodyIsToldAboutWhenItFails) {
  const auto report = make_report(snapshot, queue_key, stored_mail({}), {"scan", "office.example"},
                                  unknown_recipient(), read_clocks().wall);
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->sender.reverse_path, "");
  EXPECT_EQ(report->user_name, "");
  ASSERT_EQ(report->recipients.size(), 1U);
  EXPECT_EQ(report->recipients[0].address, "scan@office.example");
  EXPECT_EQ(report->recipients[0].parameters, "NOTIFY=NEVER");
}

// A report that its row cannot hold would be a notice that is lost.
TEST_F(ReportMakerTest, FitsItsRowWhateverTheSizeOfTheOriginalHeader) {
  std::string header = "Subject: page 1\r\n";
  while (header.size() + 80 < message::header_bytes_max) {
    header += "X-Scanned-By: " + std::string(62, 'x') + "\r\n";
  }
  const auto report =
      make_report(snapshot, queue_key, stored_mail({.header = header}), {"scan", "office.example"},
                  unknown_recipient(), read_clocks().wall);
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_LE(report->content.sealed_body.size(), storage::body_in_row_bytes_max);
  EXPECT_GT(report->content.body_bytes, 16'000U) << "the header is still quoted";
}

TEST_F(ReportMakerTest, OpensNoHeaderUnderAnotherMessagesId) {
  storage::StoredMessage message = stored_mail({});
  EXPECT_TRUE(open_header(queue_key, message));
  ++message.summary.id.value;
  EXPECT_FALSE(open_header(queue_key, message));
}

}  // namespace
}  // namespace postern::delivery
