// A disk that is full or fails: what goes on, what stops for good, and what is there after the
// restart.
#include <gtest/gtest.h>

#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

TEST(FullDisk, RefusesNewMailBelowTheFloorAndStillRecordsOutcomes) {
  const StateDirectory directory;
  FailingFiles files;
  const auto store = open_or_abort(directory, nullptr, &files);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  files.free = free_bytes_min + 100;
  const Bytes octets(101);
  EXPECT_EQ(store->append_to_spool(1, octets).error().kind, ErrorKind::no_space);
  EXPECT_EQ(commit_message(*store, make_message(2)).error().kind, ErrorKind::no_space);
  ASSERT_TRUE(store->begin());
  AttemptRecord record = make_record(1, RecipientState::failed, RecipientState::failed);
  record.reports = {make_message(3)};
  EXPECT_TRUE(store->record(record));
  EXPECT_TRUE(store->commit());
  EXPECT_TRUE(store->load(QueueId{3}));
  EXPECT_EQ(store->figures()->free_bytes, free_bytes_min + 100);
  EXPECT_EQ(store->figures()->room_bytes, 100U);
}

TEST(FullDisk, FailsOnlyTheInsertThatFindsItFull) {
  const ConnectionCatcher catcher;
  const StateDirectory directory;
  auto store = open_or_abort(directory);
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(1), std::nullopt));
  // SQLite's own bound gives the same SQLITE_FULL in the middle of a statement as a full disk does.
  EXPECT_EQ(ConnectionCatcher::ask("PRAGMA max_page_count = 40"), "40");
  const auto refused = store->insert(make_message(2, 250'000), std::nullopt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::no_space);
  EXPECT_TRUE(store->insert(make_message(3), std::nullopt));
  ASSERT_TRUE(store->commit());
  EXPECT_EQ(store->death(), nullptr);
  EXPECT_EQ(store->figures()->messages, 2U);
  store.reset();
  store = open_or_abort(directory);
  EXPECT_TRUE(store->load(QueueId{1}));
  EXPECT_FALSE(store->load(QueueId{2}));
  EXPECT_TRUE(store->load(QueueId{3}));
}

// An UPDATE that finds the database full makes SQLite roll back the whole transaction.
TEST(FullDisk, LosesAtMostTheTransactionAndGoesOn) {
  const ConnectionCatcher catcher;
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(store->append_to_spool(5, Bytes(300'000)));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_spooled_message(2, 300'000), 5));
  EXPECT_EQ(ConnectionCatcher::ask("PRAGMA max_page_count = 40"), "40");
  AttemptRecord record = make_record(1, RecipientState::waiting, RecipientState::waiting);
  record.last_error = std::string(300'000, 'x');
  EXPECT_EQ(store->record(record).error().kind, ErrorKind::no_space);
  EXPECT_EQ(store->insert(make_message(3), std::nullopt).error().kind, ErrorKind::no_space);
  EXPECT_EQ(store->commit().error().kind, ErrorKind::no_space);
  EXPECT_EQ(store->death(), nullptr);
  EXPECT_FALSE(std::filesystem::exists(directory.body(QueueId{2})));
  EXPECT_EQ(store->figures()->messages, 1U);
  EXPECT_TRUE(commit_message(*store, make_message(4)));
  EXPECT_EQ(store->load(QueueId{1})->summary.attempts, 0U);
}

// Another program took the last octet. What was kept for it serves the outcomes of deliveries.
TEST(FullDisk, UndoesTheCommitThatFindsItFullAndRecordsOutcomesInTheReserve) {
  const FailingVfs vfs;
  const StateDirectory directory;
  FailingFiles files;
  auto store = open_or_abort(directory, vfs.name(), &files);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(store->append_to_spool(5, Bytes(300'000)));
  ASSERT_TRUE(store->reserve_held());
  FailingVfs::full() = true;
  files.when_unlinked = [&] {
    FailingVfs::full() = std::filesystem::exists(directory.reserve());
    files.free = std::uint64_t{1} << 20;
  };
  EXPECT_EQ(commit_message(*store, make_spooled_message(2, 300'000), 5).error().kind,
            ErrorKind::no_space);
  EXPECT_EQ(store->death(), nullptr);
  EXPECT_FALSE(store->reserve_held());
  EXPECT_FALSE(std::filesystem::exists(directory.body(QueueId{2})));
  EXPECT_EQ(commit_message(*store, make_message(3)).error().kind, ErrorKind::no_space);
  ASSERT_TRUE(store->begin());
  EXPECT_TRUE(store->record(make_record(1, RecipientState::relayed, RecipientState::failed)));
  EXPECT_TRUE(store->commit());
  EXPECT_EQ(store->figures()->messages, 0U);
  store->maintain();
  EXPECT_FALSE(store->reserve_held()) << "not while there is no room";
  files.free = reserve_bytes + free_bytes_min;
  store->maintain();
  EXPECT_TRUE(store->reserve_held());
  store.reset();
  EXPECT_EQ(open_or_abort(directory)->figures()->messages, 0U);
}

TEST(FullDisk, GoesOnWhenTheReserveIsNotEnoughEither) {
  const FailingVfs vfs;
  const StateDirectory directory;
  auto store = open_or_abort(directory, vfs.name());
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  FailingVfs::full() = true;
  for (int time = 0; time < 3; ++time) {
    ASSERT_TRUE(store->begin());
    EXPECT_TRUE(store->record(make_record(1, RecipientState::relayed, RecipientState::waiting)));
    EXPECT_EQ(store->commit().error().kind, ErrorKind::no_space);
    EXPECT_EQ(store->death(), nullptr);
  }
  FailingVfs::full() = false;
  EXPECT_EQ(store->load(QueueId{1})->summary.attempts, 0U);
  EXPECT_TRUE(commit_message(*store, make_message(2)));
  store.reset();
  store = open_or_abort(directory);
  EXPECT_EQ(store->figures()->messages, 2U);
  EXPECT_EQ(store->open_report().log_damage, std::nullopt);
}

std::uint64_t taken_bytes(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

TEST(Reserve, TakesItsRoomReallyAlsoWhereACopyOfItWasSparse) {
  const StateDirectory directory;
  EXPECT_TRUE(open_or_abort(directory)->reserve_held());
  EXPECT_GE(taken_bytes(directory.reserve()), reserve_bytes);
  std::filesystem::resize_file(directory.reserve(), 0);
  std::filesystem::resize_file(directory.reserve(), reserve_bytes);
  ASSERT_EQ(taken_bytes(directory.reserve()), 0U);
  EXPECT_TRUE(open_or_abort(directory)->reserve_held());
  EXPECT_GE(taken_bytes(directory.reserve()), reserve_bytes);
}

TEST(Reserve, IsWrittenOnceWhereTheFileSystemCannotAllocate) {
  const StateDirectory directory;
  FailingFiles files;
  files.cannot_allocate = true;
  EXPECT_TRUE(open_or_abort(directory, nullptr, &files)->reserve_held());
  EXPECT_GE(taken_bytes(directory.reserve()), reserve_bytes);
  EXPECT_EQ(files.rewritten_bytes, reserve_bytes);
  EXPECT_TRUE(open_or_abort(directory, nullptr, &files)->reserve_held());
  EXPECT_EQ(files.rewritten_bytes, reserve_bytes);
}

TEST(Reserve, IsLeftOutWhereThereIsNoRoomAndThenNoMailIsTaken) {
  const StateDirectory directory;
  FailingFiles files;
  files.free = reserve_bytes + free_bytes_min - 1;
  const auto store = open_or_abort(directory, nullptr, &files);
  EXPECT_FALSE(store->reserve_held());
  EXPECT_FALSE(std::filesystem::exists(directory.reserve()));
  EXPECT_EQ(store->figures()->room_bytes, 0U);
  EXPECT_EQ(commit_message(*store, make_message(1)).error().kind, ErrorKind::no_space);
}

// After a failed sync nobody knows what the medium holds, whatever the reason was.
TEST(FailingDisk, StopsForGoodAlsoWhenASyncFailsForWantOfRoom) {
  const FailingVfs vfs;
  const StateDirectory directory;
  const auto store = open_or_abort(directory, vfs.name());
  FailingVfs::failing() = true;
  EXPECT_EQ(commit_message(*store, make_message(1)).error().kind, ErrorKind::io);
  EXPECT_NE(store->death(), nullptr);
  EXPECT_TRUE(store->reserve_held());
}

TEST(FailingDisk, StopsForGoodAfterAFailedCommitAndKeepsWhatWasCommitted) {
  const FailingVfs vfs;
  const StateDirectory directory;
  auto store = open_or_abort(directory, vfs.name());
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  FailingVfs::failing() = true;
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(2), std::nullopt));
  const auto committed = store->commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().kind, ErrorKind::io);
  ASSERT_NE(store->death(), nullptr);

  // The disk seems well again; a sync is not retried all the same.
  FailingVfs::failing() = false;
  const int syncs = FailingVfs::syncs();
  EXPECT_EQ(store->begin().error().kind, ErrorKind::io);
  EXPECT_EQ(store->load(QueueId{1}).error().kind, ErrorKind::io);
  EXPECT_EQ(store->summaries(10, {}).error().kind, ErrorKind::io);
  EXPECT_EQ(store->read_body(QueueId{1}, 0, 10).error().kind, ErrorKind::io);
  EXPECT_EQ(store->append_to_spool(1, Bytes(10)).error().kind, ErrorKind::io);
  EXPECT_EQ(store->counters().error().kind, ErrorKind::io);
  EXPECT_EQ(store->figures().error().kind, ErrorKind::io);
  store->maintain();
  store.reset();
  EXPECT_EQ(FailingVfs::syncs(), syncs) << "closing must not copy the log either";

  store = open_or_abort(directory);
  EXPECT_TRUE(store->load(QueueId{1}));
}

TEST(FailingDisk, StopsForGoodAfterAFailedSyncOfASpoolFile) {
  const StateDirectory directory;
  FailingFiles files;
  auto store = open_or_abort(directory, nullptr, &files);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(store->append_to_spool(1, Bytes(300'000)));
  files.sync_fails = true;
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(2), std::nullopt));
  EXPECT_EQ(store->insert(make_spooled_message(3, 300'000), 1).error().kind, ErrorKind::io);
  EXPECT_EQ(store->insert(make_message(4), std::nullopt).error().kind, ErrorKind::io);
  EXPECT_EQ(store->commit().error().kind, ErrorKind::io);
  ASSERT_NE(store->death(), nullptr);
  store.reset();
  files.sync_fails = false;
  store = open_or_abort(directory, nullptr, &files);
  EXPECT_TRUE(store->load(QueueId{1}));
  EXPECT_EQ(store->figures()->messages, 1U);
}

TEST(FailingDisk, CommitsNoRowWhoseSpoolFolderCouldNotBeSynced) {
  const StateDirectory directory;
  FailingFiles files;
  auto store = open_or_abort(directory, nullptr, &files);
  ASSERT_TRUE(store->append_to_spool(1, Bytes(300'000)));
  files.sync_folder_fails = true;
  EXPECT_EQ(commit_message(*store, make_spooled_message(1, 300'000), 1).error().kind,
            ErrorKind::io);
  ASSERT_NE(store->death(), nullptr);
  store.reset();
  store = open_or_abort(directory);
  EXPECT_EQ(store->figures()->messages, 0U);
  EXPECT_EQ(store->open_report().swept_files, 1U);
}

// Of 200 KB each: the log is copied back at 8 MiB.
constexpr std::uint64_t messages_to_fill_the_log = 50;

TEST(FailingDisk, StopsAfterAFailedCheckpointWithNothingLost) {
  const FailingVfs vfs;
  const StateDirectory directory;
  auto store = open_or_abort(directory, vfs.name());
  for (std::uint64_t id = 1; id <= messages_to_fill_the_log; ++id) {
    ASSERT_TRUE(commit_message(*store, make_message(id, 200'000)));
  }
  FailingVfs::failing() = true;
  store->maintain();
  ASSERT_NE(store->death(), nullptr);
  store.reset();
  FailingVfs::failing() = false;
  store = open_or_abort(directory);
  EXPECT_EQ(store->figures()->messages, messages_to_fill_the_log);
}

TEST(Maintenance, CopiesTheLogBackWhenItHasGrown) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  const auto database_size = [&] { return std::filesystem::file_size(directory.database()); };
  const auto before = database_size();
  for (std::uint64_t id = 1; id <= messages_to_fill_the_log; ++id) {
    ASSERT_TRUE(commit_message(*store, make_message(id, 200'000)));
  }
  EXPECT_EQ(database_size(), before);
  store->maintain();
  EXPECT_EQ(store->death(), nullptr);
  EXPECT_GT(database_size(), messages_to_fill_the_log * 200'000U);
}

}  // namespace
}  // namespace postern::storage
