// Snapshots: what was acknowledged before is in them, whatever is committed meanwhile.
#include "storage/snapshot.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <thread>

#include "relay/base/file.hpp"
#include "storage/state_directory.hpp"
#include "storage/storage_thread.hpp"
#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

constexpr std::size_t large = body_in_row_bytes_max + 1;

std::string finish_snapshot(QueueStore& store) {
  while (true) {
    const auto folder = store.step_snapshot();
    if (!folder) {
      ADD_FAILURE() << folder.error().text();
      return {};
    }
    if (!folder->empty()) return *folder;
  }
}

Result<> commit_spooled(QueueStore& store, std::uint64_t id) {
  if (auto done = store.append_to_spool(id, Bytes(large, std::byte{7})); !done) return done;
  return commit_message(store, make_spooled_message(id, large), id);
}

// As a restore opens it; the ids found.
std::vector<std::uint64_t> ids_in(const std::string& folder) {
  std::vector<std::uint64_t> ids;
  const auto checked = check_database_file(folder + "/queue.db");
  EXPECT_TRUE(checked) << (checked ? "" : checked.error().text());
  auto store = QueueStore::open(folder);
  if (!store) {
    ADD_FAILURE() << store.error().text();
    return ids;
  }
  EXPECT_TRUE((*store)->open_report().quarantined.empty());
  const auto summaries = (*store)->summaries(100'000, QueueId{});
  for (const MessageSummary& summary : *summaries) ids.push_back(summary.id.value);
  return ids;
}

TEST(Snapshot, HoldsWhatIsCommittedUpToItsLastStep) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  for (std::uint64_t id = 1; id <= 40; ++id)
    ASSERT_TRUE(commit_message(*store, make_message(id, body_in_row_bytes_max)));
  ASSERT_TRUE(commit_spooled(*store, 41));
  ASSERT_TRUE(store->begin_snapshot());
  std::uint64_t id = 100;
  std::string folder;
  int steps = 0;
  while (folder.empty()) {  // 10 MiB: more steps than one
    ASSERT_TRUE(commit_message(*store, make_message(id++, 20'000)));
    store->maintain();
    auto step = store->step_snapshot();
    ASSERT_TRUE(step) << step.error().text();
    folder = *step;
    ++steps;
    // A reader that comes too early finds none.
    EXPECT_EQ(std::filesystem::exists(directory.path() + "/snapshot/queue.db"), !folder.empty());
  }
  EXPECT_GT(steps, 5);
  // Afterwards nothing changes in it: neither what comes, nor what goes with its body.
  ASSERT_TRUE(commit_message(*store, make_message(1000)));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{41}));
  ASSERT_TRUE(store->commit());
  EXPECT_FALSE(std::filesystem::exists(directory.body(QueueId{41})));
  const auto ids = ids_in(folder);
  EXPECT_EQ(ids.size(), 41 + (id - 100));
  EXPECT_NE(std::ranges::find(ids, 41), ids.end());
  EXPECT_EQ(std::filesystem::file_size(folder + "/spool/" + QueueId{41}.text() + ".body"), large);
}

TEST(Snapshot, ARolledBackTransactionMeanwhileIsNotInIt) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  for (std::uint64_t id = 1; id <= 10; ++id)
    ASSERT_TRUE(commit_message(*store, make_message(id, body_in_row_bytes_max)));
  ASSERT_TRUE(store->begin_snapshot());
  ASSERT_TRUE(store->step_snapshot());
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_message(77), std::nullopt));
  store->roll_back();
  const auto ids = ids_in(finish_snapshot(*store));
  EXPECT_EQ(ids.size(), 10);
}

