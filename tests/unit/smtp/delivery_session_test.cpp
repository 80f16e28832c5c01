// The client machine's dialogues: connection, TLS, authentication and transactions.
#include "relay/smtp/delivery_session.hpp"

#include "tests/unit/base/freed_memory.hpp"
#include "tests/unit/smtp/delivery_support.hpp"

namespace postern::smtp {
namespace {

using Kind = RecipientResult::Kind;
using Failure = SessionFailed::Kind;

TEST(DeliverySession, DeliversAMessageStepByStep) {
  DeliveryDialogue upstream;
  upstream.session.connected();
  EXPECT_EQ(upstream.say("220 hello\r\n"), "EHLO relay.office.example\r\n");
  EXPECT_EQ(upstream.say("250 upstream.example\r\n"), "");
  EXPECT_EQ(upstream.ready, 1);
  EXPECT_TRUE(upstream.session.state_name() == "ready");
  EXPECT_EQ(upstream.begin(), "MAIL FROM:<scan@office.example>\r\n");
  EXPECT_EQ(upstream.say("250 2.1.0 ok\r\n"), "RCPT TO:<r0@far.example>\r\n");
  EXPECT_EQ(upstream.say("250 2.1.5 ok\r\n"), "RCPT TO:<r1@far.example>\r\n");
  EXPECT_EQ(upstream.say("251 will forward\r\n"), "DATA\r\n");
  EXPECT_EQ(upstream.say("354 go\r\n"), "");
  EXPECT_EQ(upstream.content_wanted, 1);
  EXPECT_EQ(upstream.send_message(), "Subject: x\r\n\r\n..hidden\r\n.\r\n");
  EXPECT_EQ(upstream.say("250 2.0.0 queued\r\n"), "");
  ASSERT_EQ(upstream.results.size(), 2U);
  for (const auto& result : upstream.results) {
    EXPECT_EQ(result.kind, Kind::accepted);
    EXPECT_EQ(result.reply->text(), "250 2.0.0 queued");
  }
  EXPECT_EQ(upstream.ready, 2);
  upstream.session.quit();
  EXPECT_EQ(upstream.drain(), "QUIT\r\n");
  EXPECT_EQ(upstream.say("221 bye\r\n"), "");
  EXPECT_EQ(upstream.closes, 1);
}

TEST(DeliverySession, SaysNothingButEhloAndStarttlsInClear) {  // RFC 3207 §4, §5
  DeliveryDialogue upstream({.tls = DeliveryTls::starttls,
                             .user_name = "user",
                             .capabilities = "250-AUTH PLAIN LOGIN\r\n250 StartTLS\r\n"});
  EXPECT_EQ(upstream.greet(), "STARTTLS\r\n");
  EXPECT_EQ(upstream.say("220 go\r\n"), "");
  EXPECT_EQ(upstream.handshakes, 1);
  upstream.session.tls_started();
  EXPECT_EQ(upstream.drain(), "EHLO relay.office.example\r\n");
  // What was offered in clear is forgotten (RFC 3207 §4.2): now there is no AUTH.
  EXPECT_EQ(upstream.say("250 upstream.example\r\n"), "QUIT\r\n");
  EXPECT_EQ(upstream.failure->kind, Failure::authentication_refused);
}

TEST(DeliverySession, FailsWithoutAWordWhenStarttlsIsNotOffered) {
  DeliveryDialogue upstream(
      {.tls = DeliveryTls::starttls, .user_name = "user", .capabilities = "250 AUTH PLAIN\r\n"});
  EXPECT_EQ(upstream.greet(), "");
  EXPECT_EQ(upstream.failure->kind, Failure::tls_not_offered);
  EXPECT_NE(upstream.failure->detail.find("STARTTLS"), std::string::npos);
}

TEST(DeliverySession, FailsWhenStarttlsIsRefused) {
  DeliveryDialogue upstream(
      {.tls = DeliveryTls::starttls, .user_name = {}, .capabilities = "250 STARTTLS\r\n"});
  upstream.greet();
  EXPECT_EQ(upstream.say("454 4.7.0 not now\r\n"), "");
  EXPECT_EQ(upstream.failure->kind, Failure::tls_not_offered);
  EXPECT_EQ(upstream.failure->reply->code, 454);
}

TEST(DeliverySession,
     TakesOctetsBeforeTheHandshakeAsAnAttack) {  // RFC 3207 §6, CVE-2011-0411's kind
  for (const bool in_one_piece : {true, false}) {
    DeliveryDialogue upstream(
        {.tls = DeliveryTls::starttls, .user_name = {}, .capabilities = "250 STARTTLS\r\n"});
    upstream.greet();
    if (in_one_piece) {
      upstream.say("220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n");
    } else {
      upstream.say("220 go\r\n");
      upstream.say("2");
    }
    ASSERT_TRUE(upstream.failure);
    EXPECT_EQ(upstream.failure->kind, Failure::protocol_error);
    upstream.session.tls_started();  // the driver's handshake may still come to its end
    EXPECT_EQ(upstream.drain(), "");
  }
}

TEST(DeliverySession, RefusesAReplyToACommandNotYetSent) {
  DeliveryDialogue upstream;
  upstream.session.connected();
  upstream.say("220 hello\r\n250 upstream.example\r\n");
  ASSERT_TRUE(upstream.failure);
  EXPECT_EQ(upstream.failure->kind, Failure::protocol_error);
}

TEST(DeliverySession, KeepsTheAcceptanceWhenTheUpstreamClosesRightAfterIt) {
  DeliveryDialogue upstream;
  upstream.greet();
  upstream.begin(1);
  upstream.say("250 ok\r\n");
  upstream.say("250 ok\r\n");
  upstream.say("354 go\r\n");
  upstream.send_message();
  upstream.say("250 queued\r\n421 4.3.2 shutting down\r\n");
  ASSERT_EQ(upstream.results.size(), 1U);
  EXPECT_EQ(upstream.results[0].kind, Kind::accepted);
  ASSERT_TRUE(upstream.failure);
  EXPECT_EQ(upstream.failure->kind, Failure::upstream_refused);
}

TEST(DeliverySession, PrefersPlainWithAnInitialResponse) {  // RFC 4616 §2
  DeliveryDialogue upstream({.user_name = "user", .capabilities = "250 auth LOGIN plain\r\n"});
  EXPECT_EQ(upstream.greet(), "AUTH PLAIN AHVzZXIAcGFzcyB3b3Jk\r\n");
  EXPECT_TRUE(upstream.confidential);
  upstream.say("235 2.7.0 welcome\r\n");
  EXPECT_EQ(upstream.ready, 1);
}

TEST(DeliverySession, SendsALongPlainResponseAfterTheChallenge) {  // RFC 4954 §4
  DeliveryDialogue upstream(
      {.user_name = std::string(400, 'u'), .capabilities = "250 AUTH PLAIN\r\n"});
  EXPECT_EQ(upstream.greet(), "AUTH PLAIN\r\n");
  EXPECT_GT(upstream.say("334 \r\n").size(), 512U);
  upstream.say("235 ok\r\n");
  EXPECT_EQ(upstream.ready, 1);
}

TEST(DeliverySession, FallsBackToLogin) {
  DeliveryDialogue upstream({.user_name = "user", .capabilities = "250 AUTH=CRAM-MD5 Login\r\n"});
  EXPECT_EQ(upstream.greet(), "AUTH LOGIN\r\n");
  EXPECT_EQ(upstream.say("334 VXNlcm5hbWU6\r\n"), "dXNlcg==\r\n");
  EXPECT_EQ(upstream.say("334 UGFzc3dvcmQ6\r\n"), "cGFzcyB3b3Jk\r\n");
  upstream.say("235 ok\r\n");
  EXPECT_EQ(upstream.ready, 1);
}

// A connection that is lost with the line on its way leaves no password behind.
TEST(DeliverySession, ACredentialThatWasNeverSentIsWiped) {
  for (const std::string_view mechanism : {"PLAIN", "LOGIN"}) {
    FreedMemoryWatch watch({"cGFzcyB3b3Jk"});  // "pass word"
    {
      DeliveryDialogue upstream({.user_name = "user"});
      upstream.session.connected();
      upstream.say("220 upstream.example ESMTP\r\n");
      const std::string offer =
          "250-upstream.example\r\n250 AUTH " + std::string(mechanism) + "\r\n";
      upstream.session.receive(as_bytes(offer));
      if (mechanism == "LOGIN") {
        EXPECT_EQ(upstream.drain(), "AUTH LOGIN\r\n");
        EXPECT_EQ(upstream.say("334 VXNlcm5hbWU6\r\n"), "dXNlcg==\r\n");
        upstream.session.receive(as_bytes("334 UGFzc3dvcmQ6\r\n"));
      }
    }
    EXPECT_EQ(watch.found(), "") << mechanism;
  }
}

TEST(DeliverySession, TellsTheUpstreamsWordsWhenTheCredentialIsRefused) {
  DeliveryDialogue upstream({.user_name = "user", .capabilities = "250 AUTH PLAIN\r\n"});
  upstream.greet();
  EXPECT_EQ(upstream.say("535 5.7.8 bad credentials\r\n"), "QUIT\r\n");
  ASSERT_TRUE(upstream.failure);
  EXPECT_EQ(upstream.failure->kind, Failure::authentication_refused);
  EXPECT_EQ(upstream.failure->reply->code, 535);
  EXPECT_NE(upstream.failure->detail.find("535 5.7.8 bad credentials"), std::string::npos);
}

TEST(DeliverySession, GivesEachRecipientItsOwnReply) {  // RFC 5321 §3.3
  DeliveryDialogue upstream;
  upstream.greet();
  upstream.begin(4);
  upstream.say("250 ok\r\n");
  upstream.say("550 5.1.1 unknown\r\n");
  upstream.say("250 ok\r\n");
  upstream.say("451 4.7.1 later\r\n");
  EXPECT_EQ(upstream.say("552 5.5.3 too many\r\n"), "DATA\r\n");
  upstream.say("354 go\r\n");
  upstream.send_message();
  upstream.say("250 queued\r\n");
  ASSERT_EQ(upstream.results.size(), 4U);
  EXPECT_EQ(upstream.results[0].reply->code, 550);
  EXPECT_EQ(upstream.results[1].kind, Kind::accepted);
  EXPECT_EQ(upstream.results[2].reply->code, 451);
  EXPECT_EQ(upstream.results[3].reply->text(), "452 4.5.3 too many");  // RFC 5321 §4.5.3.1.10
}

TEST(DeliverySession, ResetsAfterATransactionThatGotNoDot) {
  DeliveryDialogue upstream;
  upstream.greet();
  upstream.begin(1);
  upstream.say("250 ok\r\n");
  EXPECT_EQ(upstream.say("550 5.1.1 unknown\r\n"), "RSET\r\n");
  EXPECT_EQ(upstream.transactions, 1);
  EXPECT_EQ(upstream.ready, 1) << "not ready before RSET is answered";
  upstream.say("250 ok\r\n");
  EXPECT_EQ(upstream.ready, 2);
  upstream.begin(1);
  EXPECT_EQ(upstream.say("550 5.7.1 not you\r\n"), "") << "a refused MAIL opens nothing";
  EXPECT_EQ(upstream.results[0].reply->code, 550);
  EXPECT_EQ(upstream.ready, 3);
}

TEST(DeliverySession, PipelinesTheEnvelopeAndData) {  // RFC 2920 §3.1
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 PIPELINING\r\n"});
  upstream.greet();
  EXPECT_EQ(upstream.begin(2),
            "MAIL FROM:<scan@office.example>\r\nRCPT TO:<r0@far.example>\r\n"
            "RCPT TO:<r1@far.example>\r\nDATA\r\n");
  EXPECT_EQ(upstream.say("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n"), "");
  EXPECT_EQ(upstream.content_wanted, 1);
  upstream.send_message();
  upstream.say("250 queued\r\n");
  EXPECT_EQ(upstream.results[0].kind, Kind::refused);
  EXPECT_EQ(upstream.results[1].kind, Kind::accepted);
}

TEST(DeliverySession, EndsAPipelinedDataWithoutRecipientsByADot) {  // RFC 2920 §3.1
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 PIPELINING\r\n"});
  upstream.greet();
  upstream.begin(1);
  EXPECT_EQ(upstream.say("250 ok\r\n550 5.1.1 no\r\n354 go\r\n"), ".\r\n");
  EXPECT_EQ(upstream.transactions, 0);
  upstream.say("250 queued nothing\r\n");
  EXPECT_EQ(upstream.results[0].reply->code, 550) << "the 250 means nothing";
  EXPECT_EQ(upstream.ready, 2);
}

TEST(DeliverySession, ReadsAllPipelinedRepliesAfterARefusedMail) {
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 PIPELINING\r\n"});
  upstream.greet();
  upstream.begin(2);
  upstream.say("450 4.7.1 greylisted\r\n503 5.5.1 no MAIL\r\n250 odd\r\n");
  EXPECT_EQ(upstream.transactions, 0);
  EXPECT_EQ(upstream.say("503 5.5.1 no MAIL\r\n"), "");
  ASSERT_EQ(upstream.results.size(), 2U);
  EXPECT_EQ(upstream.results[0].reply->code, 450);
  EXPECT_EQ(upstream.results[1].reply->code, 450);
  EXPECT_EQ(upstream.ready, 2);
}

TEST(DeliverySession, RefusedDataRefusesTheAcceptedRecipients) {
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 PIPELINING\r\n"});
  upstream.greet();
  upstream.begin(2);
  EXPECT_EQ(upstream.say("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 4.3.0 not now\r\n"), "RSET\r\n");
  EXPECT_EQ(upstream.results[0].reply->code, 451);
  EXPECT_EQ(upstream.results[1].reply->code, 550);
}

TEST(DeliverySession, LeavesRecipientsBeyondTheLimitForTheNextTransaction) {  // RFC 9422
  DeliveryDialogue upstream(
      {.user_name = {}, .capabilities = "250 LIMITS MAILMAX=9 RCPTMAX=1\r\n"});
  upstream.greet();
  upstream.begin(2);
  upstream.say("250 ok\r\n");
  EXPECT_EQ(upstream.say("250 ok\r\n"), "DATA\r\n");
  upstream.say("354 go\r\n");
  upstream.send_message();
  upstream.say("250 queued\r\n");
  EXPECT_EQ(upstream.results[0].kind, Kind::accepted);
  EXPECT_EQ(upstream.results[1].kind, Kind::unfinished);
  EXPECT_FALSE(upstream.results[1].perhaps_delivered);
}

Envelope demanding_envelope() {
  Envelope envelope = DeliveryDialogue::envelope(1);
  envelope.sender.body = BodyType::eight_bit_mime;
  envelope.sender.smtputf8 = true;
  envelope.sender.require_tls = true;
  envelope.sender.dsn_return = DsnReturn::headers;
  envelope.sender.envelope_id = "id+1 x";
  envelope.recipients[0].notify = {
      .given = true, .never = false, .success = true, .failure = true, .delay = true};
  envelope.recipients[0].original_recipient = "rfc822;a=b@far.example";
  return envelope;
}

TEST(DeliverySession, SendsParametersWhereTheyAreOffered) {
  DeliveryDialogue upstream({.user_name = {},
                             .capabilities =
                                 "250-SIZE 5000\r\n250-8bitmime\r\n250-SMTPUTF8\r\n250-DSN\r\n250 "
                                 "REQUIRETLS\r\n"});
  upstream.greet();
  EXPECT_EQ(upstream.begin_with(demanding_envelope(), 1234),
            "MAIL FROM:<scan@office.example> SIZE=1234 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS "
            "ENVID=id+2B1+20x\r\n");
  EXPECT_EQ(upstream.say("250 ok\r\n"),
            "RCPT TO:<r0@far.example> NOTIFY=SUCCESS,FAILURE,DELAY "
            "ORCPT=rfc822;a+3Db@far.example\r\n");
}

// RFC 5321 §4.5.3.2: the wait is for a reply, so a part of one must not prolong it.
TEST(DeliverySession, OnlyAWholeReplyIsProgress) {
  DeliveryDialogue upstream;
  upstream.session.connected();
  const auto before = upstream.session.replies_taken();
  for (const auto* part : {"2", "20-mail.exam", "ple\r\n220-more\r\n220", " ready"}) {
    upstream.session.receive(as_bytes(part));
    EXPECT_EQ(upstream.session.replies_taken(), before) << part;
  }
  upstream.session.receive(as_bytes("\r\n"));
  EXPECT_EQ(upstream.session.replies_taken(), before + 1);
}

TEST(DeliverySession, AnOriginalRecipientBeyondAsciiTravelsAsAscii) {  // RFC 6533 §3
  DeliveryDialogue upstream(
      {.user_name = {}, .capabilities = "250-SMTPUTF8\r\n250-DSN\r\n250 REQUIRETLS\r\n"});
  upstream.greet();
  Envelope envelope = demanding_envelope();
  envelope.recipients.front().original_recipient =
      "utf-8;j\xC3\xB6+\xE2\x82\xAC@\xF0\x9F\x93\xA7.example";
  upstream.begin_with(std::move(envelope), 1234);
  EXPECT_TRUE(upstream.say("250 ok\r\n")
                  .contains(" ORCPT=utf-8;j\\x{F6}\\x{2B}\\x{20AC}@\\x{1F4E7}.example\r\n"));
}

TEST(DeliverySession, SendsNoParameterThatIsNotOffered) {
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 HELP\r\n"});
  upstream.greet();
  Envelope envelope = demanding_envelope();
  envelope.sender.smtputf8 = false;
  envelope.sender.require_tls = false;
  EXPECT_EQ(upstream.begin_with(envelope), "MAIL FROM:<scan@office.example>\r\n");
  EXPECT_EQ(upstream.say("250 ok\r\n"), "RCPT TO:<r0@far.example>\r\n");
}

TEST(DeliverySession, RefusesAtOnceWhatTheUpstreamCanNeverTake) {
  DeliveryDialogue upstream({.user_name = {}, .capabilities = "250 SIZE 5000\r\n"});
  upstream.greet();
  Envelope utf8 = DeliveryDialogue::envelope(2);
  utf8.sender.smtputf8 = true;
  EXPECT_EQ(upstream.begin_with(utf8), "");
  EXPECT_EQ(upstream.results.at(1).reply->enhanced->text(), "5.6.7");  // RFC 6531 §3.4
  Envelope require_tls = DeliveryDialogue::envelope(1);
  require_tls.sender.require_tls = true;
  EXPECT_EQ(upstream.begin_with(require_tls), "");
  EXPECT_EQ(upstream.results.at(0).reply->enhanced->text(), "5.7.30");  // RFC 8689 §4.2.1
  EXPECT_EQ(upstream.begin_with(DeliveryDialogue::envelope(1), 5001), "");
  EXPECT_EQ(upstream.results.at(0).reply->enhanced->text(), "5.3.4");  // RFC 1870 §5
  Envelope injected = DeliveryDialogue::envelope(1);
  injected.recipients[0].mailbox.domain = "far.example>\r\nRSET";
  EXPECT_EQ(upstream.begin_with(injected), "");
  EXPECT_TRUE(upstream.results.at(0).reply->permanent_failure());
  EXPECT_EQ(upstream.ready, 5);
}

TEST(DeliverySession, DropsContentFedAfterTheUpstreamGaveUp) {
  DeliveryDialogue upstream;
  upstream.greet();
  upstream.begin(1);
  upstream.say("250 ok\r\n");
  upstream.say("250 ok\r\n");
  upstream.say("354 go\r\n");
  upstream.session.send_content(as_bytes("a\r\n"));
  upstream.drain();
  upstream.say("552 5.3.4 too big\r\n");
  EXPECT_EQ(upstream.send_message(), "");
  EXPECT_EQ(upstream.results.at(0).reply->code, 552);
  ASSERT_TRUE(upstream.failure);
}

TEST(DeliverySession, BeginOnASessionThatJustFailedFinishesEveryRecipient) {
  DeliveryDialogue upstream;
  upstream.greet();
  upstream.session.receive(as_bytes("421 bye\r\n"));
  upstream.session.begin(DeliveryDialogue::envelope(2), 10);
  upstream.drain();  // checks that SessionFailed is the last action
  ASSERT_TRUE(upstream.failure);
  ASSERT_EQ(upstream.results.size(), 2U);
  EXPECT_EQ(upstream.results[0].kind, Kind::unfinished);
}

TEST(DeliverySession, BoundsThePeersWordsInADetail) {
  DeliveryDialogue upstream;
  upstream.session.connected();
  std::string reply;
  for (int i = 0; i < 100; ++i) reply += "554-" + std::string(2000, 'x') + "\r\n";
  upstream.say(reply + "554 no\r\n");
  ASSERT_TRUE(upstream.failure);
  EXPECT_LT(upstream.failure->detail.size(), 800U);
}

}  // namespace
}  // namespace postern::smtp
