// What a person asks of the queue and is told, and what he is told when a message cannot be read:
// regressions of faults that a reader and a new user met.
#include <gtest/gtest.h>

#include "tests/unit/delivery/delivery_support.hpp"

namespace postern::delivery {
namespace {

class OperatorTest : public DeliveryTest {
 protected:
  void SetUp() override {
    DeliveryTest::SetUp();
    upstream = &make_upstream();
    add_upstream("far", *upstream);
    add_route("*", {"far"});
  }
  [[nodiscard]] std::string refusal(QueueChange what, std::optional<QueueId> id) {
    const auto changed = change(what, id);
    return changed ? "" : changed.error().text();
  }
  ScriptedUpstream* upstream = nullptr;
};

TEST_F(OperatorTest, ARetryOfAHeldMessageIsRefusedWithTheWayOut) {
  auto held = seal({});
  held.next_attempt += std::chrono::hours(1);
  const QueueId id = held.id;
  insert(std::move(held));
  start_engine();
  ASSERT_TRUE(eventually([&] { return change(QueueChange::hold, id).has_value(); }));
  EXPECT_NE(refusal(QueueChange::retry, id).find("release it first"), std::string::npos);
  EXPECT_TRUE(change(QueueChange::release, id));
  EXPECT_TRUE(until_gone(id));
}

TEST_F(OperatorTest, AReleaseOfWhatIsNotHeldSaysSo) {
  auto waiting = seal({});
  waiting.next_attempt += std::chrono::hours(1);
  const QueueId id = waiting.id;
  insert(std::move(waiting));
  start_engine();
  ASSERT_TRUE(eventually([&] { return change(QueueChange::hold, id).has_value(); }));
  ASSERT_TRUE(change(QueueChange::release, id));
  ASSERT_TRUE(until_gone(id));
  upstream->script = [](const Dialogue&, std::string_view command) -> Answer {
    return command.starts_with("MAIL") ? Answer("450 4.3.2 busy") : Answer(polite);
  };
  const QueueId other = queue();
  ASSERT_TRUE(until_delayed(1));
  EXPECT_NE(refusal(QueueChange::release, other).find("not held"), std::string::npos);
}

TEST_F(OperatorTest, WhatIsDoneToAllIsLoggedForEachMessageInWords) {
  upstream->script = [](const Dialogue&, std::string_view command) -> Answer {
    return command.starts_with("MAIL") ? Answer("450 4.3.2 busy") : Answer(polite);
  };
  start_engine();
  const QueueId first = queue();
  const QueueId second = queue();
  ASSERT_TRUE(until_delayed(2));
  const auto removed = change(QueueChange::remove, std::nullopt);
  ASSERT_TRUE(removed);
  EXPECT_EQ(*removed, 2U);
  for (const QueueId id : {first, second}) {
    EXPECT_TRUE(logged("event=queue-changed-by-operator queue_id=" + id.text() + " change=remove"))
        << log_text();
  }
}

TEST_F(OperatorTest, ABusyStoreRefusesAHoldWhichIsThenTakenBack) {
  auto waiting = seal({});
  waiting.next_attempt += std::chrono::milliseconds(1'500);
  const QueueId id = waiting.id;
  insert(std::move(waiting));
  start_engine();
  ASSERT_TRUE(eventually(
      [&] { return refusal(QueueChange::release, id).find("not held") != std::string::npos; }));
  std::promise<void> let_go = block_storage();
  EXPECT_NE(refusal(QueueChange::hold, id).find("try again"), std::string::npos);
  EXPECT_NE(refusal(QueueChange::hold, std::nullopt).find("try again"), std::string::npos)
      << "--all does not drop what went wrong";
  EXPECT_NE(refusal(QueueChange::remove, QueueId{77}).find("try again"), std::string::npos)
      << "what only the store knows";
  let_go.set_value();
  ASSERT_TRUE(until([this] { return post_to_storage(); }));
  EXPECT_TRUE(until_gone(id)) << "it is not held and goes out when it is due";
}

// After our 250 the mail arrives or a person learns why: also when the row itself is damaged.
TEST_F(OperatorTest, APersonIsToldOfAMessageWhoseSenderCannotBeRead) {
  snapshot.owners["scanner"] = *smtp::parse_mailbox("it@office.example", true);
  start_engine();
  storage::NewMessage damaged = seal({});
  damaged.sender.reverse_path = "no \x01 address";
  const storage::MessageSummary summary = storage::summary_of(damaged);
  insert(std::move(damaged));
  engine->message_queued(summary);
  ASSERT_TRUE(until([this] { return upstream->messages.size() == 1; }));
  EXPECT_NE(upstream->messages[0].find("To: <it@office.example>\r\n"), std::string::npos)
      << upstream->messages[0];
  EXPECT_NE(upstream->messages[0].find("anna@far.example"), std::string::npos);
  ASSERT_TRUE(eventually([&] {
    const auto kept = stored(summary.id);
    return kept && kept->summary.quarantined;
  }));
  EXPECT_FALSE(logged("event=message-done queue_id=" + summary.id.text())) << log_text();
}

// One bit turned by the medium makes another address of it, which reads as well as the first. The
// mail goes to nobody else, and of whom to tell only the configuration can be trusted.
TEST_F(OperatorTest, MailWhoseEnvelopeWasChangedGoesToNobodyAndAPersonIsTold) {
  const auto changes = std::to_array<std::function<void(storage::NewMessage&)>>({
      [](storage::NewMessage& message) { message.recipients[0].address = "anno@far.example"; },
      [](storage::NewMessage& message) { message.recipients[0].parameters = "NOTIFY=NEVER"; },
      [](storage::NewMessage& message) { message.sender.reverse_path = "scao@office.example"; },
      [](storage::NewMessage& message) { message.user_name = "scanneR"; },
      [](storage::NewMessage& message) { message.recipients.pop_back(); },
  });
  start_engine();
  std::size_t told = 0;
  for (const auto& change : changes) {
    storage::NewMessage changed = seal({.recipients = {"anna@far.example", "bert@far.example"}});
    change(changed);
    const storage::MessageSummary summary = storage::summary_of(changed);
    insert(std::move(changed));
    engine->message_queued(summary);
    ASSERT_TRUE(until([&] { return upstream->messages.size() == told + 1; })) << log_text();
    const std::string& report = upstream->messages[told++];
    EXPECT_NE(report.find("To: <postmaster@office.example>\r\n"), std::string::npos) << report;
    EXPECT_NE(report.find(summary.id.text()), std::string::npos) << report;
    EXPECT_EQ(report.find("page 1"), std::string::npos) << "nothing of the mail itself: " << report;
    ASSERT_TRUE(eventually([&] {
      const auto kept = stored(summary.id);
      return kept && kept->summary.quarantined;
    }));
    EXPECT_TRUE(logged("event=message-quarantined queue_id=" + summary.id.text()));
  }
  EXPECT_EQ(upstream->heard("RCPT TO:<an"), 0U);
  EXPECT_EQ(upstream->heard("RCPT TO:<bert"), 0U);
}

// What a start quarantined was told to the log only.
TEST_F(OperatorTest, APersonIsToldOnceOfAMessageThatWasQuarantinedAtTheStart) {
  snapshot.owners["scanner"] = *smtp::parse_mailbox("it@office.example", true);
  const QueueId id = store({.recipients = {"anna@far.example", "bert@far.example"}}).id;
  std::promise<void> quarantined;
  ASSERT_TRUE(storage->post(storage::SetQuarantined{
      id, "its body file is missing", [&](const Result<>&) { quarantined.set_value(); }}));
  quarantined.get_future().wait();
  start_engine();
  ASSERT_TRUE(until([this] { return upstream->messages.size() == 1; })) << log_text();
  const std::string& report = upstream->messages[0];
  EXPECT_NE(report.find("To: <it@office.example>\r\n"), std::string::npos) << report;
  EXPECT_NE(report.find("anna@far.example"), std::string::npos) << report;
  EXPECT_NE(report.find("bert@far.example"), std::string::npos) << report;
  EXPECT_NE(report.find("cannot read the mail"), std::string::npos) << report;
  EXPECT_EQ(report.find("refused"), std::string::npos) << report;
  ASSERT_TRUE(until([this] { return stored_messages().size() == 1; })) << "the report went";
  EXPECT_TRUE(stored(id)->summary.quarantined) << "it stays for a person";
  stop_engine();
  engine.reset();
  start_engine();
  net::run_for(*loop, Duration(200));
  EXPECT_EQ(upstream->messages.size(), 1U) << "told once";
}

// A reload that comes between is no attempt: the back-off stays where it was.
TEST_F(OperatorTest, AReloadNeitherCountsAsAnAttemptNorDelaysWhatWaits) {
  upstream->script = [](const Dialogue&, std::string_view command) -> Answer {
    return command == greeting_moment ? Answer(silence) : polite;
  };
  start_engine();
  const QueueId id = queue();
  ASSERT_TRUE(until([this] { return upstream->dialogues().size() == 1; }));
  upstream->script = nullptr;
  engine->configure(std::make_shared<const DeliverySnapshot>(snapshot));
  EXPECT_TRUE(until([this] { return upstream->messages.size() == 1; }, Duration(3'000)))
      << log_text();
  EXPECT_TRUE(until_gone(id));
}

}  // namespace
}  // namespace postern::delivery
