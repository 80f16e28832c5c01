// The server's dialogues: greeting, TLS, authentication, envelopes.
#include "relay/smtp/submission_session.hpp"

#include <gtest/gtest.h>

#include "tests/unit/smtp/submission_dialogue.hpp"

namespace postern::smtp {
namespace {

using namespace std::string_literals;
using Events = std::vector<std::string>;

SubmissionSettings in_clear() { return {.hostname = "relay.example", .implicit_tls = false}; }

TEST(SubmissionSession, TheBannerGreetsAndHasNoEnhancedStatusCode) {
  EXPECT_EQ(SubmissionDialogue().replies, "220 relay.example ESMTP\r\n");
}

TEST(SubmissionSession, ExtensionsInClear) {
  SubmissionDialogue d(in_clear());
  EXPECT_EQ(
      d.say("EHLO printer"),
      "250-relay.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
      "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-LIMITS RCPTMAX=100\r\n250-STARTTLS\r\n250 "
      "HELP\r\n");
  EXPECT_EQ(d.session.client_name(), "printer");
}

TEST(SubmissionSession, ExtensionsInTlsBeforeAndAfterAuth) {
  SubmissionDialogue d;
  EXPECT_EQ(
      d.say("EHLO printer"),
      "250-relay.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
      "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-LIMITS RCPTMAX=100\r\n250-REQUIRETLS\r\n"
      "250-AUTH PLAIN LOGIN\r\n250 HELP\r\n");
  d.log_in();
  const std::string after = d.say("EHLO printer");
  EXPECT_EQ(after.find("AUTH"), std::string::npos);  // RFC 4954 §4: once
  EXPECT_EQ(after.find("STARTTLS"), std::string::npos);
  EXPECT_EQ(d.session.state_name(), "authenticated");
}

TEST(SubmissionSession, WhatWasPipelinedBehindStarttlsIsThrownAway) {  // RFC 3207 §4.2, §5
  for (const std::size_t piece : {std::size_t{1'000'000}, std::size_t{12}}) {
    SubmissionDialogue d(in_clear(), piece);
    d.say("EHLO evil.example");
    d.answer_at_once = false;
    d.send("STARTTLS\r\nEHLO injected\r\nAUTH PLAIN " + plain_message("scan", test_password) +
           "\r\nNO");
    EXPECT_EQ(d.session.client_name(), "");
    EXPECT_EQ(d.unsent(), "");
    d.session.tls_started();
    d.answer_at_once = true;
    EXPECT_EQ(d.pump(), "");
    EXPECT_EQ(d.session.state_name(), "secure");
    EXPECT_EQ(d.say("AUTH LOGIN").substr(0, 9), "503 5.5.1");  // EHLO again
    EXPECT_EQ(d.say("NOOP").substr(0, 3), "250");              // the half command is gone too
    d.log_in();
    EXPECT_EQ(d.events, (Events{"tls", "credential"}));
  }
}

TEST(SubmissionSession, ATlsHandshakeOnTheStarttlsPortClosesWithoutAReply) {
  SubmissionDialogue d(in_clear());
  EXPECT_EQ(d.send("\x16\x03\x01\x02"), "");
  EXPECT_EQ(d.close_reason, "tls-on-starttls-port");
}

// --- RFC 4954. ---

TEST(Authentication, PlainWithAndWithoutInitialResponse) {
  SubmissionDialogue d;
  d.log_in();
  EXPECT_EQ(d.session.user()->name(), "scan");
  SubmissionDialogue challenged;
  challenged.say("EHLO c");
  EXPECT_EQ(challenged.say("auth plain"), "334 \r\n");
  EXPECT_EQ(challenged.say(plain_message("scan", test_password)), "235 2.7.0 welcome\r\n");
}

TEST(Authentication, LoginWithTheExactPromptsInEveryForm) {
  const std::string user = encode_base64(as_bytes("scan"));
  const std::string password = encode_base64(as_bytes(test_password));
  SubmissionDialogue d;
  d.say("EHLO c");
  EXPECT_EQ(d.say("aUtH lOgIn"), "334 VXNlcm5hbWU6\r\n");
  EXPECT_EQ(d.say(user), "334 UGFzc3dvcmQ6\r\n");
  EXPECT_EQ(d.say(password), "235 2.7.0 welcome\r\n");
  SubmissionDialogue initial;
  initial.say("EHLO c");
  EXPECT_EQ(initial.say("AUTH LOGIN " + user), "334 UGFzc3dvcmQ6\r\n");
  EXPECT_EQ(initial.say(password), "235 2.7.0 welcome\r\n");
}

TEST(Authentication, EveryFailedCredentialGetsTheSameWords) {
  const std::string refusal = "535 5.7.8 user name or password is wrong\r\n";
  const std::string other_identity = encode_base64(as_bytes("root\0scan\0correct horse"s));
  for (const std::string& message :
       {plain_message("scan", "wrong"), plain_message("nobody", "wrong"), other_identity,
        plain_message("\xFF", "x")}) {
    SubmissionDialogue d;
    d.say("EHLO c");
    EXPECT_EQ(d.say("AUTH PLAIN " + message), refusal);
    EXPECT_EQ(d.session.user(), nullptr);
    EXPECT_EQ(d.say("MAIL FROM:<s@o.example>").substr(0, 9), "530 5.7.0");
  }
}

TEST(Authentication, CancelledMalformedAndUnknownExchanges) {
  SubmissionDialogue d;
  d.say("EHLO c");
  d.say("AUTH LOGIN");
  EXPECT_EQ(d.say("*"), "501 5.0.0 authentication cancelled\r\n");
  EXPECT_EQ(d.say("AUTH PLAIN !!!").substr(0, 9), "501 5.5.2");
  EXPECT_EQ(d.say("AUTH PLAIN =").substr(0, 9), "501 5.5.2");
  d.say("AUTH PLAIN");
  EXPECT_EQ(d.say("AGE").substr(0, 9), "501 5.5.2");
  EXPECT_EQ(d.say("AUTH SCRAM-SHA-256").substr(0, 9), "504 5.5.4");
  EXPECT_EQ(d.say("AUTH").substr(0, 9), "501 5.5.4");
  EXPECT_EQ(d.events, Events{});
  d.log_in();
  EXPECT_EQ(d.say("AUTH PLAIN AAAA").substr(0, 9), "503 5.5.1");
}

TEST(Authentication, ThreeFailuresEndTheConnection) {
  SubmissionDialogue d;
  d.say("EHLO c");
  const std::string wrong = "AUTH PLAIN " + plain_message("scan", "wrong");
  EXPECT_EQ(d.say(wrong).substr(0, 9), "535 5.7.8");
  EXPECT_EQ(d.say(wrong).substr(0, 9), "535 5.7.8");
  EXPECT_EQ(d.say(wrong),
            "535 5.7.8 user name or password is wrong\r\n421 4.7.0 too many failed logins\r\n");
  EXPECT_EQ(d.close_reason, "too-many-auth-failures");
}

TEST(Authentication, OurOwnTroubleAndALockedAddress) {
  SubmissionDialogue d;
  d.say("EHLO c");
  d.credential_kind_otherwise = CredentialVerdict::Kind::unavailable;
  const std::string wrong = "AUTH PLAIN " + plain_message("scan", "wrong");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(d.say(wrong).substr(0, 9), "454 4.7.0");
  d.credential_kind_otherwise = CredentialVerdict::Kind::locked;
  EXPECT_EQ(d.say(wrong).substr(0, 9), "454 4.7.0");
  EXPECT_EQ(d.close_reason, "locked");
}

TEST(Authentication, ALongResponseIsTakenAndATooLongOneRefused) {  // RFC 4954 §4
  SubmissionDialogue d;
  d.say("EHLO c");
  d.say("AUTH PLAIN");
  EXPECT_EQ(d.say(std::string(12'288, 'A')).substr(0, 9), "500 5.5.6");
  EXPECT_EQ(d.session.state_name(), "greeted");
  EXPECT_EQ(d.say("AUTH PLAIN " + std::string(12'200, 'A')).substr(0, 9), "501 5.5.2");
}

// --- Envelopes. ---

TEST(Envelope, ParametersTravelToTheDriver) {
  SubmissionDialogue d;
  d.log_in();
  EXPECT_EQ(d.say("MAIL FROM:<s@o.example> SIZE=100 RET=FULL ENVID=x1"),
            "250 2.1.0 sender accepted\r\n");
  EXPECT_EQ(d.say("RCPT TO:<a@b.example> NOTIFY=NEVER"), "250 2.1.5 recipient accepted\r\n");
  ASSERT_NE(d.session.envelope(), nullptr);
  EXPECT_EQ(d.session.envelope()->sender.envelope_id, "x1");
  EXPECT_TRUE(d.session.envelope()->recipients.at(0).notify.never);
}

TEST(Envelope, RefusalsOfPolicyAreSentAsTheyAre) {
  SubmissionDialogue d;
  d.log_in();
  d.sender_verdict = make_reply(550, {5, 7, 1}, "not yours");
  EXPECT_EQ(d.say("MAIL FROM:<boss@o.example>"), "550 5.7.1 not yours\r\n");
  EXPECT_EQ(d.session.envelope(), nullptr);
  d.sender_verdict.reset();
  d.say("MAIL FROM:<s@o.example>");
  d.recipient_verdict = make_reply(450, {4, 7, 1}, "later");
  EXPECT_EQ(d.say("RCPT TO:<a@b.example>"), "450 4.7.1 later\r\n");
  EXPECT_EQ(d.session.state_name(), "sender_given");
  EXPECT_EQ(d.say("DATA").substr(0, 3), "503");
  d.recipient_verdict.reset();
  d.say("RCPT TO:<a@b.example>");
  d.content_verdict = make_reply(452, {4, 3, 1}, "full");
  EXPECT_EQ(d.say("DATA"), "452 4.3.1 full\r\n");
  EXPECT_EQ(d.session.envelope(), nullptr);
  EXPECT_EQ(d.session.state_name(), "authenticated");
}

TEST(Envelope, ATooManiethRecipientIsDeferredAndTheOthersStay) {  // RFC 5321 §4.5.3.1.10
  SubmissionDialogue d({.hostname = "relay.example", .recipients_max = 2, .implicit_tls = true});
  d.log_in();
  d.say("MAIL FROM:<s@o.example>");
  d.say("RCPT TO:<a@b.example>");
  d.say("RCPT TO:<b@b.example>");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(d.say("RCPT TO:<c@b.example>").substr(0, 9), "452 4.5.3");
  EXPECT_EQ(d.session.envelope()->recipients.size(), 2U);
  EXPECT_EQ(d.say("DATA").substr(0, 3), "354");
}

TEST(Envelope, ADeclaredSizeBeyondTheLimitIsRefusedAtMail) {  // RFC 1870 §6.1
  SubmissionDialogue d(
      {.hostname = "relay.example", .message_bytes_max = 1000, .implicit_tls = true});
  d.log_in();
  EXPECT_EQ(d.say("MAIL FROM:<s@o.example> SIZE=1001").substr(0, 9), "552 5.3.4");
  EXPECT_EQ(d.say("MAIL FROM:<s@o.example> SIZE=1000").substr(0, 3), "250");
}

TEST(Envelope, AUtf8RecipientWantsSmtputf8AtMail) {  // RFC 6531 §3.5
  SubmissionDialogue d;
  d.log_in();
  d.say("MAIL FROM:<s@o.example>");
  EXPECT_EQ(d.say("RCPT TO:<j\xC3\xB6rg@b.example>").substr(0, 9), "553 5.6.7");
  d.say("RSET");
  d.say("MAIL FROM:<s@o.example> SMTPUTF8");
  EXPECT_EQ(d.say("RCPT TO:<j\xC3\xB6rg@b.example>").substr(0, 3), "250");
}

TEST(Envelope, RsetAndEhloForgetTheTransactionAndNothingElse) {
  for (const auto* line : {"RSET", "EHLO again", "HELO again"}) {
    SubmissionDialogue d;
    d.log_in();
    d.say("MAIL FROM:<s@o.example>");
    d.say("RCPT TO:<a@b.example>");
    EXPECT_EQ(d.say(line).substr(0, 3), "250");
    EXPECT_EQ(d.session.envelope(), nullptr);
    EXPECT_NE(d.session.user(), nullptr);
    EXPECT_EQ(d.say("RCPT TO:<a@b.example>").substr(0, 9), "503 5.5.1");
  }
}

// --- Hostile and broken clients. ---

TEST(SubmissionSession, TwentyBadCommandsEndTheConnection) {
  SubmissionDialogue d;
  for (int i = 1; i < 20; ++i) EXPECT_EQ(d.say("FROB"), "500 5.5.1 unknown command\r\n");
  EXPECT_EQ(d.say("FROB"), "421 4.7.0 too many bad commands\r\n");
  EXPECT_EQ(d.close_reason, "too-many-errors");
}

TEST(SubmissionSession, BareNewlinesInCommandsEndTheConnection) {
  for (const auto& octets : {"NOOP\nNOOP\r\n"s, "NOOP\rNOOP\r\n"s}) {
    SubmissionDialogue d;
    EXPECT_EQ(d.send(octets).substr(0, 9), "500 5.5.2");
    EXPECT_EQ(d.close_reason, "bare-newline");
  }
}

TEST(SubmissionSession, ATooLongLineIsSkippedAndTheNextOneIsRead) {
  SubmissionDialogue d;
  d.say("EHLO c");
  EXPECT_EQ(d.send("NOOP " + std::string(1'000'000, 'x') + "\r\nNOOP\r\n"),
            "500 5.5.6 the line is too long\r\n250 2.0.0 ok\r\n");
}

TEST(SubmissionSession, ABrowserGetsNoReplyHoweverLongItsLine) {
  for (const std::size_t length : {std::size_t{1}, std::size_t{100'000}}) {
    SubmissionDialogue d;
    EXPECT_EQ(d.send("POST /" + std::string(length, 'x') + " HTTP/1.1\r\n\r\nEHLO evil\r\n"), "");
    EXPECT_EQ(d.close_reason, "http-client");
  }
}

TEST(SubmissionSession, ThePayloadOfBdatIsNeverReadAsCommands) {  // RFC 3030 is not offered
  SubmissionDialogue d;
  d.log_in();
  d.say("MAIL FROM:<s@o.example>");
  EXPECT_EQ(d.send("BDAT 27 LAST\r\nRCPT TO:<evil@x.example>\r\n").substr(0, 9), "502 5.5.1");
  EXPECT_EQ(d.close_reason, "bdat");
  EXPECT_TRUE(d.recipients.empty());
}

TEST(SubmissionSession, A421OfPolicyCloses) {  // RFC 5321 §3.8
  SubmissionDialogue d;
  d.log_in();
  d.sender_verdict = make_reply(421, {4, 3, 2}, "shutting down");
  EXPECT_EQ(d.say("MAIL FROM:<s@o.example>"), "421 4.3.2 shutting down\r\n");
  EXPECT_TRUE(d.closed);
}

// --- RFC 6409 §4.2: every domain of the envelope is fully qualified. ---

TEST(FullyQualifiedDomains, ASenderOfOneLabelGets554AndOpensNoTransaction) {
  SubmissionDialogue d;
  d.log_in();
  EXPECT_EQ(d.say("MAIL FROM:<scan@copier>").substr(0, 9), "554 5.1.8");
  EXPECT_EQ(d.session.state_name(), "authenticated");
  EXPECT_TRUE(d.senders.empty()) << "policy is not even asked";
  for (const auto* sender : {"<scan@office.example>", "<scan@[192.0.2.7]>", "<>"}) {
    EXPECT_EQ(d.say("MAIL FROM:"s + sender).substr(0, 9), "250 2.1.0") << sender;
    d.say("RSET");
  }
}

TEST(FullyQualifiedDomains, ARecipientOfOneLabelGets554AndTheOthersStand) {
  SubmissionDialogue d;
  d.log_in();
  d.say("MAIL FROM:<scan@office.example>");
  EXPECT_EQ(d.say("RCPT TO:<anna@sales>").substr(0, 9), "554 5.1.2");
  EXPECT_EQ(d.session.state_name(), "sender_given");
  EXPECT_EQ(d.say("RCPT TO:<anna@far.example>").substr(0, 9), "250 2.1.5");
  EXPECT_EQ(d.say("RCPT TO:<bert@sales>").substr(0, 9), "554 5.1.2");
  EXPECT_EQ(d.say("DATA").substr(0, 3), "354");
  ASSERT_EQ(d.session.envelope()->recipients.size(), 1U);
}

// --- What the log is told. ---

TEST(RefusedCommands, NameTheirCommandAndReplyAndOnlyThey) {
  SubmissionDialogue d;
  d.say("EHLO c.example");
  d.say("NOOP");
  EXPECT_TRUE(d.refused.empty());
  d.say("MAIL FROM:<scan@office.example>");
  d.say("FROBNICATE");
  d.say("AUTH PLAIN " + plain_message("scan", "a guess"));
  d.say("AUTH LOGIN");
  d.say("!");
  EXPECT_EQ(d.refused, (Events{"MAIL 530", "unknown 500", "AUTH 535", "AUTH 501"}));
  d.refused.clear();
  d.log_in();
  d.open_content();
  d.commit_reply = make_reply(452, {4, 3, 1}, "full");
  d.say("Subject: x\r\n\r\n.");
  EXPECT_EQ(d.refused, Events{"DATA 452"});
}

TEST(RefusedCommands, ALineTooLongIsRefusedByItsVerb) {
  SubmissionDialogue d;
  d.log_in();
  d.say("RCPT TO:<" + std::string(10'000, 'a') + ">");
  EXPECT_EQ(d.refused, Events{"RCPT 500"});
}

// A client that says nothing but NOOP and HELP held its place for ever.
TEST(SubmissionLimits, ACommandTooManyBeforeAuthGets421) {
  for (const std::string_view line : {"NOOP", "HELP", "RSET", "EHLO client.example"}) {
    SubmissionDialogue client;
    std::string reply;
    for (int said = 0; said < 50; ++said) {
      reply = client.say(std::string(line));
      ASSERT_EQ(reply.substr(0, 1), "2") << line << ' ' << said << ' ' << reply;
    }
    EXPECT_EQ(client.say(std::string(line)).substr(0, 9), "421 4.7.0") << line;
    EXPECT_TRUE(client.closed);
    EXPECT_EQ(client.close_reason, "too-many-commands-before-auth");
  }
}

TEST(SubmissionLimits, StarttlsDoesNotStartTheCountOfCommandsAgain) {
  SubmissionDialogue client({.hostname = "relay.example"});
  for (int said = 0; said < 48; ++said) client.say("NOOP");
  EXPECT_EQ(client.say("EHLO client.example").substr(0, 3), "250");
  EXPECT_EQ(client.say("STARTTLS").substr(0, 3), "220");
  EXPECT_EQ(client.say("NOOP").substr(0, 9), "421 4.7.0");
}

TEST(SubmissionLimits, AfterAuthCommandsAreNotCounted) {
  SubmissionDialogue client;
  for (int said = 0; said < 48; ++said) client.say("NOOP");
  client.log_in();
  for (int said = 0; said < 100; ++said) {
    ASSERT_EQ(client.say("NOOP").substr(0, 3), "250");
  }
}

}  // namespace
}  // namespace postern::smtp
