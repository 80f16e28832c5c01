// DATA over the whole session: streaming, limits, refusals, smuggling.
#include <gtest/gtest.h>

#include "tests/unit/smtp/submission_dialogue.hpp"

namespace postern::smtp {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using Events = std::vector<std::string>;

const Events up_to_begin = {"credential", "sender", "recipient", "begin"};
Events then(Events events, const Events& more) {
  events.insert(events.end(), more.begin(), more.end());
  return events;
}

TEST(SubmissionContent, AMessageIsStreamedAndCommitted) {
  SubmissionDialogue d;
  d.log_in();
  d.open_content();
  d.send("Subject: x\r\n\r\n..dot\r\n");
  EXPECT_EQ(d.content, "Subject: x\r\n\r\n.dot\r\n");  // handed on before the end is known
  d.commit_reply = make_reply(250, {2, 0, 0}, "queued as 0ABC");
  EXPECT_EQ(d.send(".\r\n"), "250 2.0.0 queued as 0ABC\r\n");
  EXPECT_EQ(d.events, then(up_to_begin, {"commit"}));
  EXPECT_EQ(d.session.envelope(), nullptr);
  EXPECT_EQ(d.session.state_name(), "authenticated");
}

TEST(SubmissionContent, TheEnvelopeStaysUntilTheCommitIsAnswered) {
  SubmissionDialogue d;
  d.log_in();
  d.open_content();
  d.answer_at_once = false;
  d.send("x\r\n.\r\nNOOP\r\n");
  ASSERT_NE(d.session.envelope(), nullptr);
  EXPECT_EQ(d.session.envelope()->recipients.size(), 1U);
  EXPECT_EQ(d.unsent(), "NOOP\r\n");
  d.session.message_committed(make_reply(451, {4, 3, 0}, "disk"));
  EXPECT_EQ(d.pump(), "451 4.3.0 disk\r\n250 2.0.0 ok\r\n");
}

TEST(SubmissionContent, MessagesAConnectionAreNotLimited) {
  SubmissionDialogue d;
  d.log_in();
  for (int i = 0; i < 200; ++i) {
    d.open_content();
    ASSERT_EQ(d.send("x\r\n.\r\n").substr(0, 3), "250");
  }
}

TEST(SubmissionContent, TooLongAMessageIsReadToItsEndAndTheNextOneGoesThrough) {  // RFC 1870 §6.3
  SubmissionDialogue d(
      {.hostname = "relay.example", .message_bytes_max = 1000, .implicit_tls = true});
  d.log_in();
  d.open_content();
  EXPECT_EQ(d.send(std::string(1001, 'x')), "");
  EXPECT_EQ(d.events, then(up_to_begin, {"discard"}));  // its room is free at once
  EXPECT_EQ(d.send(std::string(2000, 'y') + "\r\n.\r\n").substr(0, 9), "552 5.3.4");
  d.open_content();
  EXPECT_EQ(d.send(std::string(998, 'x') + "\r\n.\r\n").substr(0, 3), "250");
  EXPECT_EQ(d.content.size(), 1000U);
}

TEST(SubmissionContent, FarTooLongAMessageEndsTheConnection) {
  SubmissionDialogue d(
      {.hostname = "relay.example", .message_bytes_max = 1000, .implicit_tls = true});
  d.log_in();
  d.open_content();
  EXPECT_EQ(d.send(std::string(4000, 'x')), "");
  EXPECT_EQ(d.send("x").substr(0, 9), "552 5.3.4");
  EXPECT_EQ(d.close_reason, "endless-content");
}

TEST(SubmissionContent, TheDriverMayRefuseWhileItStreams) {
  SubmissionDialogue d;
  d.log_in();
  d.open_content();
  d.send("From: <boss@o.example>\r\n");
  d.session.refuse_content(make_reply(550, {5, 7, 1}, "not yours"));
  d.session.refuse_content(make_reply(550, {5, 0, 0}, "the first refusal stands"));
  EXPECT_EQ(d.pump(), "");
  EXPECT_EQ(d.events, then(up_to_begin, {"discard"}));
  EXPECT_EQ(d.send("more\r\n"), "");
  EXPECT_EQ(d.content, "");
  EXPECT_EQ(d.send(".\r\n"), "550 5.7.1 not yours\r\n");
  EXPECT_EQ(d.events, then(up_to_begin, {"discard"}));
  d.open_content();
  EXPECT_EQ(d.send("ok\r\n.\r\n").substr(0, 3), "250");
}

TEST(SubmissionContent, ARefusalTakesBackContentThatWaitsToBeFetched) {
  SubmissionSession session({.hostname = "relay.example", .implicit_tls = true});
  session.start();
  const auto skip_replies = [&session] {
    std::optional<SubmissionAction> action;
    do {
      action = session.next_action();
    } while (action && std::holds_alternative<SendReply>(*action));
    return action;
  };
  const auto send = [&](const std::string& octets) {
    EXPECT_EQ(session.receive(as_bytes(octets)), octets.size());
    return skip_replies();
  };
  skip_replies();
  send("EHLO c\r\n");
  send("AUTH PLAIN " + plain_message("scan", test_password) + "\r\n");
  session.credential_checked({.kind = CredentialVerdict::Kind::accepted});
  skip_replies();
  send("MAIL FROM:<s@o.example>\r\n");
  session.sender_checked({});
  skip_replies();
  send("RCPT TO:<a@b.example>\r\n");
  session.recipient_checked({});
  skip_replies();
  send("DATA\r\n");
  session.content_ready({});
  skip_replies();
  EXPECT_EQ(session.receive(as_bytes("text\r\n")), 6U);
  EXPECT_EQ(session.receive(as_bytes("more\r\n")), 0U) << "an action waits to be fetched";
  session.refuse_content(make_reply(451, {4, 3, 0}, "disk"));
  const auto action = skip_replies();
  ASSERT_TRUE(action);
  EXPECT_TRUE(std::holds_alternative<DiscardMessage>(*action));
  EXPECT_FALSE(session.next_action());
}

TEST(SubmissionContent, SmugglingIsAnsweredOnceAndTheConnectionClosed) {  // RFC 5321 §2.3.8
  for (const auto look_alike : {"\n.\n"sv, "\n.\r\n"sv, "\r\n.\n"sv, "\r.\r"sv, "\r\n\0.\r\n"sv,
                                "\r\n.\0\r\n"sv, "\r.\r\n"sv}) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1'000'000}}) {
      SubmissionDialogue d({.hostname = "relay.example", .implicit_tls = true}, piece);
      d.log_in();
      d.open_content();
      const std::string reply =
          d.send("text" + std::string(look_alike) + "MAIL FROM:<evil@x.example>\r\n.\r\n");
      EXPECT_EQ(reply.substr(0, 10), "550 5.6.11");
      EXPECT_EQ(reply.find("\r\n"), reply.size() - 2) << "one reply only: " << reply;
      EXPECT_EQ(d.close_reason, "bare-newline");
      EXPECT_EQ(d.events, then(up_to_begin, {"discard"}));
      EXPECT_EQ(d.senders.size(), 1U);
    }
  }
}

