// Who comes in: passwords, the slowing and locking of guessers, remembered credentials, and how
// many connections an address may hold.
#include "tests/unit/crypto/memory_limit.hpp"
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

// libuv's pool, unless UV_THREADPOOL_SIZE says otherwise.
constexpr int pool_threads = 4;

class AdmissionTest : public SubmissionTest {
 protected:
  // A client that has said EHLO and not yet who it is.
  Client& greet() {
    Client& client = dial(Port::implicit);
    EXPECT_TRUE(client.command("EHLO copier.office.example").starts_with("250"));
    return client;
  }
};

Duration since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - begun);
}

TEST_F(AdmissionTest, AWrongPasswordGets535ThenSlowsThenLocksTheAddress) {  // RFC 4954 §6
  start([](SubmissionPolicy& changed) { changed.auth_failures_max = 2; });
  for (const Duration slowed : {Duration(1'000), Duration(2'000)}) {
    Client& client = greet();
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(client.command(auth_plain(user_name, "a guess")).substr(0, 9), "535 5.7.8");
    EXPECT_GE(since(begun), slowed);
  }
  Client& locked = greet();
  EXPECT_EQ(locked.command(auth_plain(user_name, password)).substr(0, 9), "454 4.7.0")
      << "also with the right password";
  EXPECT_TRUE(locked.sees_the_end());
  const std::string text = log_text();
  EXPECT_NE(text.find("reason=\"wrong password\""), std::string::npos);
  EXPECT_EQ(text.find("a guess"), std::string::npos) << "no password in the log";
}

TEST_F(AdmissionTest, AnOwnLoginDoesNotForgiveWhatAnotherUserNameFailedAt) {
  // Wrong guesses for one user and own logins, in turns, went on for ever.
  start([](SubmissionPolicy& changed) {
    changed.auth_failures_max = 2;
    changed.users.emplace("camera-7", make_user("camera-7", "another one"));
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(greet().command(auth_plain("camera-7", "a guess")).substr(0, 9), "535 5.7.8");
    if (i == 0) log_in(dial(Port::implicit));
  }
  EXPECT_EQ(greet().command(auth_plain(user_name, password)).substr(0, 9), "454 4.7.0");
}

TEST_F(AdmissionTest, ALoginForgivesWhatTheSameUserNameFailedAt) {
  start([](SubmissionPolicy& changed) { changed.auth_failures_max = 2; });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(greet().command(auth_plain(user_name, "mistyped")).substr(0, 9), "535 5.7.8");
    log_in(dial(Port::implicit));
  }
}

TEST_F(AdmissionTest, GuessesMadeAtOnceAreNoMoreThanThoseMadeInTurns) {
  // The lock was asked for when the question came, and all of them had come before it.
  start([](SubmissionPolicy& changed) { changed.auth_failures_max = 2; });
  std::vector<Client*> guessers;
  for (int i = 0; i < 8; ++i) guessers.push_back(&greet());
  for (Client* guesser : guessers) {
    const bool right = guesser == guessers.back();
    guesser->write(auth_plain(user_name, right ? password : "a guess") + "\r\n");
  }
  int checked = 0;
  for (Client* guesser : guessers) {
    const std::string reply = guesser->reply();
    if (reply.starts_with("535 5.7.8")) {
      ++checked;
    } else {
      EXPECT_EQ(reply.substr(0, 9), "454 4.7.0") << reply;
      EXPECT_TRUE(guesser->sees_the_end());
    }
  }
  EXPECT_EQ(checked, 2);
  EXPECT_EQ(log_text().find("event=login-accepted"), std::string::npos)
      << "a right password among them tells nothing";
}

TEST_F(AdmissionTest, APasswordThatNoMemoryIsLeftToCheckIsNoWrongOne) {  // RFC 4954 §6
  start([](SubmissionPolicy& changed) {
    changed.auth_failures_max = 1;
    changed.users.emplace("camera-7", make_user("camera-7", "another one"));
  });
  log_in(dial(Port::implicit));  // so that the pool's threads are there
  Client& known = greet();
  Client& unknown = greet();
  {
    const MemoryLimit limit(crypto::argon2id_memory_bytes / 2);
    EXPECT_EQ(known.command(auth_plain("camera-7", "another one")).substr(0, 9), "454 4.7.0");
    EXPECT_EQ(unknown.command(auth_plain("nobody", "a guess")).substr(0, 9), "454 4.7.0")
        << "or it would tell which users there are";
  }
  EXPECT_EQ(known.command(auth_plain("camera-7", "another one")).substr(0, 9), "235 2.7.0")
      << "it was counted as a failed login";
}

