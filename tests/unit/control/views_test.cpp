// The facts as scripts read them: names, types and forms of the keys.
#include <gtest/gtest.h>

#include "relay/control/json.hpp"
#include "relay/control/views.hpp"

namespace postern::control {
namespace {

storage::StoredMessage some_message() {
  storage::StoredMessage message;
  message.summary.id = QueueId{42};
  message.summary.received = WallTime(Duration(1'000));
  message.summary.next_attempt = WallTime(Duration(61'000));
  message.summary.attempts = 2;
  message.summary.bytes = 1'234;
  message.summary.user_name = "copier-2";
  message.sender.reverse_path = "scan@office.example";
  message.recipients.resize(2);
  message.recipients[0].address = "anna@far.example";
  message.recipients[0].last_reply = "451 4.7.1 \"later\"\xff";
  message.recipients[1].address = "ben@far.example";
  message.recipients[1].state = storage::RecipientState::relayed;
  message.last_error = "the upstream said 451";
  return message;
}

TEST(MessageView, HasTheKeysThatScriptsRead) {
  const auto json = read_json(message_json(some_message()), 10'000);
  ASSERT_TRUE(json);
  std::vector<std::string> keys;
  for (const auto& [key, value] : json->items()) keys.push_back(key);
  const std::vector<std::string> expected = {"id",       "user",         "sender",    "recipients",
                                             "received", "next_attempt", "attempts",  "bytes",
                                             "held",     "quarantined",  "last_error"};
  EXPECT_EQ(keys, expected);
  EXPECT_EQ((*json)["id"], QueueId{42}.text());
  EXPECT_EQ((*json)["received"], "1970-01-01T00:00:01.000Z");
  EXPECT_EQ((*json)["bytes"], 1'234);
  EXPECT_EQ((*json)["recipients"][0]["state"], "waiting");
  EXPECT_EQ((*json)["recipients"][0]["last_reply"], "451 4.7.1 \"later\"\xef\xbf\xbd");
  EXPECT_EQ((*json)["recipients"][1]["state"], "relayed");
}

TEST(MessageView, AListTellsHowManyMoreThereAre) {
  EXPECT_EQ(messages_json("", 0), R"({"messages":[],"more":0})");
  const std::string one = message_json(some_message());
  const auto json = read_json(messages_json(one + "," + one, 7), 10'000);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["messages"].size(), 2U);
  EXPECT_EQ((*json)["more"], 7);
}

TEST(StatusView, TellsQueueListenersUpstreamsAndARefusedReload) {
  StatusFacts facts;
  facts.version = "0.1.0";
  facts.hostname = "relay.office.example";
  facts.listeners = {{"[::]:465", "implicit"}};
  facts.queue.messages = 3;
  facts.delivery.upstreams.push_back({"provider", "smtp.provider.example", 1, ""});
  auto json = read_json(status_json(facts), 10'000);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["listeners"][0]["tls"], "implicit");
  EXPECT_EQ((*json)["queue"]["messages"], 3);
  EXPECT_EQ((*json)["upstreams"][0]["name"], "provider");
  EXPECT_TRUE((*json)["reload_problem"].is_null());
  facts.reload_problem = "postern.toml:1:1: …";
  json = read_json(status_json(facts), 10'000);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["reload_problem"], "postern.toml:1:1: …");
}

TEST(StatusView, NamesTheSettingsThatWaitForARestart) {
  StatusFacts facts;
  auto json = read_json(status_json(facts), 10'000);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["restart_needed"], Json::array());
  facts.restart_needed = {"listener"};
  json = read_json(status_json(facts), 10'000);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["restart_needed"], Json::array({"listener"}));
  EXPECT_EQ(reload_json({"listener"}), R"({"reloaded":true,"restart_needed":["listener"]})");
}

TEST(ChangeView, TellsWhatFailedAndWhy) {
  EXPECT_EQ(change_json({.changed = 2, .failed = 0, .first_failure = ""}),
            R"({"changed":2,"failed":0})");
  EXPECT_EQ(change_json({.changed = 2, .failed = 1, .first_failure = "busy"}),
            R"({"changed":2,"failed":1,"first_failure":"busy"})");
}

}  // namespace
}  // namespace postern::control
