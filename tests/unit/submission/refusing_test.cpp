// What is refused, with which reply, and that nothing of it is stored.
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

using RefusingTest = SubmissionTest;

constexpr std::string_view mail = "MAIL FROM:<scan@office.example>";
constexpr std::string_view recipient = "RCPT TO:<anna@far.example>";

TEST_F(RefusingTest, ASenderThatTheUserMayNotUseGets550) {  // RFC 6409 §6.1
  start();
  Client& client = log_in(dial(Port::implicit));
  const std::string reply = client.command("MAIL FROM:<boss@office.example>");
  EXPECT_EQ(reply.substr(0, 9), "550 5.7.1") << reply;
  EXPECT_NE(reply.find("boss@office.example"), std::string::npos);
  EXPECT_TRUE(send(client, make_content()).starts_with("250")) << "the session goes on";
  const std::string text = log_text();
  EXPECT_NE(text.find("event=command-refused client_address=127.0.0.1 user=copier-2 command=MAIL "
                      "code=550 status=5.7.1 reason=\"user copier-2 may not send as "
                      "boss@office.example;"),
            std::string::npos)
      << text;
}

TEST_F(RefusingTest, ARefusalBeforeLoginIsLoggedWithoutAUser) {  // RFC 4954 §6
  start();
  Client& client = dial(Port::starttls);
  EXPECT_TRUE(client.reply().starts_with("220 "));
  EXPECT_EQ(client.command(mail).substr(0, 9), "530 5.7.0");
  EXPECT_EQ(client.command("AUTH PLAIN AGEAYg==").substr(0, 10), "538 5.7.11");
  const std::string text = log_text();
  EXPECT_NE(text.find("user=\"\" command=MAIL code=530 status=5.7.0"), std::string::npos) << text;
  EXPECT_NE(text.find("user=\"\" command=AUTH code=538 status=5.7.11"), std::string::npos) << text;
  EXPECT_EQ(text.find("AGEAYg"), std::string::npos) << "no credential in the log";
}

TEST_F(RefusingTest, AClientThatIsRefusedOnAndOnDoesNotFillTheLog) {
  start();
  Client& client = log_in(dial(Port::implicit));
  const auto times = [this](std::string_view event) {
    const std::string text = log_text();
    std::uint64_t found = 0;
    for (auto at = text.find(event); at != std::string::npos; at = text.find(event, at + 1)) {
      ++found;
    }
    return found;
  };
  for (std::uint64_t i = 0; i < refusals_logged_max; ++i) {
    EXPECT_EQ(client.command("MAIL FROM:<boss@office.example>").substr(0, 3), "550");
  }
  EXPECT_EQ(times("event=more-refusals-not-shown"), 0U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.command("MAIL FROM:<boss@office.example>").substr(0, 3), "550");
  }
  EXPECT_EQ(client.command("QUIT").substr(0, 3), "221");
  EXPECT_TRUE(client.sees_the_end());
  EXPECT_EQ(times("event=command-refused"), refusals_logged_max);
  EXPECT_EQ(times("event=more-refusals-not-shown"), 1U);
  EXPECT_TRUE(until([&] { return times("reason=quit refusals=23\n") == 1; })) << log_text();
}

TEST_F(RefusingTest, AnAddressFieldWithADomainOfOneLabelGets554AtTheDot) {  // RFC 6409 §4.2
  start();
  Client& client = log_in(dial(Port::implicit));
  const std::string from = "From: scan@office.example\r\n";
  for (const std::string_view field :
       {"Reply-To: desk@sales", "Reply-To: Anna <anna@far.example>, \"Bert\" <bert@sales>",
        "Sender: scan@copier"}) {
    const std::string reply = send(client, from + std::string(field) + "\r\n\r\nHello\r\n");
    // The Sender is no address of this user either, and that is found first.
    const std::string_view expected = field.starts_with("Sender") ? "550 5.7.1" : "554 5.6.0";
    EXPECT_EQ(reply.substr(0, 9), expected) << field << ": " << reply;
  }
  EXPECT_EQ(messages_stored(), 0U);
  for (const std::string_view field :
       {"To: anna@sales", "Cc: \"Bert\" <bert@sales>", "To: undisclosed-recipients:;", "To: anna",
        "Reply-To: anna@[192.0.2.7]", "Subject: a@b"}) {
    const std::string reply = send(client, from + std::string(field) + "\r\n\r\nHello\r\n");
    EXPECT_TRUE(reply.starts_with("250")) << field << ": " << reply;
  }
}

