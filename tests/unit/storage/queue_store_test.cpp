// The rows of the queue: inserted, read back, recorded, removed, counted; each also after a
// restart.
#include <gtest/gtest.h>

#include <limits>

#include "storage/queue_store_parts.hpp"
#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

class QueueStoreTest : public testing::Test {
 protected:
  void reopen() {
    store.reset();
    store = open_or_abort(directory);
  }
  Result<> commit_record(const AttemptRecord& record) {
    if (auto begun = store->begin(); !begun) return begun;
    const Result<> recorded = store->record(record);
    const Result<> committed = store->commit();
    return recorded ? committed : recorded;
  }
  StateDirectory directory;
  std::unique_ptr<QueueStore> store = open_or_abort(directory);
};

TEST_F(QueueStoreTest, GivesBackAMessageAsItWasAlsoAfterARestart) {
  NewMessage message = make_message(7);
  message.sender.reverse_path = "";  // "<>"
  message.recipients[1].address = std::string("a\0b\xff", 4);
  ASSERT_TRUE(commit_message(*store, message));
  reopen();
  const auto loaded = store->load(QueueId{7});
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->summary.id, QueueId{7});
  EXPECT_EQ(loaded->summary.received, message.received);
  EXPECT_EQ(loaded->summary.next_attempt, message.next_attempt);
  EXPECT_EQ(loaded->summary.attempts, 0U);
  EXPECT_FALSE(loaded->summary.held);
  EXPECT_FALSE(loaded->summary.quarantined);
  EXPECT_EQ(loaded->summary.bytes, 260U);
  EXPECT_EQ(loaded->summary.user_name, "scanner");
  EXPECT_EQ(loaded->sender.reverse_path, "");
  EXPECT_EQ(loaded->sender.parameters, "BODY=8BITMIME");
  ASSERT_EQ(loaded->recipients.size(), 2U);
  EXPECT_EQ(loaded->recipients[0].address, "anna@far.example");
  EXPECT_EQ(loaded->recipients[0].parameters, "NOTIFY=FAILURE");
  EXPECT_EQ(loaded->recipients[1].address, std::string("a\0b\xff", 4));
  EXPECT_EQ(loaded->recipients[1].state, RecipientState::waiting);
  EXPECT_EQ(loaded->content.wrapped_key, message.content.wrapped_key);
  EXPECT_EQ(loaded->content.sealed_header, message.content.sealed_header);
  EXPECT_TRUE(loaded->content.sealed_body.empty());
  EXPECT_FALSE(loaded->content.spooled);
  EXPECT_EQ(loaded->content.header_bytes, 160U);
  EXPECT_EQ(loaded->content.body_bytes, 100U);
}

TEST_F(QueueStoreTest, ReadsABodyInPieces) {
  NewMessage message = make_message(7, 1000);
  for (std::size_t at = 0; at < 1000; ++at) {
    message.content.sealed_body[at] = static_cast<std::byte>(at);
  }
  ASSERT_TRUE(commit_message(*store, message));
  Bytes whole;
  while (true) {
    const auto piece = store->read_body(QueueId{7}, whole.size(), 300);
    ASSERT_TRUE(piece) << piece.error().text();
    if (piece->empty()) break;
    EXPECT_LE(piece->size(), 300U);
    append(whole, *piece);
  }
  EXPECT_EQ(whole, message.content.sealed_body);
  const auto beyond = store->read_body(QueueId{7}, std::numeric_limits<std::uint64_t>::max(), 300);
  ASSERT_TRUE(beyond);
  EXPECT_TRUE(beyond->empty());
}

TEST_F(QueueStoreTest, TellsThatAMessageIsNotThere) {
  EXPECT_EQ(store->load(QueueId{5}).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store->read_body(QueueId{5}, 0, 10).error().kind, ErrorKind::not_found);
  ASSERT_TRUE(store->begin());
  EXPECT_EQ(store->remove(QueueId{5}).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store->set_held(QueueId{5}, true).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store->set_quarantined(QueueId{5}, "").error().kind, ErrorKind::not_found);
  const auto record = make_record(5, RecipientState::relayed, RecipientState::relayed);
  EXPECT_EQ(store->record(record).error().kind, ErrorKind::not_found);
  EXPECT_TRUE(store->commit());
}

