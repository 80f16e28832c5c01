// Connections to an upstream: what leaves before it is trusted, which address is used, what is kept
// and what is replaced.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "relay/delivery/upstream_pool.hpp"
#include "relay/net/os_address.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

class UpstreamConnectionTest : public DeliveryTest {
 protected:
  // A message for one upstream whose `last_error` is returned once the attempt is over.
  std::string reason_of_delay(ScriptedUpstream& upstream) {
    const auto settings = add_upstream("far", upstream);
    settings->user_name = "relay";
    settings->password = Secret(std::string_view("hunter2"));
    add_route("*", {"far"});
    start_engine();
    const QueueId id = queue();
    EXPECT_TRUE(until_tried(id, 1));
    const auto message = stored(id);
    return message ? message->last_error : "gone";
  }
};

// RFC 7817, RFC 9525: the certificate must name the upstream before it hears anything of the mail.
TEST_F(UpstreamConnectionTest, SendsNothingToAnUpstreamWhoseCertificateNamesAnother) {
  ScriptedUpstream& upstream = make_upstream(test_tls().wrong_name);
  const std::string reason = reason_of_delay(upstream);
  EXPECT_NE(reason.find("some-other.example"), std::string::npos) << reason;
  EXPECT_EQ(upstream.heard("AUTH"), 0U);
  EXPECT_EQ(upstream.heard("MAIL"), 0U);
  EXPECT_EQ(upstream.dialogues().at(0)->commands,
            (std::vector<std::string>{"EHLO relay.office.example", "STARTTLS"}));
  EXPECT_NE(facts().upstreams.at(0).last_error.find("some-other.example"), std::string::npos);
}

TEST_F(UpstreamConnectionTest, SendsNothingWhenTheCertificateOfImplicitTlsNamesAnother) {
  ScriptedUpstream& upstream = make_upstream(test_tls().wrong_name, smtp::DeliveryTls::implicit);
  const std::string reason = reason_of_delay(upstream);
  EXPECT_NE(reason.find("some-other.example"), std::string::npos) << reason;
  EXPECT_TRUE(upstream.dialogues().at(0)->commands.empty());
}

// RFC 3207 §4.1: mail leaves only over TLS, whoever stripped the offer.
TEST_F(UpstreamConnectionTest, SendsNothingWhereStartTlsIsNotOffered) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command.starts_with("EHLO") ? Answer("250-upstream.example\r\n250 AUTH PLAIN") : polite;
  };
  const std::string reason = reason_of_delay(upstream);
  EXPECT_NE(reason.find("STARTTLS"), std::string::npos) << reason;
  EXPECT_EQ(upstream.heard("AUTH"), 0U);
  EXPECT_EQ(upstream.heard("MAIL"), 0U);
}

// A wrong password is the relay's trouble and not the mail's: it waits.
TEST_F(UpstreamConnectionTest, KeepsMailWhenTheUpstreamRefusesThePassword) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command.starts_with("AUTH") ? Answer("535 5.7.8 wrong") : polite;
  };
  const std::string reason = reason_of_delay(upstream);
  EXPECT_NE(reason.find("535 5.7.8 wrong"), std::string::npos) << reason;
  EXPECT_EQ(reason.find("hunter2"), std::string::npos);
  EXPECT_EQ(upstream.heard("MAIL"), 0U);
  EXPECT_FALSE(logged("hunter2"));
}

TEST_F(UpstreamConnectionTest, UsesAKeptConnectionForTheNextMessage) {
  ScriptedUpstream& upstream = make_upstream();
  add_upstream("far", upstream);
  add_route("*", {"far"});
  start_engine();
  for (std::size_t count = 1; count <= 3; ++count) {
    ASSERT_TRUE(until_gone(queue()));
    EXPECT_EQ(upstream.messages.size(), count);
  }
  EXPECT_EQ(upstream.dialogues().size(), 1U);
  EXPECT_EQ(upstream.heard("EHLO"), 2U) << "before and after STARTTLS, then never again";
  EXPECT_EQ(facts().upstreams.at(0).connections, 1U);
}

