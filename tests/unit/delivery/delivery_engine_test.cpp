// What becomes of a message in the queue: relayed, delayed with its reason, failed with a report,
// damaged and kept; all against an upstream over loopback and a real store.
#include "relay/delivery/delivery_engine.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

using Lines = std::vector<std::string>;

class DeliveryEngineTest : public DeliveryTest {
 protected:
  void SetUp() override {
    DeliveryTest::SetUp();
    upstream = &make_upstream();
  }
  // One upstream for everything.
  void start_simply() {
    add_upstream("far", *upstream);
    add_route("*", {"far"});
    start_engine();
  }
  [[nodiscard]] bool until_messages(std::size_t count) {
    return until([this, count] { return upstream->messages.size() >= count; });
  }
  // The upstream's answer to commands that begin with `words`.
  void answer(std::string words, std::string reply) {
    upstream->script = [words = std::move(words), reply = std::move(reply)](
                           const Dialogue&, std::string_view command) -> Answer {
      return command.starts_with(words) ? Answer(reply) : Answer(polite);
    };
  }
  ScriptedUpstream* upstream = nullptr;
};

// RFC 3207 §4: nothing but EHLO and STARTTLS in clear. RFC 4954 §4: AUTH under TLS only.
TEST_F(DeliveryEngineTest, RelaysAMessageOverVerifiedTlsAndRemovesIt) {
  const auto settings = add_upstream("far", *upstream);
  settings->user_name = "relay";
  settings->password = Secret(std::string_view("hunter2"));
  add_route("*", {"far"});
  start_engine();
  const QueueId id = queue({.recipients = {"anna@far.example", "bert@far.example"}});
  ASSERT_TRUE(until_messages(1));
  ASSERT_TRUE(until_gone(id));
  const Dialogue& dialogue = *upstream->dialogues().at(0);
  EXPECT_EQ(dialogue.clear_commands, (Lines{"EHLO relay.office.example", "STARTTLS"}));
  ASSERT_GE(dialogue.commands.size(), 7U);
  EXPECT_TRUE(dialogue.commands[3].starts_with("AUTH PLAIN ")) << dialogue.commands[3];
  EXPECT_TRUE(dialogue.commands[4].starts_with("MAIL FROM:<scan@office.example>"));
  EXPECT_TRUE(dialogue.commands[5].starts_with("RCPT TO:<anna@far.example>"));
  EXPECT_TRUE(dialogue.commands[6].starts_with("RCPT TO:<bert@far.example>"));
  EXPECT_EQ(upstream->messages[0],
            "From: scan@office.example\r\nSubject: page 1\r\n\r\nthe scanned page\r\n");
  EXPECT_TRUE(eventually([this] { return facts().figures.relayed == 2; }));
  EXPECT_TRUE(stored_messages().empty());
}

TEST_F(DeliveryEngineTest, SpeaksImplicitTlsWhereTheUpstreamWantsIt) {
  ScriptedUpstream& implicit = make_upstream(test_tls().good, smtp::DeliveryTls::implicit);
  add_upstream("far", implicit);
  add_route("*", {"far"});
  start_engine();
  const QueueId id = queue();
  ASSERT_TRUE(until_gone(id));
  EXPECT_TRUE(implicit.dialogues().at(0)->clear_commands.empty());
  EXPECT_EQ(implicit.messages.size(), 1U);
}

TEST_F(DeliveryEngineTest, RelaysWhatWasInTheQueueBeforeItStarted) {
  const QueueId id = store().id;
  start_simply();
  ASSERT_TRUE(until_messages(1));
  EXPECT_TRUE(until_gone(id));
}

TEST_F(DeliveryEngineTest, RelaysALargeBodyFromTheSpoolUnchanged) {
  start_simply();
  std::string body;
  while (body.size() < 1'000'000) {
    body += "line " + std::to_string(body.size()) + " of a large scan\r\n";
  }
  const QueueId id = queue({.header = "Subject: big\r\n", .body = body, .spooled = true});
  ASSERT_TRUE(until_gone(id));
  ASSERT_EQ(upstream->messages.size(), 1U);
  EXPECT_TRUE(upstream->messages[0] == "Subject: big\r\n\r\n" + body);
}

