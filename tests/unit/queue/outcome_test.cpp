// What a reply, or its absence, does to a recipient, and who hears of it.
#include "relay/queue/outcome.hpp"

#include <gtest/gtest.h>

#include <array>

namespace postern::queue {
namespace {

using Kind = Outcome::Kind;
using smtp::EnhancedStatus;
using smtp::RecipientResult;

RecipientResult answered(RecipientResult::Kind kind, smtp::Reply reply) {
  RecipientResult result;
  result.kind = kind;
  result.reply = std::move(reply);
  return result;
}

RecipientResult refused(std::uint16_t code, std::optional<EnhancedStatus> enhanced = {}) {
  return answered(RecipientResult::Kind::refused, smtp::Reply{code, enhanced, {"the words"}});
}

TEST(Outcome, A2yzIsRelayed) {
  const auto outcome = decide_outcome(answered(
      RecipientResult::Kind::accepted, smtp::make_reply(250, EnhancedStatus{2, 6, 0}, "queued")));
  EXPECT_EQ(outcome.kind, Kind::relayed);
  EXPECT_EQ(outcome.status, "2.6.0");
  EXPECT_EQ(outcome.diagnostic, "250 2.6.0 queued");
}

TEST(Outcome, A2yzWithoutAnEnhancedStatusCodeIsRelayedWith200) {
  const auto outcome =
      decide_outcome(answered(RecipientResult::Kind::accepted, smtp::make_reply(250, "ok")));
  EXPECT_EQ(outcome.kind, Kind::relayed);
  EXPECT_EQ(outcome.status, "2.0.0");
  RecipientResult bare;
  bare.kind = RecipientResult::Kind::accepted;
  EXPECT_EQ(decide_outcome(bare).kind, Kind::relayed);
  EXPECT_FALSE(decide_outcome(bare).diagnostic.empty());
}

TEST(Outcome, Every4yzIsDelayed) {
  for (std::uint16_t code = 400; code < 500; ++code) {
    const auto outcome = decide_outcome(refused(code));
    EXPECT_EQ(outcome.kind, Kind::delayed) << code;
    EXPECT_EQ(outcome.status, "4.0.0") << code;
  }
  const auto outcome = decide_outcome(refused(451, EnhancedStatus{4, 7, 1}));
  EXPECT_EQ(outcome.status, "4.7.1");
  EXPECT_EQ(outcome.diagnostic, "451 4.7.1 the words");
}

TEST(Outcome, Every5yzFailsButTheWishesForAuthentication) {
  for (std::uint16_t code = 500; code < 600; ++code) {
    // RFC 4954 §6, RFC 3207 §4: the upstream wants something of the relay, not of the mail's
    // author.
    const bool our_trouble = code == 530 || code == 534 || code == 535 || code == 538;
    EXPECT_EQ(decide_outcome(refused(code)).kind, our_trouble ? Kind::delayed : Kind::failed)
        << code;
  }
  const auto outcome = decide_outcome(refused(550, EnhancedStatus{5, 1, 1}));
  EXPECT_EQ(outcome.status, "5.1.1");
  EXPECT_EQ(outcome.diagnostic, "550 5.1.1 the words");
  EXPECT_EQ(decide_outcome(refused(550)).status, "5.0.0");
}

TEST(Outcome, AuthenticationTroubleIsDelayedUnderATemporaryStatus) {
  EXPECT_EQ(decide_outcome(refused(530)).status, "4.7.0");
  EXPECT_EQ(decide_outcome(refused(530, EnhancedStatus{5, 7, 57})).status, "4.7.57");
}

TEST(Outcome, ARcptRefusedFor552ComesAs452AndIsDelayed) {
  // RFC 5321 §4.5.3.1.10: the session writes it down as 452.
  const auto outcome = decide_outcome(refused(452, EnhancedStatus{4, 2, 2}));
  EXPECT_EQ(outcome.kind, Kind::delayed);
  EXPECT_EQ(outcome.status, "4.2.2");
}

TEST(Outcome, A552ToMailOrTheDotIsFinal) {
  const auto outcome = decide_outcome(refused(552, EnhancedStatus{5, 3, 4}));
  EXPECT_EQ(outcome.kind, Kind::failed);
  EXPECT_EQ(outcome.status, "5.3.4");
}

TEST(Outcome, ARefusalThatRefusesNothingIsNonsenseAndDelayed) {
  for (const auto code :
       std::to_array<std::uint16_t>({0, 200, 250, 299, 300, 354, 399, 600, 999})) {
    const auto outcome = decide_outcome(refused(code));
    EXPECT_EQ(outcome.kind, Kind::delayed) << code;
    EXPECT_EQ(outcome.status, "4.5.0") << code;
    EXPECT_NE(outcome.diagnostic.find("the words"), std::string::npos) << code;
  }
  RecipientResult silent;
  silent.kind = RecipientResult::Kind::refused;
  EXPECT_EQ(decide_outcome(silent).kind, Kind::delayed);
}

TEST(Outcome, TheStatusClassFollowsTheOutcome) {
  // RFC 3463 §3.1; ReplyParser drops such a pair, a reply made by hand may hold it.
  EXPECT_EQ(decide_outcome(refused(451, EnhancedStatus{5, 7, 1})).status, "4.7.1");
  EXPECT_EQ(decide_outcome(refused(550, EnhancedStatus{4, 7, 1})).status, "5.7.1");
}

TEST(Outcome, NoFinalReplyIsDelayedWithItsReason) {
  RecipientResult result;
  result.detail = "connection lost during DATA";
  EXPECT_EQ(decide_outcome(result).kind, Kind::delayed);
  EXPECT_EQ(decide_outcome(result).status, "4.4.2");
  EXPECT_EQ(decide_outcome(result).diagnostic, "connection lost during DATA");
  EXPECT_FALSE(decide_outcome(RecipientResult{}).diagnostic.empty());
}

TEST(Outcome, LostAfterTheFinalDotIsDelayedAndNeverFailed) {
  RecipientResult result;
  result.perhaps_delivered = true;
  EXPECT_EQ(decide_outcome(result).kind, Kind::delayed);
  EXPECT_EQ(decide_outcome(result).diagnostic, "connection lost after the final dot");
  // Not even a permanent reply that came before may fail it.
  result.reply = smtp::make_reply(550, EnhancedStatus{5, 0, 0}, "early");
  EXPECT_EQ(decide_outcome(result).kind, Kind::delayed);
  EXPECT_NE(decide_outcome(result).diagnostic.find("550 5.0.0 early"), std::string::npos);
}

TEST(Outcome, TroubleIsAlwaysDelayedUnderATemporaryStatus) {
  const auto outcome = delayed_by_trouble("4.4.1", "no route to host");
  EXPECT_EQ(outcome.kind, Kind::delayed);
  EXPECT_EQ(outcome.status, "4.4.1");
  EXPECT_EQ(outcome.diagnostic, "no route to host");
  EXPECT_EQ(delayed_by_trouble("5.7.8", "password refused").status, "4.7.8");
  EXPECT_EQ(delayed_by_trouble("2.0.0", "x").status, "4.0.0");
  EXPECT_EQ(delayed_by_trouble("", "x").status, "4.0.0");
  EXPECT_EQ(delayed_by_trouble("nonsense", "x").status, "4.0.0");
}

TEST(Outcome, ExpiredFailsWith447AndTheLastReason) {
  // RFC 3463 §3.5: delivery time expired.
  const auto outcome = expired({}, "451 4.7.1 later");
  EXPECT_EQ(outcome.kind, Kind::failed);
  EXPECT_EQ(outcome.status, "4.4.7");
  EXPECT_EQ(outcome.diagnostic,
            "not delivered within 5d, which is as long as the relay tries; last reason: 451 4.7.1 "
            "later");
  EXPECT_EQ(expired({}, "").diagnostic.find("last reason"), std::string::npos);
}

smtp::NotifyWishes wishes(bool success, bool failure, bool delay) {
  smtp::NotifyWishes notify;
  notify.given = true;
  notify.success = success;
  notify.failure = failure;
  notify.delay = delay;
  return notify;
}

const smtp::ReversePath sender{smtp::Mailbox{"scan", "office.example"}};

TEST(Reports, WithoutNotifyFailuresAndDelaysAreReported) {
  // RFC 3461 §4.1.
  EXPECT_TRUE(wants_failure_report(sender, {}));
  EXPECT_TRUE(wants_delay_report(sender, {}));
  EXPECT_FALSE(wants_success_report(sender, {}));
}

TEST(Reports, NotifySaysExactlyWhichAreWanted) {
  for (int bits = 0; bits < 8; ++bits) {
    const auto notify = wishes((bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0);
    EXPECT_EQ(wants_success_report(sender, notify), (bits & 1) != 0) << bits;
    EXPECT_EQ(wants_failure_report(sender, notify), (bits & 2) != 0) << bits;
    EXPECT_EQ(wants_delay_report(sender, notify), (bits & 4) != 0) << bits;
  }
}

TEST(Reports, NotifyNeverMeansNever) {
  smtp::NotifyWishes never = wishes(true, true, true);
  never.never = true;
  EXPECT_FALSE(wants_success_report(sender, never));
  EXPECT_FALSE(wants_failure_report(sender, never));
  EXPECT_FALSE(wants_delay_report(sender, never));
}

TEST(Reports, TheNullReversePathHearsNothing) {
  // RFC 5321 §4.5.5, RFC 3834 §2: a report about a report would never end.
  const smtp::ReversePath null;
  for (const auto& notify : {smtp::NotifyWishes{}, wishes(true, true, true)}) {
    EXPECT_FALSE(wants_success_report(null, notify));
    EXPECT_FALSE(wants_failure_report(null, notify));
    EXPECT_FALSE(wants_delay_report(null, notify));
  }
}

}  // namespace
}  // namespace postern::queue
