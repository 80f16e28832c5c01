// Faults that once lost a notice, kept other people's mail waiting or delivered twice. Each test
// fails without the rule that its comment names.
#include <gtest/gtest.h>

#include <algorithm>

#include "relay/message/header.hpp"
#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

using DeliveryFaultsTest = DeliveryTest;

// A report quotes at most a part of the original header, so that its row always takes it.
TEST_F(DeliveryFaultsTest, TellsTheSenderOfAFailureHoweverLargeTheHeaderIs) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command.starts_with("RCPT TO:<anna@") ? Answer("550 5.1.1 no such user") : polite;
  };
  add_upstream("far", upstream);
  add_route("*", {"far"});
  start_engine();
  std::string header = "Subject: page 1\r\n";
  while (header.size() + 80 < message::header_bytes_max) {
    header += "X-Scanned-By: " + std::string(62, 'x') + "\r\n";
  }
  const QueueId id = queue({.header = header});
  ASSERT_TRUE(until_gone(id));
  ASSERT_TRUE(until([&] { return upstream.messages.size() == 1; }))
      << "the notice was lost: " << log_text();
  EXPECT_NE(upstream.messages[0].find("Final-Recipient: rfc822; anna@far.example\r\n"),
            std::string::npos);
  EXPECT_NE(upstream.messages[0].find("Subject: page 1\r\n"), std::string::npos);
  EXPECT_FALSE(logged("attempt-not-recorded"));
}

// However many recipients fail with however many words: each is reported, in as many reports as it
// takes for each to fit its row.
TEST_F(DeliveryFaultsTest, ReportsEveryRecipientHoweverManyFail) {
  ScriptedUpstream& upstream = make_upstream();
  std::string words;
  for (int i = 0; i < 240; ++i) words += "\xC3\xA4";
  upstream.script = [&words](const Dialogue&, std::string_view command) -> Answer {
    const bool told = command.starts_with("RCPT TO:<scan@");
    return command.starts_with("RCPT") && !told ? Answer("550 5.1.1 " + words) : polite;
  };
  add_upstream("far", upstream);
  add_route("*", {"far"});
  start_engine();
  std::vector<std::string> recipients;
  for (int i = 0; i < 100; ++i) {
    recipients.push_back("r" + std::to_string(1'000 + i) + std::string(50, 'r') + "@" +
                         std::string(60, 'd') + "." + std::string(60, 'd') + ".example");
  }
  const QueueId id = queue({.recipients = recipients});
  ASSERT_TRUE(until_gone(id)) << log_text();
  const auto missing = [&] {
    return std::ranges::count_if(recipients, [&](const std::string& address) {
      return std::ranges::none_of(upstream.messages, [&](const std::string& report) {
        return report.contains("Final-Recipient: rfc822;\r\n " + address) ||
               report.contains("Final-Recipient: rfc822; " + address);
      });
    });
  };
  EXPECT_TRUE(until([&] { return missing() == 0; })) << missing() << " of 100 are not reported";
  EXPECT_GT(upstream.messages.size(), 1U) << "one report took them all, so nothing was shown";
  EXPECT_FALSE(logged("attempt-not-recorded"));
}

// An upstream that says nothing holds a bounded part of the engine's attempts.
TEST_F(DeliveryFaultsTest, RelaysToOneUpstreamWhileAnotherStalls) {
  ScriptedUpstream& stalling = make_upstream();
  ScriptedUpstream& quick = make_upstream();
  stalling.script = [](const Dialogue&, std::string_view) -> Answer { return Answer(silence); };
  add_upstream("stalling", stalling);
  add_upstream("quick", quick);
  add_route("*@stalling.example", {"stalling"});
  add_route("*", {"quick"});
  for (std::size_t i = 0; i < attempts_max + 40; ++i) {
    storage::InsertMessage request{seal({.recipients = {"anna@stalling.example"}}), {}, {}};
    ASSERT_TRUE(storage->post(std::move(request)));
  }
  start_engine();
  ASSERT_TRUE(until([&] { return stalling.dialogues().size() == 4; }));
  net::run_for(*loop, Duration(200));  // the stalling upstream gets all that it can get
  const QueueId id = queue({.recipients = {"bert@quick.example"}});
  EXPECT_TRUE(until([&] { return quick.messages.size() == 1; }, Duration(1'500)))
      << "mail for one upstream waits for another";
  EXPECT_TRUE(until_gone(id));
  EXPECT_EQ(stored_messages().size(), attempts_max + 40) << "and nothing else went";
}

// What an upstream took is recorded again when the store has no room for the record just now;
// offering the message again would deliver it twice. (This test waits for record_retry_delay.)
TEST_F(DeliveryFaultsTest, RecordsAgainInsteadOfDeliveringAgainWhenTheStoreIsBusy) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command == final_dot ? Answer(silence) : polite;
  };
  add_upstream("far", upstream);
  add_route("*", {"far"});
  snapshot.retry.retry_delay_min = Duration(50);  // when a second delivery would come
  start_engine();
  const QueueId id = queue();
  ASSERT_TRUE(until([&] { return upstream.messages.size() == 1; }));
  upstream.script = nullptr;
  std::promise<void> let_go = block_storage();
  upstream.say(0, "250 2.0.0 taken");
  EXPECT_TRUE(until([this] { return logged("attempt-not-recorded"); }));
  let_go.set_value();
  ASSERT_TRUE(until([this] { return post_to_storage(); }));
  EXPECT_TRUE(stored(id));
  ASSERT_TRUE(until_gone(id));
  EXPECT_EQ(upstream.messages.size(), 1U) << "it was delivered twice";
  EXPECT_EQ(upstream.heard("MAIL"), 1U);
  EXPECT_TRUE(eventually([this] { return facts().figures.relayed == 1; }));
}

// A connection that becomes ready ends the time in which a failing upstream is left alone.
TEST_F(DeliveryFaultsTest, UsesAnUpstreamThatCameBackAtOnce) {
  ScriptedUpstream& upstream = make_upstream();
  upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
    return command == greeting_moment ? Answer(silence) : polite;
  };
  const auto settings = add_upstream("far", upstream);
  settings->connections_max = 2;
  add_route("*", {"far"});
  static_cast<void>(store());
  static_cast<void>(store());
  start_engine();
  ASSERT_TRUE(until([&] { return upstream.dialogues().size() == 2; }));
  upstream.say(0, "421 4.3.2 too many connections");
  ASSERT_TRUE(until_delayed(2)) << "both wait";
  EXPECT_FALSE(facts().upstreams.at(0).last_error.empty());
  upstream.say(1, "220 upstream.example ESMTP");
  ASSERT_TRUE(eventually([this] { return facts().upstreams.at(0).last_error.empty(); }));
  const QueueId third = queue();
  ASSERT_TRUE(until([&] {
    const auto message = stored(third);
    return !message || message->summary.attempts > 0;
  }));
  EXPECT_FALSE(stored(third)) << stored(third)->last_error;
  EXPECT_EQ(upstream.messages.size(), 1U);
  EXPECT_EQ(upstream.dialogues().size(), 2U);
}

}  // namespace
}  // namespace postern::delivery