TEST_F(DeliveryEngineTest, KeepsAMessageRefusedForNowWithItsReason) {
  start_simply();
  answer("RCPT", "451 4.7.1 greylisted for five minutes");
  const QueueId id = queue();
  ASSERT_TRUE(until_tried(id, 1));
  const auto message = stored(id);
  EXPECT_EQ(message->recipients[0].state, storage::RecipientState::waiting);
  EXPECT_NE(message->recipients[0].last_reply.find("greylisted"), std::string::npos);
  EXPECT_NE(message->last_error.find("451 4.7.1 greylisted"), std::string::npos)
      << message->last_error;
  EXPECT_GT(message->summary.next_attempt, read_clocks().wall + std::chrono::minutes(50));
  EXPECT_EQ(stored_messages().size(), 1U) << "a first delay is reported to nobody";
  EXPECT_TRUE(upstream->messages.empty());
  EXPECT_TRUE(eventually([this] { return facts().figures.delayed == 1; }));
}

TEST_F(DeliveryEngineTest, TriesADelayedMessageAgainByItself) {
  snapshot.retry.retry_delay_min = Duration(50);
  start_simply();
  bool refused = false;
  upstream->script = [&](const Dialogue&, std::string_view command) -> Answer {
    if (!command.starts_with("MAIL") || std::exchange(refused, true)) return polite;
    return "450 4.3.2 busy";
  };
  const QueueId id = queue();
  ASSERT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->messages.size(), 1U);
  EXPECT_EQ(upstream->heard("MAIL"), 2U);
}

// RFC 5321 §6.1, RFC 3464: who sent it is told which recipient failed and why; the other has it.
TEST_F(DeliveryEngineTest, TellsTheSenderOfARecipientRefusedForGood) {
  start_simply();
  answer("RCPT TO:<nobody@far.example>", "550 5.1.1 no such user");
  const QueueId id = queue({.recipients = {"anna@far.example", "nobody@far.example"}});
  ASSERT_TRUE(until_messages(2));
  const std::string& report = upstream->messages[1];
  EXPECT_NE(report.find("To: <scan@office.example>\r\n"), std::string::npos) << report;
  EXPECT_NE(report.find("Final-Recipient: rfc822; nobody@far.example\r\n"), std::string::npos)
      << report;
  EXPECT_NE(report.find("Status: 5.1.1\r\n"), std::string::npos) << report;
  EXPECT_NE(report.find("no such user"), std::string::npos);
  // RFC 3464 §2.3.5: whose reply it is.
  EXPECT_NE(report.find("Remote-MTA: dns; 127.0.0.1\r\n"), std::string::npos) << report;
  EXPECT_NE(report.find("Subject: page 1\r\n"), std::string::npos) << "the original is quoted";
  EXPECT_EQ(report.find("anna@far.example"), std::string::npos) << "she has the message";
  EXPECT_EQ(upstream->heard("MAIL FROM:<>"), 1U);
  EXPECT_TRUE(until_gone(id));
  EXPECT_TRUE(until([this] { return stored_messages().empty(); }));
}