TEST_F(AdmissionTest, AnUnknownUserHearsTheSameWords) {
  start();
  Client& known = greet();
  Client& unknown = greet();
  known.write(auth_plain(user_name, "a guess") + "\r\n");
  unknown.write(auth_plain("nobody", "a guess") + "\r\n");
  const std::string reply = known.reply();
  EXPECT_EQ(reply.substr(0, 9), "535 5.7.8");
  EXPECT_EQ(unknown.reply(), reply);
}

TEST_F(AdmissionTest, AUserFromAnAddressThatIsNotItsOwnHearsTheSameWords) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.addresses = {*policy::AddressBlock::parse("192.0.2.0/24")};
  });
  EXPECT_EQ(greet().command(auth_plain(user_name, password)).substr(0, 9), "535 5.7.8");
  EXPECT_NE(log_text().find("not from this address"), std::string::npos);
}

TEST_F(AdmissionTest, ASecondLoginWithTheSamePasswordHitsTheCache) {
  start();
  log_in(dial(Port::implicit));
  Client& same = greet();
  Client& other = greet();
  // While the pool is busy no password can be hashed, so only the cache can say yes.
  std::atomic<bool> hold = true;
  std::atomic<int> held = 0;
  on_main_loop([&] {
    for (int i = 0; i < pool_threads; ++i) {
      main_loop->run_on_pool(
          [&] {
            ++held;
            while (hold) std::this_thread::sleep_for(Duration(1));
          },
          [] {});
    }
  });
  ASSERT_TRUE(until([&] { return held == pool_threads; }));
  EXPECT_EQ(same.command(auth_plain(user_name, password)).substr(0, 9), "235 2.7.0");
  other.write(auth_plain(user_name, "a guess") + "\r\n");
  EXPECT_FALSE(other.hears_within(Duration(200))) << "another password is hashed";
  hold = false;
  EXPECT_EQ(other.reply().substr(0, 9), "535 5.7.8");
}

TEST_F(AdmissionTest, AChangedPasswordMissesTheCache) {
  start();
  log_in(dial(Port::implicit));
  auto changed = std::make_shared<SubmissionPolicy>(*make_policy());
  changed->users.begin()->second = make_user(user_name, "another one");
  configure_gatekeeper(changed);
  EXPECT_EQ(greet().command(auth_plain(user_name, password)).substr(0, 9), "535 5.7.8");
}

TEST_F(AdmissionTest, AUserOfANewerPolicyThanTheConnectionsIsAskedToComeBack) {
  // The connection's snapshot did not hold the user, and was asked for it.
  start();
  Client& client = greet();
  auto changed = std::make_shared<SubmissionPolicy>(*make_policy());
  changed->users.emplace("camera-7", make_user("camera-7", password));
  configure_gatekeeper(changed);
  EXPECT_EQ(client.command(auth_plain("camera-7", password)).substr(0, 9), "454 4.7.0");
  worker->configure(changed);
  EXPECT_EQ(greet().command(auth_plain("camera-7", password)).substr(0, 9), "235 2.7.0");
}

TEST_F(AdmissionTest, ASessionEndsAtItsNextMessageWhenAReloadTouchedItsUser) {
  start();
  const auto after = [this](const std::function<void(SubmissionPolicy&)>& change) {
    Client& client = log_in(dial(Port::implicit));
    EXPECT_TRUE(send(client, make_content()).starts_with("250"));
    auto changed = std::make_shared<SubmissionPolicy>(*make_policy());
    change(*changed);
    configure_gatekeeper(changed);
    const std::string reply = client.command("MAIL FROM:<scan@office.example>");
    if (reply.starts_with("421")) {
      EXPECT_TRUE(client.sees_the_end());
    }
    configure_gatekeeper(make_policy());
    return reply.substr(0, 9);
  };
  const auto user = [](SubmissionPolicy& changed) -> policy::User& {
    return changed.users.begin()->second;
  };
  EXPECT_EQ(after([](SubmissionPolicy& changed) { changed.users.clear(); }), "421 4.7.0");
  EXPECT_EQ(after([&](SubmissionPolicy& changed) {
              user(changed) = make_user(user_name, "a new password");
            }),
            "421 4.7.0");
  EXPECT_EQ(after([&](SubmissionPolicy& changed) { user(changed).senders.clear(); }), "421 4.7.0");
  EXPECT_EQ(after([&](SubmissionPolicy& changed) { user(changed).recipients.clear(); }),
            "421 4.7.0");
  EXPECT_EQ(after([&](SubmissionPolicy& changed) {
              user(changed).addresses = {*policy::AddressBlock::parse("192.0.2.0/24")};
            }),
            "421 4.7.0");
  EXPECT_EQ(after([](SubmissionPolicy& changed) {
              changed.users.emplace("camera-7", make_user("camera-7", password));
            }),
            "250 2.1.0")
      << "another user's change";
}