TEST_F(RefusingTest, AHeaderFromThatTheUserMayNotUseGets550AtTheDot) {  // RFC 6409 §6.1
  start();
  Client& client = log_in(dial(Port::implicit));
  const std::string reply =
      send(client, "From: boss@office.example\r\nTo: anna@far.example\r\n\r\nHello\r\n");
  EXPECT_EQ(reply.substr(0, 9), "550 5.7.1") << reply;
  EXPECT_EQ(messages_stored(), 0U);
}

TEST_F(RefusingTest, ARecipientThatTheUserMayNotReachGets550) {
  start([](SubmissionPolicy& changed) { changed.users.begin()->second.recipients.clear(); });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(client.command(mail).starts_with("250"));
  EXPECT_EQ(client.command(recipient).substr(0, 9), "550 5.7.1");
}

TEST_F(RefusingTest, TheMessageBeyondTheRateGets450AndTheTimeToComeBack) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.messages_per_minute_max = 1;
  });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content()).starts_with("250"));
  const std::string reply = client.command(mail);
  EXPECT_EQ(reply.substr(0, 9), "450 4.7.1") << reply;
  const auto at = reply.find("come back in ");
  ASSERT_NE(at, std::string::npos) << reply;
  EXPECT_TRUE(std::isdigit(static_cast<unsigned char>(reply[at + 13])) != 0) << reply;
  Client& second = log_in(dial(Port::implicit));
  EXPECT_EQ(second.command(mail).substr(0, 9), "450 4.7.1") << "the user's rate, not the session's";
}