// RFC 3461 §6.2: who asked for NOTIFY=SUCCESS is told of it; trouble is told to who can mend it.
TEST_F(DeliveryEngineTest, TellsSuccessToTheSenderAndFailureToTheOwner) {
  snapshot.owners["scanner"] = *smtp::parse_mailbox("it@office.example", true);
  start_simply();
  upstream->script = [](const Dialogue& dialogue, std::string_view command) -> Answer {
    if (command.starts_with("EHLO")) {
      return dialogue.tls ? "250 upstream.example" : "250-upstream.example\r\n250 STARTTLS";
    }
    if (command == "RCPT TO:<nobody@far.example>") return "550 5.1.1 no such user";
    return polite;
  };
  auto mail = seal({.recipients = {"anna@far.example", "nobody@far.example"},
                    .notify = "NOTIFY=SUCCESS,FAILURE"});
  const storage::MessageSummary summary = storage::summary_of(mail);
  insert(std::move(mail));
  engine->message_queued(summary);
  ASSERT_TRUE(until_messages(3));
  ASSERT_TRUE(until([this] { return stored_messages().empty(); }));
  const auto letter_to = [this](std::string_view addressee) {
    for (const auto& message : upstream->messages) {
      if (message.find("To: <" + std::string(addressee) + ">\r\n") != std::string::npos)
        return message;
    }
    return std::string();
  };
  const std::string good_news = letter_to("scan@office.example");
  EXPECT_NE(good_news.find("Action: relayed"), std::string::npos) << good_news;
  EXPECT_EQ(good_news.find("nobody@far.example"), std::string::npos) << good_news;
  const std::string trouble = letter_to("it@office.example");
  EXPECT_NE(trouble.find("nobody@far.example"), std::string::npos) << trouble;
  EXPECT_EQ(trouble.find("anna@far.example"), std::string::npos) << trouble;
  EXPECT_TRUE(logged("event=recipient-relayed queue_id=" + summary.id.text() +
                     " recipient=anna@far.example"))
      << log_text();
  EXPECT_TRUE(logged(" upstream=far")) << log_text();
}

// RFC 3461 §5.2.1: who passed NOTIFY on leaves the report of success to the upstream.
TEST_F(DeliveryEngineTest, LeavesTheReportOfSuccessToAnUpstreamWithDsn) {
  start_simply();
  auto mail = seal({.notify = "NOTIFY=SUCCESS"});
  const storage::MessageSummary summary = storage::summary_of(mail);
  insert(std::move(mail));
  engine->message_queued(summary);
  ASSERT_TRUE(until_gone(summary.id));
  EXPECT_EQ(upstream->heard("RCPT TO:<anna@far.example> NOTIFY=SUCCESS"), 1U);
  EXPECT_TRUE(stored_messages().empty()) << "a second report of the same";
}

// RFC 9422 §4.1
TEST_F(DeliveryEngineTest, KeepsToTheTransactionsThatAConnectionMayCarry) {
  const auto settings = add_upstream("far", *upstream);
  settings->connections_max = 1;
  add_route("*", {"far"});
  upstream->script = [](const Dialogue& dialogue, std::string_view command) -> Answer {
    if (!command.starts_with("EHLO")) return polite;
    return dialogue.tls ? "250-upstream.example\r\n250 LIMITS MAILMAX=2"
                        : "250-upstream.example\r\n250 STARTTLS";
  };
  start_engine();
  for (int i = 0; i < 5; ++i) static_cast<void>(queue());
  ASSERT_TRUE(until_messages(5));
  ASSERT_EQ(upstream->dialogues().size(), 3U);
  EXPECT_TRUE(until([this] { return upstream->heard("QUIT") >= 2; }));
}

// RFC 5321 §4.5.5: what comes from the null reverse-path is never answered by a report to it.
TEST_F(DeliveryEngineTest, TellsNobodyWhenMailOfTheNullReversePathFails) {
  start_simply();
  answer("RCPT", "550 5.1.1 no such user");
  const QueueId id = queue({.sender = ""});
  ASSERT_TRUE(until_gone(id));
  EXPECT_TRUE(stored_messages().empty());
  EXPECT_TRUE(eventually([this] { return facts().figures.failed == 1; }));
}

// RFC 5321 §4.5.4.1: what could not be delivered in time is given up, and the sender learns it.
TEST_F(DeliveryEngineTest, GivesUpAMessageThatWaitedTooLong) {
  snapshot.retry.retry_delay_min = Duration(600);
  snapshot.retry.lifetime_max = Duration(500);
  start_simply();
  answer("RCPT TO:<anna@", "451 4.7.1 greylisted");
  const QueueId id = queue();
  ASSERT_TRUE(until_messages(1));
  EXPECT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->heard("MAIL FROM:<scan@office.example>"), 1U) << "not tried when too old";
  EXPECT_NE(upstream->messages[0].find("greylisted"), std::string::npos) << "the last reason";
  EXPECT_NE(upstream->messages[0].find("Status: 4.4.7\r\n"), std::string::npos)
      << upstream->messages[0];
}