TEST_F(AdmissionTest, AnAddressMayHoldOnlySoManyConnections) {
  start([](SubmissionPolicy& changed) { changed.connections_per_address_max = 2; });
  Client& first = dial(Port::implicit);
  EXPECT_TRUE(dial(Port::starttls).reply().starts_with("220 "));
  Client& third = dial(Port::starttls);
  EXPECT_EQ(third.reply().substr(0, 9), "421 4.7.0");
  EXPECT_TRUE(third.sees_the_end());
  EXPECT_EQ(open_connections(), 2U) << "the refused one does not count";
  EXPECT_EQ(first.command("QUIT").substr(0, 9), "221 2.0.0");
  EXPECT_TRUE(first.sees_the_end());
  ASSERT_TRUE(until([this] { return open_connections() == 1; }));
  EXPECT_TRUE(dial(Port::starttls).reply().starts_with("220 ")) << "the place is free again";
  EXPECT_NE(log_text().find("connections_per_address_max is reached"), std::string::npos);
}

TEST_F(AdmissionTest, TheRelayMayHoldOnlySoManyConnections) {
  start([](SubmissionPolicy& changed) { changed.connections_max = 1; });
  dial(Port::implicit);
  EXPECT_EQ(dial(Port::starttls).reply().substr(0, 9), "421 4.7.0");
  EXPECT_NE(log_text().find("connections_max is reached"), std::string::npos);
}

TEST_F(AdmissionTest, AConnectionThatNobodyAdmitsInTimeIsTurnedAwayAndNotCounted) {
  start([](SubmissionPolicy& changed) { changed.admission_timeout = Duration(200); });
  std::promise<void> busy;
  std::promise<void> blocked;
  ASSERT_TRUE(main_loop->post([&] {
    blocked.set_value();
    busy.get_future().wait();
  }));
  blocked.get_future().wait();
  Client& client = dial(Port::starttls);
  EXPECT_EQ(client.reply().substr(0, 9), "421 4.3.2");
  EXPECT_TRUE(client.sees_the_end());
  busy.set_value();
  EXPECT_TRUE(until([this] { return open_connections() == 0; })) << "its admission comes too late";
  EXPECT_NE(log_text().find("event=connection-refused client_address=127.0.0.1 "
                            "reason=\"the relay is too busy to admit it\""),
            std::string::npos)
      << log_text();
  EXPECT_TRUE(dial(Port::starttls).reply().starts_with("220 "));
}

// Seconds of refusals must not fill the disk; each reason is told, and later how many there were.
TEST_F(AdmissionTest, RefusalsInABurstAreLoggedOnceAndThenCounted) {
  start([](SubmissionPolicy& changed) { changed.connections_per_address_max = 1; });
  dial(Port::implicit);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(dial(Port::starttls).reply().substr(0, 9), "421 4.7.0");
  const auto count = [this](std::string_view text) {
    std::size_t found = 0;
    const std::string log_now = log_text();
    for (std::size_t at = 0; (at = log_now.find(text, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  EXPECT_EQ(count("event=connection-refused "), 1U) << log_text();
  stop_worker();  // tells what it has counted, as each minute does
  EXPECT_EQ(count("event=connection-refused "), 1U);
  EXPECT_EQ(count("event=more-connections-refused connections=19 "
                  "reason=\"connections_per_address_max is reached\""),
            1U)
      << log_text();
}

TEST_F(AdmissionTest, TlsOnTheStarttlsPortIsNamedInTheLog) {  // RFC 8314 §3
  start();
  Client& client = *clients.emplace_back(std::make_unique<Client>(*loop, starttls_plan.address));
  EXPECT_TRUE(client.reply().starts_with("220 "));
  const std::string_view client_hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  client.write(client_hello);
  EXPECT_TRUE(
      until([this] { return log_text().find("event=tls-on-starttls-port") != std::string::npos; }));
}

}  // namespace
}  // namespace postern::submission
