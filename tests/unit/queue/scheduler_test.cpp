// The scheduler: order, holding, late answers, clocks that jump, and agreement with a naive model.
#include "relay/queue/scheduler.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <map>
#include <random>

#ifdef POSTERN_SANITIZED
// The sanitizers' allocator knows what is allocated; GCC 12 ships no header that says so.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace postern::queue {
namespace {

using namespace std::chrono_literals;

constexpr WallTime noon = WallTime(Duration(1'795'000'000'000));

MonotonicTime at(Duration since_start) { return MonotonicTime(since_start); }

storage::MessageSummary summary(std::uint64_t id, WallTime next_attempt) {
  storage::MessageSummary made;
  made.id = QueueId{id};
  made.received = noon - 1h;
  made.next_attempt = next_attempt;
  return made;
}

// A message that was just accepted; enough slots that lanes and hops play no part.
void add_due(Scheduler& scheduler, std::uint64_t id, MonotonicTime now) {
  scheduler.set_slots("provider", 1'000);
  scheduler.add(summary(id, noon), "provider", {now, noon});
}

std::optional<std::uint64_t> next(Scheduler& scheduler, MonotonicTime now) {
  const auto id = scheduler.next_due(now);
  return id ? std::optional(id->value) : std::nullopt;
}

TEST(Scheduler, AnEmptyOneHasNothing) {
  Scheduler scheduler({});
  EXPECT_EQ(next(scheduler, MonotonicTime::max()), std::nullopt);
  EXPECT_EQ(scheduler.next_wake(), std::nullopt);
  EXPECT_EQ(scheduler.waiting(), 0U);
  EXPECT_FALSE(scheduler.knows(QueueId{1}));
  EXPECT_FALSE(scheduler.being_tried(QueueId{1}));
}

TEST(Scheduler, HandsAMessageOutOnceUntilItIsPutBack) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(0s));
  EXPECT_EQ(scheduler.waiting(), 1U);
  EXPECT_EQ(next(scheduler, at(0s)), 1U);
  EXPECT_TRUE(scheduler.being_tried(QueueId{1}));
  EXPECT_EQ(scheduler.waiting(), 0U);
  EXPECT_EQ(scheduler.next_wake(), std::nullopt);
  EXPECT_EQ(next(scheduler, at(1000h)), std::nullopt);
  scheduler.put_back(QueueId{1}, at(10s));
  EXPECT_FALSE(scheduler.being_tried(QueueId{1}));
  EXPECT_EQ(next(scheduler, at(10s)), 1U);
}

TEST(Scheduler, NotOneMillisecondBeforeItIsDue) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon + 10s), "provider", {at(5s), noon});
  EXPECT_EQ(scheduler.next_wake(), at(15s));
  EXPECT_EQ(next(scheduler, at(15s - 1ms)), std::nullopt);
  EXPECT_EQ(next(scheduler, at(15s)), 1U);
}

TEST(Scheduler, TheOrderIsDueTimeThenId) {
  Scheduler scheduler({});
  const Now now{at(0s), noon};
  scheduler.add(summary(9, noon + 1s), "provider", now);
  scheduler.add(summary(5, noon + 2s), "provider", now);
  scheduler.add(summary(3, noon + 2s), "provider", now);
  scheduler.add(summary(1, noon + 3s), "provider", now);
  std::vector<std::uint64_t> order;
  while (const auto id = next(scheduler, at(1h))) order.push_back(*id);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{9, 3, 5, 1}));
}

TEST(Scheduler, FinishedIsForgotten) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(0s));
  add_due(scheduler, 2, at(0s));
  EXPECT_EQ(next(scheduler, at(0s)), 1U);
  scheduler.finished(QueueId{1});
  EXPECT_FALSE(scheduler.knows(QueueId{1}));
  EXPECT_FALSE(scheduler.being_tried(QueueId{1}));
  // Also without having been tried: a person removed it.
  scheduler.finished(QueueId{2});
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
  EXPECT_EQ(scheduler.next_wake(), std::nullopt);
}