// Behind the letter to the postmaster nobody would learn of anything.
TEST_F(DeliveryEngineTest, DoesNotGiveUpTheLetterToThePostmaster) {
  snapshot.retry.retry_delay_min = Duration(100);
  snapshot.retry.lifetime_max = Duration(50);
  start_simply();
  answer("RCPT", "451 4.7.1 greylisted");
  const QueueId id =
      queue({.sender = "", .recipients = {"postmaster@office.example"}, .user_name = ""});
  ASSERT_TRUE(until_tried(id, 3));
  answer("RCPT", "250 2.1.5 taken");
  ASSERT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->messages.size(), 1U);
}

TEST_F(DeliveryEngineTest, KeepsAMessageThatNoRouteMatches) {
  add_upstream("far", *upstream);
  add_route("*@far.example", {"far"});
  start_engine();
  const QueueId id = queue({.recipients = {"dora@elsewhere.example"}});
  ASSERT_TRUE(until_tried(id, 1));
  EXPECT_NE(stored(id)->last_error.find("dora@elsewhere.example"), std::string::npos);
  EXPECT_TRUE(upstream->dialogues().empty());
}

TEST_F(DeliveryEngineTest, TriesTheNextUpstreamOfTheRouteWhenTheFirstCannotBeReached) {
  add_upstream("dead", net::refusing_address().port);
  add_upstream("far", *upstream);
  add_route("*", {"dead", "far"});
  start_engine();
  const QueueId id = queue();
  ASSERT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->messages.size(), 1U);
}

// A 4yz is an answer: asking the next upstream would send greylisted mail around in circles.
TEST_F(DeliveryEngineTest, AsksNoOtherUpstreamWhenOneHasAnswered) {
  ScriptedUpstream& second = make_upstream();
  add_upstream("far", *upstream);
  add_upstream("second", second);
  add_route("*", {"far", "second"});
  start_engine();
  answer("RCPT", "451 4.7.1 greylisted");
  const QueueId id = queue();
  ASSERT_TRUE(until_tried(id, 1));
  EXPECT_TRUE(second.dialogues().empty());
}

// A message damaged at rest is never completed at an upstream; a person may remove it.
TEST_F(DeliveryEngineTest, QuarantinesADamagedMessageAndLetsThePersonRemoveIt) {
  start_simply();
  storage::NewMessage damaged = seal({});
  damaged.content.sealed_body.back() ^= std::byte{1};
  const QueueId id = damaged.id;
  const storage::MessageSummary summary = storage::summary_of(damaged);
  insert(std::move(damaged));
  engine->message_queued(summary);
  ASSERT_TRUE(until([&] {
    const auto message = stored(id);
    return message && message->summary.quarantined;
  }));
  for (const auto& message : upstream->messages) {
    EXPECT_EQ(message.find("From: scan@office.example\r\nSubject"), std::string::npos) << message;
  }
  ASSERT_TRUE(until_delayed(1));
  EXPECT_FALSE(change(QueueChange::retry, id));
  const auto removed = change(QueueChange::remove, id);
  ASSERT_TRUE(removed) << removed.error().text();
  EXPECT_EQ(*removed, 1U);
  EXPECT_FALSE(stored(id));
}

// --- A person's changes

TEST_F(DeliveryEngineTest, TriesAgainAtOnceWhenToldTo) {
  start_simply();
  answer("RCPT", "451 4.7.1 greylisted");
  const QueueId id = queue();
  ASSERT_TRUE(until_delayed(1));
  upstream->script = nullptr;
  const auto changed = change(QueueChange::retry, id);
  ASSERT_TRUE(changed) << changed.error().text();
  EXPECT_EQ(*changed, 1U);
  EXPECT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->messages.size(), 1U);
}

TEST_F(DeliveryEngineTest, HoldsAMessageUntilItIsReleased) {
  start_simply();
  answer("RCPT", "451 4.7.1 greylisted");
  const QueueId id = queue();
  ASSERT_TRUE(until_delayed(1));
  upstream->script = nullptr;
  ASSERT_TRUE(change(QueueChange::hold, id));
  EXPECT_TRUE(stored(id)->summary.held);
  ASSERT_TRUE(change(QueueChange::retry, std::nullopt));
  net::run_for(*loop, Duration(100));
  EXPECT_TRUE(upstream->messages.empty()) << "a held message is not tried";
  ASSERT_TRUE(change(QueueChange::release, id));
  EXPECT_TRUE(until_gone(id));
  EXPECT_EQ(upstream->messages.size(), 1U);
}