TEST_F(QueueStoreTest, RefusesASecondMessageOfTheSameIdAndKeepsTheRestOfTheTransaction) {
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(1), std::nullopt));
  NewMessage twin = make_message(1);
  twin.user_name = "intruder";
  const auto refused = store->insert(twin, std::nullopt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::exists);
  ASSERT_TRUE(store->insert(make_message(2), std::nullopt));
  ASSERT_TRUE(store->commit());
  reopen();
  EXPECT_EQ(store->load(QueueId{1})->summary.user_name, "scanner");
  EXPECT_EQ(store->figures()->messages, 2U);
}

TEST_F(QueueStoreTest, RefusesWhatCouldNeverLeaveOrDoesNotBelongIntoARow) {
  NewMessage nobody = make_message(1);
  nobody.recipients.clear();
  EXPECT_EQ(commit_message(*store, nobody).error().kind, ErrorKind::invalid);
  const NewMessage large = make_message(2, body_in_row_bytes_max + 1);
  EXPECT_EQ(commit_message(*store, large).error().kind, ErrorKind::invalid);
  NewMessage twice = make_message(3);
  twice.recipients[1].index = 0;
  EXPECT_FALSE(commit_message(*store, twice));
  EXPECT_TRUE(commit_message(*store, make_message(4, body_in_row_bytes_max)));
  EXPECT_EQ(store->figures()->messages, 1U);
}

TEST_F(QueueStoreTest, RecordsAnAttemptThatLeftSomebodyWaiting) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  AttemptRecord record = make_record(1, RecipientState::relayed, RecipientState::waiting);
  record.recipients[1].delay_notified = true;
  ASSERT_TRUE(commit_record(record));
  reopen();
  const auto loaded = store->load(QueueId{1});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->summary.attempts, 1U);
  EXPECT_EQ(loaded->summary.next_attempt, record.next_attempt);
  EXPECT_EQ(loaded->last_error, record.last_error);
  EXPECT_EQ(loaded->recipients[0].state, RecipientState::relayed);
  EXPECT_EQ(loaded->recipients[0].last_reply, "250 2.1.5 taken");
  EXPECT_EQ(loaded->recipients[1].state, RecipientState::waiting);
  EXPECT_TRUE(loaded->recipients[1].delay_notified);

  record.counts_as_attempt = false;
  ASSERT_TRUE(commit_record(record));
  EXPECT_EQ(store->load(QueueId{1})->summary.attempts, 1U);
}

TEST_F(QueueStoreTest, RemovesAMessageWhenNobodyWaitsForItAnyMore) {
  const ConnectionCatcher catcher;
  reopen();
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(commit_record(make_record(1, RecipientState::relayed, RecipientState::failed)));
  EXPECT_EQ(store->load(QueueId{1}).error().kind, ErrorKind::not_found);
  EXPECT_EQ(ConnectionCatcher::ask("SELECT count(*) FROM recipient"), "0");
  EXPECT_EQ(ConnectionCatcher::ask("SELECT count(*) FROM content"), "0");
  EXPECT_EQ(store->figures()->bytes, 0U);
}

// RFC 5321 section 6.1: the report is safe before the message that it tells of is gone.
TEST_F(QueueStoreTest, StoresTheReportInTheSameCommitThatRemovesTheMessage) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  AttemptRecord record = make_record(1, RecipientState::failed, RecipientState::failed);
  record.reports = {make_message(2)};
  ASSERT_TRUE(commit_record(record));
  reopen();
  EXPECT_FALSE(store->load(QueueId{1}));
  EXPECT_TRUE(store->load(QueueId{2}));
}

TEST_F(QueueStoreTest, KeepsTheMessageAsItWasWhenItsReportCannotBeStored) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(commit_message(*store, make_message(2)));
  AttemptRecord record = make_record(1, RecipientState::failed, RecipientState::failed);
  record.reports = {make_message(2)};
  EXPECT_EQ(commit_record(record).error().kind, ErrorKind::exists);
  const auto loaded = store->load(QueueId{1});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->summary.attempts, 0U);
  EXPECT_EQ(loaded->recipients[0].state, RecipientState::waiting);
}

TEST_F(QueueStoreTest, RefusesAnOutcomeForARecipientThatTheMessageDoesNotHave) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  AttemptRecord record = make_record(1, RecipientState::relayed, RecipientState::relayed);
  record.recipients[1].index = 9;
  EXPECT_EQ(commit_record(record).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store->load(QueueId{1})->recipients[0].state, RecipientState::waiting);
}