TEST(SubmissionContent, AUserWithNormalizeMaySendBareLineFeeds) {
  SubmissionDialogue d;
  d.bare_newline = BareNewline::normalize;
  d.log_in();
  d.open_content();
  EXPECT_EQ(d.send("Subject: x\n\ntext\n.\nMAIL FROM:<evil@x.example>\r\n.\r\n").substr(0, 3),
            "250");
  EXPECT_EQ(d.content, "Subject: x\r\n\r\ntext\r\n.\r\nMAIL FROM:<evil@x.example>\r\n");
  EXPECT_EQ(d.senders.size(), 1U);
}

// --- RFC 2920. ---

TEST(Pipelining, RepliesComeInTheOrderOfTheCommands) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, std::size_t{1'000'000}}) {
    SubmissionDialogue d({.hostname = "relay.example", .implicit_tls = true}, piece);
    d.log_in();
    EXPECT_EQ(
        d.send(
            "MAIL FROM:<s@o.example>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<x>\r\nNOOP\r\nDATA\r\n"),
        "250 2.1.0 sender accepted\r\n250 2.1.5 recipient accepted\r\n"
        "501 5.1.3 the recipient's address is not well-formed\r\n250 2.0.0 ok\r\n"
        "354 send the message, end it by a dot on a line of its own\r\n");
    EXPECT_EQ(d.send("x\r\n.\r\nRSET\r\nQUIT\r\n"),
              "250 2.0.0 queued\r\n250 2.0.0 reset\r\n221 2.0.0 goodbye\r\n");
    EXPECT_EQ(d.close_reason, "quit");
  }
}

TEST(Pipelining, AnAwaitedAnswerHoldsTheClientBack) {
  SubmissionDialogue d;
  d.log_in();
  d.answer_at_once = false;
  EXPECT_EQ(d.send("MAIL FROM:<s@o.example>\r\nRCPT TO:<a@b.example>\r\nNOOP\r\n"), "");
  EXPECT_EQ(d.unsent(), "RCPT TO:<a@b.example>\r\nNOOP\r\n");
  d.session.sender_checked({});
  EXPECT_EQ(d.pump(), "250 2.1.0 sender accepted\r\n");
  d.session.recipient_checked({});
  EXPECT_EQ(d.pump(), "250 2.1.5 recipient accepted\r\n250 2.0.0 ok\r\n");
}

TEST(Pipelining, ContentBeforeOur354IsRefusedAndTheConnectionClosed) {  // RFC 2920 §3.1
  SubmissionDialogue d;
  d.log_in();
  d.say("MAIL FROM:<s@o.example>");
  d.say("RCPT TO:<a@b.example>");
  EXPECT_EQ(d.send("DATA\r\nSubject: early\r\n").substr(0, 9), "554 5.5.0");
  EXPECT_EQ(d.close_reason, "early-content");
  EXPECT_EQ(d.events, (Events{"credential", "sender", "recipient"}));
}

TEST(Pipelining, ContentThatComesWhileTheDriverOpensItIsRefusedToo) {
  SubmissionDialogue d;
  d.log_in();
  d.say("MAIL FROM:<s@o.example>");
  d.say("RCPT TO:<a@b.example>");
  d.answer_at_once = false;
  d.say("DATA");
  EXPECT_EQ(d.send("S").substr(0, 9), "554 5.5.0");
  EXPECT_EQ(d.close_reason, "early-content");
  EXPECT_EQ(d.events, then(up_to_begin, {"discard"}));
}

TEST(Pipelining, DataAfterRefusedRecipientsCostsAnHonestClientNothing) {
  SubmissionDialogue d;
  d.log_in();
  d.recipient_verdict = make_reply(550, {5, 1, 1}, "no such user");
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(d.send("MAIL FROM:<s@o.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nRSET\r\n"),
              "250 2.1.0 sender accepted\r\n550 5.1.1 no such user\r\n"
              "503 5.5.1 no recipient was accepted; send RCPT first\r\n250 2.0.0 reset\r\n");
  }
}

}  // namespace
}  // namespace postern::smtp