TEST_F(DeliveryEngineTest, RemovesAWaitingMessageAndSaysWhatItDoesNotKnow) {
  start_simply();
  answer("RCPT", "451 4.7.1 greylisted");
  const QueueId id = queue();
  const QueueId other = queue();
  ASSERT_TRUE(until_delayed(2));
  ASSERT_TRUE(change(QueueChange::remove, id));
  EXPECT_FALSE(stored(id));
  EXPECT_TRUE(stored(other));
  const auto unknown = change(QueueChange::remove, id);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::not_found);
  const auto all = change(QueueChange::remove, std::nullopt);
  ASSERT_TRUE(all);
  EXPECT_EQ(*all, 1U);
  EXPECT_TRUE(stored_messages().empty());
}

// The upstream may have it already: removing it now could not be told from relaying it.
TEST_F(DeliveryEngineTest, RefusesToRemoveAMessageWhileItIsBeingTried) {
  start_simply();
  answer(".", "");
  const QueueId id = queue();
  ASSERT_TRUE(until_messages(1));
  const auto refused = change(QueueChange::remove, id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::busy);
  EXPECT_TRUE(stored(id));
  ASSERT_TRUE(change(QueueChange::hold, id)) << "that is what the refusal advises";
  upstream->say(0, "451 4.3.0 not now");
  ASSERT_TRUE(until_delayed(1));
  EXPECT_TRUE(stored(id)->summary.held);
  EXPECT_TRUE(change(QueueChange::remove, id));
  EXPECT_FALSE(stored(id));
}

// --- The end

TEST_F(DeliveryEngineTest, LetsATransactionInFlightEndWhenItStops) {
  const auto settings = add_upstream("far", *upstream);
  settings->connections_max = 1;
  add_route("*", {"far"});
  start_engine();
  answer(".", "");
  const QueueId in_flight = queue();
  ASSERT_TRUE(until_messages(1));
  const QueueId waiting = queue({.recipients = {"bert@far.example"}});
  static_cast<void>(facts());  // the engine has heard of it
  net::Timer late(*loop);
  late.start(Duration(200), [this] { upstream->say(0, "250 2.0.0 taken late"); });
  const Duration took = stop_engine();
  EXPECT_GE(took, Duration(150)) << "it did not wait for the transaction";
  EXPECT_LT(took, std::chrono::seconds(2)) << "it waited for more than the transaction";
  EXPECT_FALSE(stored(in_flight));
  ASSERT_TRUE(stored(waiting));
  EXPECT_EQ(stored(waiting)->recipients[0].state, storage::RecipientState::waiting);
  EXPECT_EQ(upstream->heard("MAIL"), 1U) << "nothing new is begun";
}

TEST_F(DeliveryEngineTest, StopsAtOnceWhenNothingIsInFlight) {
  start_simply();
  const QueueId id = queue();
  ASSERT_TRUE(until_gone(id));
  EXPECT_LT(stop_engine(), std::chrono::seconds(1));
}

TEST_F(DeliveryEngineTest, UsesTheUpstreamOfNewSettingsAfterAReload) {
  start_simply();
  ASSERT_TRUE(until_gone(queue()));
  ScriptedUpstream& second = make_upstream();
  snapshot.upstreams.clear();
  add_upstream("far", second);
  engine->configure(std::make_shared<const DeliverySnapshot>(snapshot));
  ASSERT_TRUE(until_gone(queue()));
  EXPECT_EQ(upstream->messages.size(), 1U);
  EXPECT_EQ(second.messages.size(), 1U);
  // RFC 5321 §4.1.1.10: the kept connection of the old settings ends by QUIT.
  EXPECT_TRUE(until([this] { return upstream->heard("QUIT") == 1; }));
}

}  // namespace
}  // namespace postern::delivery
