// What the gatekeeper keeps for all sessions: the count of connections and the levels of rates.
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

using Counters = std::vector<std::pair<std::string, std::string>>;
using Verdict = Gatekeeper::ConnectionVerdict;

class GatekeeperTest : public SubmissionTest {
 protected:
  Counters saved() {
    on_main_loop([this] { gatekeeper->save_counters(); });
    auto counters =
        ask_store<Counters>([](auto done) { return storage::LoadCounters{std::move(done)}; });
    EXPECT_TRUE(counters.has_value());
    return counters ? std::move(*counters) : Counters{};
  }
};

TEST_F(GatekeeperTest, AConnectionWhoseAnswerIsLostIsNotCounted) {
  start();
  const IpAddress address = net::address_of("192.0.2.7:1").address;
  std::atomic<int> answered = 0;
  const auto count = [&](Verdict verdict) {
    EXPECT_EQ(verdict, Verdict::accepted);
    ++answered;
  };
  ASSERT_TRUE(gatekeeper->ask_connection(*loop, address, count));
  ASSERT_TRUE(until([&] { return answered == 1; }));
  EXPECT_EQ(open_connections(), 1U);
  auto stopped = net::Loop::create();
  ASSERT_TRUE(stopped.has_value());
  (*stopped)->stop();  // takes no answer any more
  ASSERT_TRUE(gatekeeper->ask_connection(**stopped, address, count));
  EXPECT_EQ(open_connections(), 1U);
  gatekeeper->tell_connection_closed(address);
  EXPECT_EQ(open_connections(), 0U);
}

TEST_F(GatekeeperTest, AFailedLoginLocksNoOtherDeviceOfOurOwnNetwork) {
  start([](SubmissionPolicy& changed) { changed.auth_failures_max = 1; });
  const auto ask = [this](std::string_view address, std::string_view with_password) {
    std::optional<smtp::CredentialVerdict::Kind> kind;
    EXPECT_TRUE(gatekeeper->ask_credential(
        *loop,
        {net::address_of("[" + std::string(address) + "]:1").address, std::string(user_name),
         Secret(with_password), net::address_of("[2001:db8::465]:465").address},
        [&](const CredentialAnswer& answer) { kind = answer.verdict.kind; }));
    EXPECT_TRUE(until([&] { return kind.has_value(); }));
    return kind.value_or(smtp::CredentialVerdict::Kind::unavailable);
  };
  using Kind = smtp::CredentialVerdict::Kind;
  EXPECT_EQ(ask("2001:db8::1", "a guess"), Kind::refused);
  EXPECT_EQ(ask("2001:db8::1", password), Kind::locked);
  EXPECT_EQ(ask("2001:db8::2", password), Kind::accepted);
  EXPECT_EQ(ask("2001:db8:0:1::1", "a guess"), Kind::refused);
  EXPECT_EQ(ask("2001:db8:0:1::2", password), Kind::locked) << "elsewhere a /64 is one";
}

TEST_F(GatekeeperTest, LevelsAreWrittenWhenTheyChangedAndOnlyThen) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.messages_per_minute_max = 2;
  });
  EXPECT_EQ(saved(), Counters{}) << "a full bucket needs no row";
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content()).starts_with("250"));
  const Counters after_one = saved();
  ASSERT_EQ(after_one.size(), 1U);
  EXPECT_EQ(after_one[0].first, "rate/copier-2");
  std::this_thread::sleep_for(Duration(5));  // the line would tell another time
  EXPECT_EQ(saved(), after_one) << "nothing was taken, so nothing is written";
  EXPECT_TRUE(send(client, make_content()).starts_with("250"));
  EXPECT_NE(saved(), after_one);
}

TEST_F(GatekeeperTest, AUserThatAReloadRemovedLeavesNoLevel) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.messages_per_minute_max = 2;
  });
  EXPECT_TRUE(send(log_in(dial(Port::implicit)), make_content()).starts_with("250"));
  EXPECT_EQ(saved().size(), 1U);
  configure_gatekeeper(std::make_shared<SubmissionPolicy>(*policy));
  EXPECT_EQ(saved().size(), 1U) << "who stays keeps it";
  auto changed = std::make_shared<SubmissionPolicy>(*policy);
  changed->users.clear();
  configure_gatekeeper(changed);
  EXPECT_EQ(saved(), Counters{});
}

TEST_F(GatekeeperTest, LevelsSurviveARestart) {
  start([](SubmissionPolicy& changed) {
    changed.users.begin()->second.rates.messages_per_minute_max = 1;
  });
  EXPECT_TRUE(send(log_in(dial(Port::implicit)), make_content()).starts_with("250"));
  const Counters counters = saved();
  std::unique_ptr<Gatekeeper> next;
  on_main_loop([&] {
    next = std::make_unique<Gatekeeper>(*main_loop, *storage, logger, policy);
    next->restore(counters);
  });
  std::optional<std::optional<smtp::Reply>> answer;
  ASSERT_TRUE(next->ask_message(*loop, std::string(user_name), policy, 0,
                                [&](std::optional<smtp::Reply> reply) { answer = reply; }));
  ASSERT_TRUE(until([&] { return answer.has_value(); }));
  ASSERT_TRUE(answer->has_value()) << "the restart gave a full bucket";
  EXPECT_EQ((*answer)->code, 450);
  on_main_loop([&] { next.reset(); });
}

}  // namespace
}  // namespace postern::submission