TEST(Snapshot, IsGoneAtTheNextStartAndWithTheStore) {
  const StateDirectory directory;
  const std::string folder = directory.path() + "/snapshot";
  {
    const auto store = open_or_abort(directory);
    ASSERT_TRUE(commit_spooled(*store, 1));
    ASSERT_TRUE(store->begin_snapshot());
    finish_snapshot(*store);
    EXPECT_TRUE(std::filesystem::exists(folder + "/queue.db"));
    EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
  std::filesystem::create_directories(folder + "/spool");
  for (const char* name : {"/queue.db", "/queue.db-wal", "/lock", "/spool/x.body"})
    ASSERT_TRUE(write_file_atomically(folder + name, as_bytes("left"), 0600));
  const auto store = open_or_abort(directory);
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_TRUE(std::filesystem::exists(directory.body(QueueId{1})));
}

TEST(Snapshot, OneThatIsReadIsNotReplacedAndOneThatIsNotIs) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  ASSERT_TRUE(store->begin_snapshot());
  EXPECT_EQ(store->begin_snapshot().error().kind, ErrorKind::busy);
  const std::string folder = finish_snapshot(*store);
  {
    const FileDescriptor reader(::open((folder + "/queue.db").c_str(), O_RDONLY));
    ASSERT_EQ(::flock(reader.get(), LOCK_SH), 0);
    EXPECT_EQ(store->begin_snapshot().error().kind, ErrorKind::busy);
  }
  EXPECT_TRUE(store->begin_snapshot());
}

TEST(Snapshot, TakesNoRoomThatMailNeeds) {
  const StateDirectory directory;
  FailingFiles files;
  const auto store = open_or_abort(directory, nullptr, &files);
  files.free = free_bytes_min;
  EXPECT_EQ(store->begin_snapshot().error().kind, ErrorKind::no_space);
  // Nor the room for what comes while it is made and read.
  files.free = free_bytes_min + (std::uint64_t{48} << 20);
  EXPECT_EQ(store->begin_snapshot().error().kind, ErrorKind::no_space);
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/snapshot"));
  files.free = std::uint64_t{1} << 30;
  ASSERT_TRUE(store->begin_snapshot());
  files.free = free_bytes_min;
  EXPECT_EQ(store->step_snapshot().error().kind, ErrorKind::no_space);
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/snapshot"));
}

TEST(Snapshot, ManyCommitsGoOnWhileOneIsTaken) {
  const StateDirectory directory;
  Logger logger = Logger::to_standard_error(LogLevel::error);
  StorageThread thread(open_or_abort(directory), logger, {});
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    for (std::uint64_t id = 1; !stop; ++id) {
      std::promise<bool> done;
      if (!thread.post(
              InsertMessage{make_message(id, 50'000), std::nullopt,
                            [&done](Result<> stored) { done.set_value(stored.has_value()); }}))
        continue;
      if (done.get_future().get()) acknowledged = id;
    }
  });
  while (acknowledged < 60) std::this_thread::yield();
  const std::uint64_t before = acknowledged;
  std::promise<std::string> taken;
  ASSERT_TRUE(thread.post(TakeSnapshot{
      [&taken](Result<std::string> folder) { taken.set_value(folder ? *folder : ""); }}));
  const std::string folder = taken.get_future().get();
  const std::uint64_t after = acknowledged;
  while (acknowledged < after + 5) std::this_thread::yield();  // and on they go
  stop = true;
  sender.join();
  ASSERT_FALSE(folder.empty());
  const auto ids = ids_in(folder);
  ASSERT_GE(ids.size(), before);
  for (std::uint64_t id = 1; id <= before; ++id) EXPECT_EQ(ids[id - 1], id);
}

// --- Of a relay that does not run

TEST(StoppedSnapshot, TakesInTheLogThatAKillLeft) {
  const StateDirectory directory, copy;
  const auto store = open_or_abort(directory);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  ASSERT_TRUE(commit_spooled(*store, 2));
  // As after a kill: the log holds both, and nobody closed it.
  std::filesystem::copy(directory.path(), copy.path(), std::filesystem::copy_options::recursive);
  ASSERT_GT(std::filesystem::file_size(copy.database() + "-wal"), 0);
  const auto lock = lock_state_directory(copy.path());
  ASSERT_TRUE(lock);
  const auto snapshot = snapshot_stopped_queue(copy.path());
  ASSERT_TRUE(snapshot) << snapshot.error().text();
  EXPECT_EQ(snapshot->log_damage, "");
  EXPECT_FALSE(std::filesystem::exists(snapshot->folder + "/reserve"));
  EXPECT_FALSE(std::filesystem::exists(snapshot->folder + "/queue.db-wal"));
  EXPECT_EQ(ids_in(snapshot->folder), (std::vector<std::uint64_t>{1, 2}));
  // What it was made of stays as the kill left it.
  EXPECT_GT(std::filesystem::file_size(copy.database() + "-wal"), 0);
}

