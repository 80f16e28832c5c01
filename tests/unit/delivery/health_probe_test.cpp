// The health check of upstreams: what is told of each kind, and that nothing but a greeting is
// said.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

using Verdict = queue::ProbeResult::Verdict;

class HealthProbeTest : public DeliveryTest {
 protected:
  queue::HealthFacts health(HealthProbe::Peers own = {}) {
    std::optional<queue::HealthFacts> answer;
    EXPECT_TRUE(engine->ask_health(*loop, std::move(own),
                                   [&](queue::HealthFacts told) { answer = std::move(told); }));
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer.value_or(queue::HealthFacts{});
  }
  queue::ProbeResult health_of(ScriptedUpstream& upstream) {
    const auto settings = add_upstream("far", upstream);
    settings->user_name = "relay";
    settings->password = Secret(std::string_view("hunter2"));
    start_engine();
    const auto facts = health();
    EXPECT_EQ(facts.upstreams.size(), 1U);
    return facts.upstreams.at(0);
  }
};

TEST_F(HealthProbeTest, AnUpstreamThatAnswersIsReachedAndHearsNoCredentialAndNoMail) {
  for (const auto tls : {smtp::DeliveryTls::starttls, smtp::DeliveryTls::implicit}) {
    ScriptedUpstream& upstream = make_upstream(test_tls().good, tls);
    const auto settings = add_upstream(tls == smtp::DeliveryTls::implicit ? "b" : "a", upstream);
    settings->user_name = "relay";
    settings->password = Secret(std::string_view("hunter2"));
  }
  start_engine();
  const auto facts = health();
  ASSERT_EQ(facts.upstreams.size(), 2U);
  for (const auto& result : facts.upstreams) {
    EXPECT_EQ(result.verdict, Verdict::reached) << result.reason;
    EXPECT_EQ(result.status + result.reason, "");
  }
  EXPECT_EQ(upstreams.at(0)->dialogues().at(0)->commands,
            (std::vector<std::string>{"EHLO relay.office.example", "STARTTLS",
                                      "EHLO relay.office.example", "QUIT"}));
  EXPECT_EQ(upstreams.at(1)->dialogues().at(0)->commands,
            (std::vector<std::string>{"EHLO relay.office.example", "QUIT"}));
}

TEST_F(HealthProbeTest, AnUpstreamThatIsNotThereIsAway) {
  ScriptedUpstream& upstream = make_upstream();
  add_upstream("far", upstream);
  upstream.hang_up();
  start_engine();
  const auto result = health().upstreams.at(0);
  EXPECT_EQ(result.verdict, Verdict::away);
  EXPECT_EQ(result.status, "4.4.1");
  EXPECT_FALSE(result.reason.empty());
}

TEST_F(HealthProbeTest, AnUpstreamThatTakesNobodyNowIsAway) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    if (command == greeting_moment) return "421 4.3.2 come back later";
    return polite;
  };
  EXPECT_EQ(health_of(upstream).verdict, Verdict::away);
}

TEST_F(HealthProbeTest, AnUpstreamWithAnotherCertificateIsFaulty) {
  const auto result = health_of(make_upstream(test_tls().wrong_name));
  EXPECT_EQ(result.verdict, Verdict::faulty);
  EXPECT_EQ(result.status, "4.7.5");
  EXPECT_NE(result.reason.find("some-other.example"), std::string::npos) << result.reason;
}

TEST_F(HealthProbeTest, AnUpstreamWithoutStartTlsIsFaulty) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    if (command.starts_with("EHLO")) return "250 mx.far.example";
    return polite;
  };
  EXPECT_EQ(health_of(upstream).status, "4.7.4");
}

// The relay's own listeners: only the very chain they are configured with.
TEST_F(HealthProbeTest, AListenerMustShowTheExpectedChain) {
  ScriptedUpstream& good = make_upstream(test_tls().good, smtp::DeliveryTls::implicit);
  ScriptedUpstream& other = make_upstream(test_tls().wrong_name, smtp::DeliveryTls::implicit);
  start_engine();
  HealthProbe::Peers own;
  for (const ScriptedUpstream* listener : {&good, &other}) {
    auto peer = std::make_shared<UpstreamSettings>();
    peer->name = "listener";
    peer->host = "127.0.0.1";
    peer->port = listener->port();
    peer->tls = listener->tls();
    peer->tls_context = crypto::TlsClientContext::expecting(test_tls().good);
    own.push_back(std::move(peer));
  }
  const auto facts = health(std::move(own));
  ASSERT_EQ(facts.listeners.size(), 2U);
  EXPECT_TRUE(facts.upstreams.empty());
  EXPECT_EQ(facts.listeners[0].verdict, Verdict::reached) << facts.listeners[0].reason;
  EXPECT_EQ(facts.listeners[1].verdict, Verdict::faulty);
  EXPECT_NE(facts.listeners[1].reason.find("another certificate"), std::string::npos)
      << facts.listeners[1].reason;
}

TEST_F(HealthProbeTest, AnEngineThatEndsMeanwhileAnswersNobodyAndWaitsForNobody) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view) -> Answer {
    return std::string(silence);
  };
  add_upstream("far", upstream);
  start_engine();
  bool answered = false;
  ASSERT_TRUE(engine->ask_health(*loop, {}, [&](const queue::HealthFacts&) { answered = true; }));
  ASSERT_TRUE(until([&] { return !upstream.dialogues().empty(); }));
  EXPECT_LT(stop_engine(), std::chrono::seconds(5));
  EXPECT_FALSE(answered);
}

}  // namespace
}  // namespace postern::delivery