// An upstream may end an idle connection at any time; that is no reason to delay mail.
TEST_F(UpstreamConnectionTest, ReplacesAKeptConnectionThatTurnsOutDead) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue& dialogue, std::string_view command) -> Answer {
    const bool second = dialogue.number == 0 && command.starts_with("MAIL") &&
                        std::ranges::count_if(dialogue.commands, [](const std::string& line) {
                          return line.starts_with("MAIL");
                        }) == 2;
    return second ? Answer(hang_up_words) : polite;
  };
  add_upstream("far", upstream);
  add_route("*", {"far"});
  start_engine();
  ASSERT_TRUE(until_gone(queue()));
  ASSERT_TRUE(until_gone(queue()));
  EXPECT_EQ(upstream.messages.size(), 2U);
  EXPECT_EQ(upstream.dialogues().size(), 2U);
  EXPECT_EQ(facts().figures.delayed, 0U);
}

// RFC 5321 §4.1.1.4: after the final dot only the upstream knows; a duplicate is better than a
// loss.
TEST_F(UpstreamConnectionTest, KeepsAMessageWhoseConnectionIsLostAfterTheFinalDot) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command == final_dot ? Answer(hang_up_words) : polite;
  };
  const std::string reason = reason_of_delay(upstream);
  EXPECT_NE(reason.find("after the final dot"), std::string::npos) << reason;
  EXPECT_EQ(upstream.messages.size(), 1U);
}

TEST_F(UpstreamConnectionTest, OpensNoMoreConnectionsThanAllowed) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command == final_dot ? Answer(silence) : polite;
  };
  const auto settings = add_upstream("far", upstream);
  settings->connections_max = 2;
  add_route("*", {"far"});
  start_engine();
  for (int i = 0; i < 5; ++i) static_cast<void>(queue());
  ASSERT_TRUE(until([&] { return upstream.messages.size() == 2; }));
  net::run_for(*loop, Duration(100));
  EXPECT_EQ(upstream.dialogues().size(), 2U);
  upstream.script = nullptr;
  upstream.say(0, "250 2.0.0 taken");
  upstream.say(1, "250 2.0.0 taken");
  ASSERT_TRUE(until([&] { return stored_messages().empty(); }));
  EXPECT_EQ(upstream.dialogues().size(), 2U);
  EXPECT_EQ(upstream.messages.size(), 5U);
}

// --- A pool on the test's own loop

// Answers every A question with 127.0.0.2 and then 127.0.0.1, and every other with nothing
// (RFC 1035 §4.1).
class TwoAddressesDns {
 public:
  TwoAddressesDns() : descriptor_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const net::OsAddress any = net::to_os_address(net::address_of("127.0.0.1:0"));
    EXPECT_EQ(::bind(descriptor_, any.get(), any.length), 0);
    const timeval wait{0, 20'000};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  TwoAddressesDns(const TwoAddressesDns&) = delete;
  TwoAddressesDns& operator=(const TwoAddressesDns&) = delete;
  ~TwoAddressesDns() {
    thread_.request_stop();
    thread_.join();
    ::close(descriptor_);
  }
  [[nodiscard]] std::string address() const {
    return net::own_address(descriptor_).value_or(SocketAddress{}).text();
  }

 private:
  void serve(const std::stop_token& stop) const {
    while (!stop.stop_requested()) {
      char buffer[512];
      sockaddr_storage from{};
      socklen_t from_length = sizeof from;
      const ssize_t length = recvfrom(descriptor_, buffer, sizeof buffer, 0,
                                      reinterpret_cast<sockaddr*>(&from), &from_length);
      if (length < 17) continue;
      const std::string reply = answer(std::string(buffer, static_cast<std::size_t>(length)));
      sendto(descriptor_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
             from_length);
    }
  }
  static std::string answer(const std::string& question) {
    const std::size_t name_end = question.find('\0', 12);
    const bool asks_a = question[name_end + 2] == 1;
    std::string reply = question.substr(0, 2);
    reply += {'\x81', '\x80', 0, 1, 0, asks_a ? '\x02' : '\x00', 0, 0, 0, 0};
    reply += question.substr(12, name_end + 5 - 12);
    for (const char last : {'\x02', '\x01'}) {
      if (asks_a) reply += {'\xc0', 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, last};
    }
    return reply;
  }

  int descriptor_;
  std::jthread thread_;
};

class UpstreamPoolTest : public DeliveryTest {
 protected:
  void SetUp() override {
    DeliveryTest::SetUp();
    services_.emplace(services());
  }
  void TearDown() override {
    pool.reset();
    resolver.reset();
    DeliveryTest::TearDown();
  }
  void make_pool(std::shared_ptr<const UpstreamSettings> settings, const std::string& servers) {
    auto made = net::Resolver::create(*loop, servers);
    ASSERT_TRUE(made);
    resolver = std::move(*made);
    pool = std::make_unique<UpstreamPool>(*loop, *resolver, log, "relay.office.example",
                                          std::move(settings));
  }
  void submit(const Mail& mail = {}) {
    const auto message = stored(store(mail).id);
    ASSERT_TRUE(message);
    auto job = std::make_unique<TransactionJob>();
    job->envelope.sender = queue::from_stored(message->sender).value_or(smtp::Sender{});
    job->envelope.recipients.push_back(
        queue::from_stored(message->recipients[0]).value_or(smtp::Recipient{}));
    job->content_bytes = message->content.header_bytes + message->content.body_bytes;
    job->open_source = [this, message] {
      return std::make_unique<MessageSource>(*loop, *services_, *message);
    };
    job->done = [this](TransactionOutcome told) {
      for (auto& result : told.results) results.push_back(std::move(result));
    };
    job->no_session = [this](Trouble trouble) { troubles.push_back(std::move(trouble)); };
    pool->submit(std::move(job));
  }