TEST(Scheduler, AnswersForAMessageThatIsGoneAreIgnored) {
  Scheduler scheduler({});
  scheduler.put_back(QueueId{7}, at(0s));
  scheduler.hold(QueueId{7});
  scheduler.release(QueueId{7}, at(0s));
  scheduler.retry_now(QueueId{7}, at(0s));
  scheduler.finished(QueueId{7});
  EXPECT_FALSE(scheduler.knows(QueueId{7}));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
}

TEST(Scheduler, HeldMessagesAreNotHandedOutUntilReleased) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(0s));
  scheduler.hold(QueueId{1});
  EXPECT_TRUE(scheduler.knows(QueueId{1}));
  EXPECT_EQ(scheduler.next_wake(), std::nullopt);
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
  scheduler.retry_now(QueueId{1}, at(1h));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
  scheduler.release(QueueId{1}, at(2h));
  EXPECT_EQ(next(scheduler, at(2h)), 1U);
}

TEST(Scheduler, AMessageHeldInTheStoreStaysHeldAfterARestart) {
  Scheduler scheduler({});
  auto held = summary(1, noon);
  held.held = true;
  scheduler.add(held, "provider", {at(0s), noon});
  EXPECT_TRUE(scheduler.knows(QueueId{1}));
  EXPECT_EQ(next(scheduler, at(1000h)), std::nullopt);
  scheduler.release(QueueId{1}, at(1s));
  EXPECT_EQ(next(scheduler, at(1s)), 1U);
}

TEST(Scheduler, HoldingWhileBeingTriedTakesEffectWhenPutBack) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(0s));
  EXPECT_EQ(next(scheduler, at(0s)), 1U);
  scheduler.hold(QueueId{1});
  EXPECT_TRUE(scheduler.being_tried(QueueId{1}));
  scheduler.put_back(QueueId{1}, at(1s));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
  scheduler.release(QueueId{1}, at(1h));
  EXPECT_EQ(next(scheduler, at(1h)), 1U);
}

TEST(Scheduler, ReleasingWhileBeingTriedDoesNotHandItOutTwice) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(0s));
  EXPECT_EQ(next(scheduler, at(0s)), 1U);
  scheduler.hold(QueueId{1});
  scheduler.release(QueueId{1}, at(0s));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
  scheduler.put_back(QueueId{1}, at(2h));
  EXPECT_EQ(next(scheduler, at(2h - 1ms)), std::nullopt);
  EXPECT_EQ(next(scheduler, at(2h)), 1U);
}

TEST(Scheduler, ReleasingWhatIsNotHeldChangesNothing) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon + 10s), "provider", {at(0s), noon});
  scheduler.release(QueueId{1}, at(0s));
  EXPECT_EQ(scheduler.next_wake(), at(10s));
}

TEST(Scheduler, QuarantinedMessagesAreNeverHandedOut) {
  Scheduler scheduler({});
  auto damaged = summary(1, noon);
  damaged.quarantined = true;
  scheduler.add(damaged, "provider", {at(0s), noon});
  scheduler.retry_now(QueueId{1}, at(0s));
  scheduler.release(QueueId{1}, at(0s));
  EXPECT_FALSE(scheduler.knows(QueueId{1}));
  EXPECT_EQ(next(scheduler, at(1000h)), std::nullopt);
}

TEST(Scheduler, RetryNowBringsAMessageForwardButNeverBack) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon + 1h), "provider", {at(0s), noon});
  scheduler.add(summary(2, noon + 1s), "provider", {at(0s), noon});
  scheduler.retry_now(QueueId{1}, at(10s));
  scheduler.retry_now(QueueId{2}, at(10s));
  EXPECT_EQ(scheduler.waiting(), 2U);
  EXPECT_EQ(next(scheduler, at(10s)), 2U);
  EXPECT_EQ(next(scheduler, at(10s)), 1U);
  // While it is being tried there is nothing to bring forward.
  scheduler.retry_now(QueueId{1}, at(11s));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
}