TEST(StoppedSnapshot, OfNoQueueIsNothing) {
  const StateDirectory directory;
  std::filesystem::create_directories(directory.path());
  const auto snapshot = snapshot_stopped_queue(directory.path());
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->folder, "");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(StoppedSnapshot, TheLockKeepsADaemonOut) {
  const StateDirectory directory;
  open_or_abort(directory).reset();
  const auto lock = lock_state_directory(directory.path());
  ASSERT_TRUE(lock);
  const auto store = QueueStore::open(directory.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::busy);
}

// Root would give the other file to the directory's owner.
TEST(StoppedSnapshot, ALockThatIsASecondNameOfAnotherFileIsRefusedToRoot) {
  const StateDirectory directory;
  std::filesystem::create_directories(directory.path());
  const std::string other = directory.path() + "/other";
  ASSERT_TRUE(write_file_atomically(other, as_bytes("root's"), 0600));
  std::filesystem::create_hard_link(other, directory.path() + "/lock");
  EXPECT_EQ(lock_state_directory(directory.path()).has_value(), ::geteuid() != 0);
}

// As a start does: what a newer Postern wrote, and permits to this one, can be backed up.
TEST(RestoredQueue, ANewerSchemaIsTakenWhereItPermitsThisOne) {
  const StateDirectory directory;
  open_or_abort(directory).reset();
  const FileDescriptor file(::open(directory.database().c_str(), O_RDWR));
  const auto write = [&](off_t at, char value) {  // the last octet of a number in SQLite's header
    return ::pwrite(file.get(), &value, 1, at + 3) == 1;
  };
  constexpr off_t user_version_at = 60, application_id_at = 68;
  ASSERT_TRUE(write(user_version_at, static_cast<char>(schema_version + 1)));
  EXPECT_TRUE(check_database_file(directory.database()));
  ASSERT_TRUE(write(application_id_at, static_cast<char>(schema_version + 1)));
  EXPECT_EQ(check_database_file(directory.database()).error().kind, ErrorKind::unsupported);
}

TEST(RestoredQueue, IsCheckedCountedAndHeld) {
  const StateDirectory directory;
  {
    const auto store = open_or_abort(directory);
    for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(commit_message(*store, make_message(id)));
  }
  std::filesystem::remove(directory.path() + "/lock");
  const auto prepared = prepare_restored_queue(directory.path(), true);
  ASSERT_TRUE(prepared) << prepared.error().text();
  EXPECT_EQ(prepared->messages, 3);
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/lock"));
  const auto store = open_or_abort(directory);
  const auto summaries = store->summaries(10, QueueId{});
  ASSERT_EQ(summaries->size(), 3);
  for (const MessageSummary& summary : *summaries) EXPECT_TRUE(summary.held);
}

TEST(RestoredQueue, ADamagedDatabaseIsRefused) {
  const StateDirectory directory;
  {
    const auto store = open_or_abort(directory);
    for (std::uint64_t id = 1; id <= 30; ++id)
      ASSERT_TRUE(commit_message(*store, make_message(id, 3'000)));
  }
  ASSERT_TRUE(check_database_file(directory.database()));
  const FileDescriptor file(::open(directory.database().c_str(), O_RDWR));
  const std::string garbage(4096, 'x');
  ASSERT_EQ(::pwrite(file.get(), garbage.data(), garbage.size(), 5 * 4096), 4096);
  EXPECT_FALSE(check_database_file(directory.database()));
  EXPECT_FALSE(prepare_restored_queue(directory.path(), false));
}

}  // namespace
}  // namespace postern::storage