  std::optional<DeliveryServices> services_;
  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<UpstreamPool> pool;
  std::vector<smtp::RecipientResult> results;
  std::vector<Trouble> troubles;
};

// RFC 5321 §5.1: the addresses of a next hop are tried in order until one answers.
TEST_F(UpstreamPoolTest, TriesTheNextAddressWhenTheFirstRefuses) {
  const TwoAddressesDns dns;
  ScriptedUpstream& upstream = make_upstream();  // on 127.0.0.1 alone
  const auto settings = add_upstream("far", upstream);
  settings->host = "upstream.example";
  make_pool(settings, dns.address());
  submit();
  ASSERT_TRUE(until([this] { return !results.empty() || !troubles.empty(); }));
  ASSERT_TRUE(troubles.empty()) << troubles[0].reason;
  EXPECT_EQ(results[0].kind, smtp::RecipientResult::Kind::accepted);
  EXPECT_EQ(upstream.messages.size(), 1U);
}

// The conditions act themselves: a loop takes what is posted into it only while it runs.
TEST_F(UpstreamPoolTest, AnswersEveryWaitingJobAtOnceWhenNoAddressAnswers) {
  const auto settings = add_upstream("far", net::refusing_address().port);
  make_pool(settings, {});
  for (int i = 0; i < 3; ++i) submit();
  std::size_t submitted = 3;
  ASSERT_TRUE(until([&] {
    if (troubles.size() == 3 && pool->connections() == 0 && submitted == 3) {
      EXPECT_FALSE(pool->last_error().empty());
      submit();
      ++submitted;
    }
    return troubles.size() == 4;
  }));
  for (const Trouble& trouble : troubles) EXPECT_EQ(trouble.status, "4.4.1");
  // For a while nobody knocks again.
  EXPECT_NE(troubles[3].reason.find("a moment ago"), std::string::npos) << troubles[3].reason;
}

TEST_F(UpstreamPoolTest, KeepsTheUpstreamsMessagesAMinute) {
  ScriptedUpstream& upstream = make_upstream();
  const auto settings = add_upstream("far", upstream);
  settings->messages_per_minute_max = 2;
  make_pool(settings, {});
  for (int i = 0; i < 3; ++i) submit();
  std::optional<MonotonicTime> two_done;
  bool stopped = false;
  ASSERT_TRUE(until([&] {
    const MonotonicTime now = read_clocks().monotonic;
    if (results.size() >= 2 && !two_done) two_done = now;
    if (two_done && now - *two_done > Duration(100) && !std::exchange(stopped, true)) pool->stop();
    return !troubles.empty();
  }));
  EXPECT_TRUE(stopped);
  EXPECT_EQ(results.size(), 2U);
  ASSERT_EQ(troubles.size(), 1U) << "the third waited for its minute";
  EXPECT_EQ(troubles[0].status, "4.3.2");
}

}  // namespace
}  // namespace postern::delivery