TEST(Scheduler, AddingAgainReplacesTheTimeAndNeverDoublesTheMessage) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon + 1h), "provider", {at(0s), noon});
  scheduler.add(summary(1, noon + 1s), "provider", {at(0s), noon});
  EXPECT_EQ(scheduler.waiting(), 1U);
  EXPECT_EQ(scheduler.next_wake(), at(1s));
  EXPECT_EQ(next(scheduler, at(1s)), 1U);
  scheduler.add(summary(1, noon), "provider", {at(1s), noon + 1s});
  EXPECT_TRUE(scheduler.being_tried(QueueId{1}));
  EXPECT_EQ(next(scheduler, at(1h)), std::nullopt);
}

TEST(Scheduler, AWallClockSetBackDelaysByTheRetryMaximumAtMost) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon + 5min), "provider", {at(0s), noon - 365 * 24h});
  EXPECT_EQ(scheduler.next_wake(), at(4h));
  scheduler.add(summary(2, WallTime::max()), "provider", {at(0s), WallTime::min()});
  EXPECT_EQ(next(scheduler, at(4h)), 1U);
  EXPECT_EQ(next(scheduler, at(4h)), 2U);
}

TEST(Scheduler, TheStoredDelayIsCutExactlyAtTheMaximum) {
  const RetrySettings settings{.retry_delay_max = 1h};
  for (const auto& [stored, expected] :
       {std::pair(1h - 1ms, 1h - 1ms), std::pair(1h + 0ms, 1h + 0ms),
        std::pair(1h + 1ms, 1h + 0ms)}) {
    Scheduler scheduler(settings);
    scheduler.add(summary(1, noon + stored), "provider", {at(7s), noon});
    EXPECT_EQ(scheduler.next_wake(), at(7s + expected));
  }
}

TEST(Scheduler, AWallClockSetForwardMakesWhatWaitsDueAndNothingEarlierThanNow) {
  Scheduler scheduler({});
  scheduler.add(summary(1, noon), "provider", {at(9s), noon + 365 * 24h});
  scheduler.add(summary(2, WallTime::min()), "provider", {at(9s), WallTime::max()});
  EXPECT_EQ(scheduler.next_wake(), at(9s));
  EXPECT_EQ(next(scheduler, at(9s - 1ms)), std::nullopt);
  EXPECT_EQ(next(scheduler, at(9s)), 1U);
}

TEST(Scheduler, AMonotonicTimeThatGoesBackHandsOutNothingEarly) {
  Scheduler scheduler({});
  add_due(scheduler, 1, at(1h));
  EXPECT_EQ(next(scheduler, at(1min)), std::nullopt);
  EXPECT_EQ(next(scheduler, at(1h)), 1U);
}

TEST(Scheduler, NewRetrySettingsApplyToWhatIsAddedLater) {
  Scheduler scheduler({});
  scheduler.set_retry({.retry_delay_max = 1min});
  scheduler.add(summary(1, noon + 1h), "provider", {at(0s), noon});
  EXPECT_EQ(scheduler.next_wake(), at(1min));
}

// --- Lanes and slots -----------------------------------------------------------------------------

storage::MessageSummary of_user(std::string user, std::uint64_t id) {
  auto made = summary(id, noon);
  made.user_name = std::move(user);
  return made;
}

