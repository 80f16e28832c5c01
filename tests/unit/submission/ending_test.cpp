// How sessions end: a shutdown, silence, and a store that is too busy.
#include "relay/submission/message_intake.hpp"
#include "tests/unit/policy/policy_support.hpp"
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

class EndingTest : public SubmissionTest {
 protected:
  // An intake on the main loop, where it is made, used and destroyed.
  std::unique_ptr<MessageIntake> make_intake() {
    smtp::Envelope envelope;
    envelope.sender.reverse_path = policy::from("scan@office.example");
    envelope.recipients.emplace_back().mailbox = policy::mailbox("anna@far.example");
    IntakeFacts facts{std::string(user_name), "copier.office.example", "127.0.0.1", "TLSv1.3",
                      "TLS_AES_128_GCM_SHA256"};
    return std::make_unique<MessageIntake>(
        *main_loop, *services, make_policy(), std::move(facts), envelope,
        MessageIntake::Events{.refuse = [](const smtp::Reply&) {}, .window_open = [] {}});
  }
  [[nodiscard]] bool says(std::string_view words) const {
    return log_text().find(words) != std::string::npos;
  }
  // No further request finds room in the store's mailbox until release_store().
  void fill_store() {
    block_store();
    while (storage->post(storage::LoadFigures{})) {
    }
  }