TEST_F(RefusingTest, TheDaysOctetsAreChargedAtTheDot) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.bytes_per_day_max = 2'000;
  });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content(make_lines(1'500))).starts_with("250"));
  EXPECT_EQ(send(client, make_content(make_lines(1'500))).substr(0, 9), "452 4.7.1");
  EXPECT_EQ(send(client, make_content(make_lines(2'500))).substr(0, 9), "550 5.7.1");
  EXPECT_EQ(messages_stored(), 1U);
}

TEST_F(RefusingTest, OneRecipientTooManyGets452AndTheOthersStand) {  // RFC 5321 §4.5.3.1.10
  start([](SubmissionPolicy& changed) { changed.recipients_max = 2; });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(client.command(mail).starts_with("250"));
  EXPECT_TRUE(client.command("RCPT TO:<anna@far.example>").starts_with("250"));
  EXPECT_TRUE(client.command("RCPT TO:<bert@far.example>").starts_with("250"));
  EXPECT_EQ(client.command("RCPT TO:<cleo@far.example>").substr(0, 9), "452 4.5.3");
  EXPECT_TRUE(client.command("DATA").starts_with("354"));
  EXPECT_TRUE(client.command(make_content() + ".").starts_with("250"));
  EXPECT_EQ(open_message(queue().at(0).id).stored.recipients.size(), 2U);
}

TEST_F(RefusingTest, ADiskWithoutRoomGets452AtMail) {  // RFC 5321 §4.5.3.1.10, RFC 3463 4.3.1
  storage::FailingFiles files;
  start({}, nullptr, &files);
  Client& client = log_in(dial(Port::implicit));
  // Another program's doing: nothing is stored meanwhile that would notice.
  const auto leave_room = [&](std::uint64_t bytes) {
    files.free = storage::free_bytes_min + bytes;
    ASSERT_TRUE(until([&] { return storage->room_bytes() == bytes; }));
  };
  leave_room(10'000);
  EXPECT_EQ(client.command(std::string(mail) + " SIZE=20000").substr(0, 9), "452 4.3.1");
  EXPECT_TRUE(client.command(std::string(mail) + " SIZE=5000").starts_with("250"));
  EXPECT_TRUE(client.command("RSET").starts_with("250"));
  leave_room(0);
  EXPECT_EQ(client.command(mail).substr(0, 9), "452 4.3.1") << "also when no SIZE is given";
  leave_room(20'000'000);
  EXPECT_TRUE(client.command(mail).starts_with("250")) << "room again, and mail is taken again";
}

TEST_F(RefusingTest, ADiskThatFillsWhileTheBodyComesGets452AndKeepsNothing) {
  storage::FailingFiles files;
  start({}, nullptr, &files);
  Client& client = log_in(dial(Port::implicit));
  files.write_is_full = true;
  EXPECT_EQ(send(client, make_content(make_lines(600'000))).substr(0, 9), "452 4.3.1");
  EXPECT_EQ(messages_stored(), 0U);
  EXPECT_TRUE(until([this] { return files_in_spool() == 0; }));
}

TEST_F(RefusingTest, AStoreThatDiesAnswers451AndTheDaemonIsTold) {
  const storage::FailingVfs vfs;
  start({}, vfs.name());
  Client& client = log_in(dial(Port::implicit));
  Client& second = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content()).starts_with("250"));
  open_data(client);
  open_data(second);
  storage::FailingVfs::failing() = true;
  EXPECT_EQ(client.command(make_content() + ".").substr(0, 9), "451 4.3.0");
  EXPECT_TRUE(until([this] { return deaths == 1; }));
  storage::FailingVfs::failing() = false;  // a disk that comes back changes nothing
  EXPECT_EQ(second.command(make_content() + ".").substr(0, 9), "451 4.3.0");
  EXPECT_EQ(deaths, 1) << "told once";
  EXPECT_EQ(queued, 1) << "only the first message was ours";
}

TEST_F(RefusingTest, AQueueThatIsFullGets452AtMailWithoutSize) {
  // The limit was compared with the declared size only, which a client may leave out (RFC 1870 §6).
  start([](SubmissionPolicy& changed) { changed.queue_bytes_max = 4'000; });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content(make_lines(3'000))).starts_with("250"));
  ASSERT_TRUE(ask_store<void>([](storage::Done done) {
    return storage::InsertMessage{storage::make_message(7, 2'000), std::nullopt, std::move(done)};
  }));
  static_cast<void>(queue());  // the figures are those of the last batch
  ASSERT_GT(storage->queued_bytes(), 4'000U);
  const std::string reply = client.command(mail);
  EXPECT_EQ(reply.substr(0, 9), "452 4.3.1") << reply;
  EXPECT_NE(reply.find("queue is full"), std::string::npos) << reply;
}

TEST_F(RefusingTest, AQueueThatTheContentWouldOverfillGets452AtTheDot) {
  start([](SubmissionPolicy& changed) { changed.queue_bytes_max = 4'000; });
  Client& client = log_in(dial(Port::implicit));
  const std::string reply = send(client, make_content(make_lines(5'000)));
  EXPECT_EQ(reply.substr(0, 9), "452 4.3.1") << reply;
  EXPECT_EQ(messages_stored(), 0U);
  EXPECT_TRUE(send(client, make_content(make_lines(1'000))).starts_with("250"))
      << "what fits is taken";
  EXPECT_EQ(send(client, make_content(make_lines(3'000))).substr(0, 9), "452 4.3.1")
      << "what waits counts";
  EXPECT_EQ(messages_stored(), 1U);
}

TEST_F(RefusingTest, ARefusedCommitFollowedByQuitEndsCleanly) {  // RFC 2920
  // The refusal pumped the session, which took QUIT and ended the driver that was still in use.
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.bytes_per_day_max = 2'000;
  });
  for (int i = 0; i < 5; ++i) {
    Client& client = log_in(dial(Port::implicit));
    open_data(client);
    client.write(make_content(make_lines(2'500)) + ".\r\nQUIT\r\n");
    EXPECT_EQ(client.reply().substr(0, 9), "550 5.7.1");
    EXPECT_EQ(client.reply().substr(0, 9), "221 2.0.0");
    EXPECT_TRUE(client.sees_the_end());
  }
  EXPECT_TRUE(until([this] { return open_connections() == 0; }));
}

}  // namespace
}  // namespace postern::submission