TEST(SchedulerLanes, AUserWhoFloodsDelaysAnotherByOneMessage) {
  Scheduler scheduler({});
  scheduler.set_slots("provider", 1'000);
  for (std::uint64_t id = 1; id <= 500; ++id) {
    scheduler.add(of_user("camera", id), "provider", {at(0s), noon});
  }
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(next(scheduler, at(0s)));
  scheduler.add(of_user("alarm", 9'001), "provider", {at(1s), noon + 1s});
  scheduler.add(of_user("alarm", 9'002), "provider", {at(1s), noon + 1s});
  EXPECT_EQ(next(scheduler, at(1s)), 9'001U);
  EXPECT_EQ(next(scheduler, at(1s)), 101U);
  EXPECT_EQ(next(scheduler, at(1s)), 9'002U);
}

TEST(SchedulerLanes, ANextHopWithoutAFreeSlotHoldsUpOnlyItsOwnMail) {
  Scheduler scheduler({});
  scheduler.set_slots("stalled", 2);
  for (std::uint64_t id = 1; id <= 10; ++id) {
    scheduler.add(of_user("scanner", id), "stalled", {at(0s), noon});
  }
  scheduler.add(of_user("scanner", 50), "provider", {at(1s), noon + 1s});
  EXPECT_EQ(next(scheduler, at(1s)), 1U);
  EXPECT_EQ(next(scheduler, at(1s)), 50U);
  EXPECT_EQ(next(scheduler, at(1s)), 2U);
  EXPECT_EQ(next(scheduler, at(1s)), std::nullopt);
  EXPECT_EQ(scheduler.waiting(), 8U);
  EXPECT_EQ(scheduler.next_wake(), std::nullopt) << "time alone frees no slot";
  scheduler.give_slot_back(QueueId{2});
  scheduler.give_slot_back(QueueId{2});  // a second time frees nothing more
  EXPECT_TRUE(scheduler.being_tried(QueueId{2}));
  EXPECT_EQ(next(scheduler, at(1s)), 3U);
  EXPECT_EQ(next(scheduler, at(1s)), std::nullopt);
  scheduler.finished(QueueId{2});  // its slot went back before
  EXPECT_EQ(next(scheduler, at(1s)), std::nullopt);
  scheduler.put_back(QueueId{1}, at(1h));
  EXPECT_EQ(next(scheduler, at(1s)), 4U);
}

TEST(SchedulerLanes, MoreSlotsAfterAReloadAreUsedAtOnce) {
  Scheduler scheduler({});
  scheduler.set_slots("provider", 0);  // never none at all
  scheduler.add(summary(1, noon), "provider", {at(0s), noon});
  scheduler.add(summary(2, noon), "provider", {at(0s), noon});
  EXPECT_EQ(next(scheduler, at(0s)), 1U);
  EXPECT_EQ(next(scheduler, at(0s)), std::nullopt);
  scheduler.set_slots("provider", 2);
  EXPECT_EQ(next(scheduler, at(0s)), 2U);
}

TEST(SchedulerAge, CountsWhatWasWaitedBeforeARestartAndNoWallClock) {
  Scheduler scheduler({});
  auto old = summary(1, noon);
  old.waited = 30h;
  old.received = noon - 365 * 24h;
  scheduler.add(old, "provider", {at(10s), noon + 1000h});
  EXPECT_EQ(scheduler.waiting_since(QueueId{1}), at(10s - 30h));
  EXPECT_EQ(next(scheduler, at(10s)), 1U);
  scheduler.put_back(QueueId{1}, at(1h));
  EXPECT_EQ(scheduler.waiting_since(QueueId{1}), at(10s - 30h));
  EXPECT_EQ(scheduler.waiting_since(QueueId{2}), std::nullopt);
}

// --- Size ----------------------------------------------------------------------------------------

std::size_t heap_bytes() {
#ifdef POSTERN_SANITIZED
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks;
#endif
}

TEST(SchedulerSize, AWaitingMessageTakesLessThanTwoHundredOctets) {
  constexpr std::uint64_t messages = 1'000'000;
  constexpr std::size_t message_bytes_max = 200;
  const std::size_t before = heap_bytes();
  Scheduler scheduler({});
  for (std::uint64_t id = 1; id <= messages; ++id) {
    scheduler.add(of_user("scanner", id * 7'919), "provider", {at(0s), noon});
  }
  const std::size_t message_bytes = (heap_bytes() - before) / messages;
  RecordProperty("message_bytes", static_cast<int>(message_bytes));
  EXPECT_LT(message_bytes, message_bytes_max);
  EXPECT_GT(message_bytes, sizeof(std::uint64_t)) << "the measure does not see the index";
}

// The naive model: a table that is searched from end to end every time.
class Model {
 public:
  struct Row {
    MonotonicTime due;
    bool trying = false;
    bool held = false;
  };
  std::map<std::uint64_t, Row> rows;

  [[nodiscard]] std::map<std::uint64_t, Row>::iterator first_ready() {
    auto best = rows.end();
    for (auto row = rows.begin(); row != rows.end(); ++row) {
      if (row->second.trying || row->second.held) continue;
      if (best == rows.end() || row->second.due < best->second.due) best = row;
    }
    return best;
  }
  [[nodiscard]] std::size_t ready() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        rows, [](const auto& row) { return !row.second.trying && !row.second.held; }));
  }
};

class SchedulerAgainstModel : public testing::TestWithParam<unsigned> {
 protected:
  SchedulerAgainstModel() { scheduler_.set_slots("provider", 1'000); }

  void step() {
    const QueueId id{pick(30)};
    const auto row = model_.rows.find(id.value);
    const bool known = row != model_.rows.end();
    switch (pick(10)) {
      case 0:
        if (!known) add_due(scheduler_, id.value, now_);
        if (!known) model_.rows[id.value].due = now_;
        break;
      case 1:
        add(id.value);
        break;
      case 2:
      case 3:
      case 4:
        take();
        break;
      case 5: {
        const MonotonicTime due = now_ + Duration(pick(5'000));
        scheduler_.put_back(id, due);
        if (known) {
          row->second.trying = false;
          row->second.due = due;
        }
        break;
      }
      case 6:
        scheduler_.finished(id);
        model_.rows.erase(id.value);
        break;
      case 7:
        scheduler_.hold(id);
        if (known) row->second.held = true;
        break;
      case 8:
        scheduler_.release(id, now_);
        if (known && row->second.held) {
          row->second.held = false;
          if (!row->second.trying) row->second.due = std::min(row->second.due, now_);
        }
        break;
      default:
        scheduler_.retry_now(id, now_);
        if (known && !row->second.trying && !row->second.held) {
          row->second.due = std::min(row->second.due, now_);
        }
    }
  }

  void add(std::uint64_t id) {
    // The wall clock jumps about freely, to both sides.
    const WallTime wall = noon + Duration(pick(20'000)) - Duration(10'000);
    auto made = summary(id, noon + Duration(pick(20'000)) - Duration(10'000));
    made.held = pick(5) == 0;
    made.quarantined = pick(10) == 0;
    scheduler_.add(made, "provider", {now_, wall});
    if (made.quarantined) return;
    Model::Row& row = model_.rows[id];
    row.due = now_ + std::clamp(Duration(made.next_attempt - wall), Duration(0), delay_max);
    row.held = made.held;
  }

  void take() {
    const auto expected = model_.first_ready();
    const bool any = expected != model_.rows.end() && expected->second.due <= now_;
    const auto got = scheduler_.next_due(now_);
    ASSERT_EQ(got.has_value(), any);
    if (!any) return;
    ASSERT_EQ(got->value, expected->first);
    expected->second.trying = true;
  }

  void compare() {
    const auto first = model_.first_ready();
    const auto wake = scheduler_.next_wake();
    ASSERT_EQ(wake.has_value(), first != model_.rows.end());
    if (wake) {
      ASSERT_EQ(*wake, first->second.due);
    }
    ASSERT_EQ(scheduler_.waiting(), model_.ready());
    for (std::uint64_t id = 0; id < 30; ++id) {
      const auto row = model_.rows.find(id);
      const bool known = row != model_.rows.end();
      ASSERT_EQ(scheduler_.knows(QueueId{id}), known) << id;
      ASSERT_EQ(scheduler_.being_tried(QueueId{id}), known && row->second.trying) << id;
    }
  }

  std::uint64_t pick(std::uint64_t count) { return random_() % count; }

  static constexpr Duration delay_max = 8s;
  std::mt19937_64 random_{GetParam()};
  Scheduler scheduler_{RetrySettings{.retry_delay_max = delay_max}};
  Model model_;
  MonotonicTime now_ = at(1h);
};

TEST_P(SchedulerAgainstModel, AgreesAfterEveryStep) {
  for (int count = 0; count < 3'000; ++count) {
    // Mostly forward, now and then back: the scheduler holds no clock that could be confused.
    now_ += Duration(pick(300));
    if (pick(50) == 0) now_ -= Duration(pick(5'000));
    step();
    if (HasFatalFailure()) FAIL() << "step " << count;
    compare();
    if (HasFatalFailure()) FAIL() << "step " << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerAgainstModel, testing::Range(1U, 21U));

}  // namespace
}  // namespace postern::queue