  void make_spooled_intake() {
    on_main_loop([this] {
      intake = make_intake();
      intake->append(as_bytes(make_content(make_lines(600'000))));
    });
    EXPECT_TRUE(until([this] { return files_in_spool() == 1; }));
  }

  std::unique_ptr<MessageIntake> intake;
};

TEST_F(EndingTest, AShutdownFinishesTheTransactionInFlight) {  // RFC 5321 §3.8
  start();
  Client& sending = log_in(dial(Port::implicit));
  Client& idle = log_in(dial(Port::implicit));
  open_data(sending);
  worker->begin_stop();
  EXPECT_EQ(idle.reply().substr(0, 9), "421 4.3.2");
  EXPECT_TRUE(idle.sees_the_end());
  EXPECT_FALSE(sending.hears_within(Duration(100))) << "its transaction is in flight";
  EXPECT_TRUE(sending.command(make_content() + ".").starts_with("250"));
  EXPECT_EQ(sending.reply().substr(0, 9), "421 4.3.2");
  EXPECT_TRUE(sending.sees_the_end());
  stop_worker();
  EXPECT_EQ(messages_stored(), 1U);
}

TEST_F(EndingTest, AShutdownTakesNoFurtherConnection) {
  start();
  stop_worker();
  std::optional<Result<std::unique_ptr<net::Connection>>> connected;
  net::Connector connector(
      *loop, {implicit_plan.address}, Duration(2'000),
      [&](Result<std::unique_ptr<net::Connection>> made) { connected = std::move(made); });
  ASSERT_TRUE(until([&] { return connected.has_value(); }));
  EXPECT_FALSE(connected->has_value());
}

TEST_F(EndingTest, AShutdownDoesNotWaitForAHandshake) {
  start();
  clients.emplace_back(std::make_unique<Client>(*loop, implicit_plan.address));
  ASSERT_TRUE(until([this] { return open_connections() == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  stop_worker();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, shutdown_grace / 4);
  EXPECT_NE(log_text().find("reason=shutdown"), std::string::npos) << log_text();
}

TEST_F(EndingTest, ASilentClientIsToldAndClosed) {  // RFC 5321 §4.5.3.2.7
  start([](SubmissionPolicy& changed) { changed.idle_timeout = Duration(300); });
  Client& client = dial(Port::starttls);
  EXPECT_TRUE(client.reply().starts_with("220 "));
  EXPECT_EQ(client.reply().substr(0, 9), "421 4.4.2");
  EXPECT_TRUE(client.sees_the_end());
  EXPECT_TRUE(until([this] { return says("reason=client-timeout"); })) << log_text();
}

TEST_F(EndingTest, AClientThatIsNeverSilentIsClosedWhenTheSessionsTimeIsOver) {
  start([](SubmissionPolicy& changed) { changed.session_timeout = Duration(600); });
  Client& client = dial(Port::starttls);
  EXPECT_TRUE(client.reply().starts_with("220 "));
  std::string reply;
  do {
    reply = client.command("NOOP");
    static_cast<void>(client.hears_within(Duration(20)));
  } while (reply.starts_with("250"));
  EXPECT_EQ(reply.substr(0, 9), "421 4.4.2") << reply;
  EXPECT_TRUE(client.sees_the_end());
  EXPECT_TRUE(until([this] { return says("reason=session-timeout"); })) << log_text();
}

TEST_F(EndingTest, AClientThatNeverSaysWhoItIsIsClosedWhateverItSays) {
  // NOOP, HELP, RSET and EHLO pushed the end back for two hours.
  start([](SubmissionPolicy& changed) { changed.authentication_timeout = Duration(500); });
  for (const Port port : {Port::starttls, Port::implicit}) {
    Client& client = dial(port);
    if (port == Port::starttls) {
      EXPECT_TRUE(client.reply().starts_with("220 "));
    }
    std::string reply;
    do {
      reply = client.command("EHLO copier.office.example");
      static_cast<void>(client.hears_within(Duration(50)));
    } while (reply.starts_with("250"));
    EXPECT_EQ(reply.substr(0, 9), "421 4.7.0") << reply;
    EXPECT_NE(reply.find("AUTH"), std::string::npos) << reply;
    EXPECT_TRUE(client.sees_the_end());
  }
  EXPECT_TRUE(until([this] { return says("reason=authentication-timeout"); })) << log_text();
}

TEST_F(EndingTest, AClientThatSaidWhoItIsHasTheSessionsTime) {
  start([](SubmissionPolicy& changed) { changed.authentication_timeout = Duration(1'500); });
  Client& client = log_in(dial(Port::implicit));
  EXPECT_FALSE(client.hears_within(Duration(1'700)));
  EXPECT_TRUE(send(client, make_content()).starts_with("250"));
}

TEST_F(EndingTest, TheSessionsTimeNeverCutsOffACommit) {  // RFC 5321 §4.1.1.4, §6.1
  start([](SubmissionPolicy& changed) { changed.session_timeout = Duration(1'000); });
  Client& client = log_in(dial(Port::implicit));
  open_data(client);
  block_store();
  client.write(make_content() + ".\r\n");
  EXPECT_FALSE(client.hears_within(Duration(1'300)));
  release_store();
  EXPECT_TRUE(client.reply().starts_with("250"));
  EXPECT_EQ(client.reply().substr(0, 9), "421 4.4.2") << "only then";
  EXPECT_EQ(messages_stored(), 1U);
}

TEST_F(EndingTest, AHandshakeThatDoesNotComeOrFailsEndsWithItsReasonInTheLog) {
  start([](SubmissionPolicy& changed) { changed.tls_handshake_timeout = Duration(300); });
  Client& silent = *clients.emplace_back(std::make_unique<Client>(*loop, implicit_plan.address));
  EXPECT_TRUE(silent.sees_the_end());
  EXPECT_TRUE(until([this] { return says("reason=tls-handshake-timeout"); })) << log_text();
  Client& plain = *clients.emplace_back(std::make_unique<Client>(*loop, implicit_plan.address));
  plain.write("EHLO copier.office.example\r\n");
  EXPECT_TRUE(plain.sees_the_end());
  EXPECT_TRUE(until([this] { return says("reason=\"tls-handshake-failed: "); })) << log_text();
}

TEST_F(EndingTest, ContentThatOnlyDripsEndsTheSession) {
  // A floor on the rate: an octet now and then must not hold a session for ever.
  start([](SubmissionPolicy& changed) { changed.idle_timeout = Duration(400); });
  Client& client = log_in(dial(Port::implicit));
  open_data(client);
  bool ended = false;
  for (int i = 0; i < 100 && !ended; ++i) {
    client.write("X: y\r\n");
    ended = client.hears_within(Duration(50));
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(client.reply().substr(0, 9), "421 4.4.2");
  EXPECT_EQ(messages_stored(), 0U);
}

TEST_F(EndingTest, AFullMailboxOfTheStoreAnswers452) {
  start();
  Client& client = log_in(dial(Port::implicit));
  open_data(client);
  fill_store();
  const std::string reply = client.command(make_content() + ".");
  release_store();
  EXPECT_EQ(reply.substr(0, 9), "452 4.3.1") << reply;
  EXPECT_TRUE(until([this] { return storage->post(storage::LoadFigures{}); }));
  EXPECT_TRUE(send(client, make_content()).starts_with("250")) << "later it is taken";
  EXPECT_EQ(messages_stored(), 1U);
}

TEST_F(EndingTest, AnIntakeThatWaitsForTheStoreMayBeDestroyed) {
  open_store();
  block_store();
  std::atomic<bool> answered = false;
  on_main_loop([&] {
    intake = make_intake();
    intake->append(as_bytes(make_content()));
    intake->finish([&](const smtp::Reply&) { answered = true; });
    intake.reset();
  });
  release_store();
  ASSERT_TRUE(until([this] { return queued == 1; })) << "asked for, so it arrives";
  EXPECT_EQ(messages_stored(), 1U);
  on_main_loop([] {});
  EXPECT_FALSE(answered);
  EXPECT_TRUE(says("event=message-queued")) << "and the log tells of it";
}

TEST_F(EndingTest, ACommitThatFindsTheStoresMailboxFullKeepsNoSpoolFile) {
  open_store();
  make_spooled_intake();
  fill_store();
  std::promise<std::string> replied;
  on_main_loop([&] { intake->finish([&](smtp::Reply made) { replied.set_value(made.text()); }); });
  const std::string reply = replied.get_future().get();
  EXPECT_TRUE(reply.starts_with("452 4.3.1")) << reply;
  on_main_loop([&] { intake.reset(); });
  release_store();
  EXPECT_TRUE(net::run_until(
      *loop, [this] { return files_in_spool() == 0; }, Duration(3'000)))
      << "its half-written file stays open until the restart";
  EXPECT_EQ(messages_stored(), 0U);
}

TEST_F(EndingTest, AnIntakeGivenUpWhileTheStoresMailboxIsFullKeepsNoSpoolFile) {
  open_store();
  make_spooled_intake();
  fill_store();
  on_main_loop([&] { intake.reset(); });  // the client vanished
  release_store();
  EXPECT_TRUE(net::run_until(
      *loop, [this] { return files_in_spool() == 0; }, Duration(3'000)))
      << "its half-written file stays open until the restart";
}

}  // namespace
}  // namespace postern::submission