TEST_F(QueueStoreTest, HoldsAndQuarantines) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->set_held(QueueId{1}, true));
  ASSERT_TRUE(store->set_quarantined(QueueId{1}, "a bit flipped"));
  ASSERT_TRUE(store->set_quarantined(QueueId{1}, "a bit flipped again"));
  ASSERT_TRUE(store->commit());
  EXPECT_EQ(store->figures()->quarantined, 1U);
  reopen();
  EXPECT_EQ(store->figures()->quarantined, 1U);
  const auto loaded = store->load(QueueId{1});
  EXPECT_TRUE(loaded->summary.held);
  EXPECT_TRUE(loaded->summary.quarantined);
  EXPECT_EQ(loaded->last_error, "a bit flipped again");
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{1}));
  ASSERT_TRUE(store->commit());
  EXPECT_EQ(store->figures()->quarantined, 0U);
}

TEST_F(QueueStoreTest, ListsTheQueueInPagesInTheOrderOfIdsUpToTheLargest) {
  constexpr std::uint64_t top_bit = std::uint64_t{1} << 63;
  for (const std::uint64_t id : {top_bit + 5, std::uint64_t{3}, ~std::uint64_t{0}, top_bit - 1}) {
    ASSERT_TRUE(commit_message(*store, make_message(id)));
  }
  const auto first = store->summaries(3, QueueId{0});
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 3U);
  EXPECT_EQ((*first)[0].id.value, 3U);
  EXPECT_EQ((*first)[1].id.value, top_bit - 1);
  EXPECT_EQ((*first)[2].id.value, top_bit + 5);
  const auto second = store->summaries(3, first->back().id);
  ASSERT_TRUE(second);
  ASSERT_EQ(second->size(), 1U);
  EXPECT_EQ(second->front().id.value, ~std::uint64_t{0});
  static_assert(queue_id(stored_id(QueueId{top_bit + 5})).value == top_bit + 5);
}

TEST_F(QueueStoreTest, CountsWhatIsQueuedWithEveryChangeAndAfterARestart) {
  ASSERT_TRUE(commit_message(*store, make_message(1, 100)));
  ASSERT_TRUE(commit_message(*store, make_message(2, 1000)));
  EXPECT_EQ(store->figures()->bytes, 100U + 1000U + 320U);
  EXPECT_EQ(store->figures()->commits, 2U);
  reopen();
  EXPECT_EQ(store->figures()->bytes, 1420U);
  EXPECT_EQ(store->figures()->commits, 0U);
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{2}));
  EXPECT_EQ(store->figures()->bytes, 260U);
  store->roll_back();
  EXPECT_EQ(store->figures()->bytes, 1420U);
  EXPECT_TRUE(store->load(QueueId{2}));
}

TEST_F(QueueStoreTest, KeepsCounters) {
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->save_counter("user.scanner.day", "12"));
  ASSERT_TRUE(store->save_counter("user.nas.day", "3"));
  ASSERT_TRUE(store->save_counter("user.scanner.day", "13"));
  ASSERT_TRUE(store->commit());
  reopen();
  const auto counters = store->counters();
  ASSERT_TRUE(counters);
  ASSERT_EQ(counters->size(), 2U);
  EXPECT_EQ((*counters)[0], std::pair(std::string("user.nas.day"), std::string("3")));
  EXPECT_EQ((*counters)[1], std::pair(std::string("user.scanner.day"), std::string("13")));
  // Those of a user who is gone.
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->save_counter("other", "1"));
  ASSERT_TRUE(store->keep_counters("user.", {"user.nas.day"}));
  ASSERT_TRUE(store->commit());
  const auto left = store->counters();
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 2U);
  EXPECT_EQ((*left)[0].first, "other");
  EXPECT_EQ((*left)[1].first, "user.nas.day");
}

TEST_F(QueueStoreTest, LosesWhatWasNotCommittedAndNothingElse) {
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(2), std::nullopt));
  reopen();
  EXPECT_TRUE(store->load(QueueId{1}));
  EXPECT_FALSE(store->load(QueueId{2}));
}

}  // namespace
}  // namespace postern::storage
