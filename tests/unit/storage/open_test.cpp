// Opening the queue: what is made, what is refused, and what is set.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

unsigned mode_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return status.st_mode & 07777;
}

TEST(OpenQueue, MakesEverythingPrivateToTheDaemon) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  EXPECT_EQ(mode_of(directory.path()), 0700U);
  EXPECT_EQ(mode_of(directory.spool()), 0700U);
  EXPECT_EQ(mode_of(directory.database()), 0600U);
  EXPECT_EQ(mode_of(directory.database() + "-wal"), 0600U);
  EXPECT_EQ(mode_of(directory.path() + "/lock"), 0600U);
}

TEST(OpenQueue, RefusesASecondDaemonAndLetsItInAfterTheFirstHasGone) {
  const StateDirectory directory;
  auto first = open_or_abort(directory);
  const auto second = QueueStore::open(directory.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::busy);
  EXPECT_NE(second.error().detail.find("another Postern daemon"), std::string::npos);
  first.reset();
  EXPECT_TRUE(QueueStore::open(directory.path()));
}

TEST(OpenQueue, RefusesADirectoryThatOthersCanEnter) {
  const StateDirectory directory;
  ASSERT_EQ(::mkdir(directory.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(directory.path().c_str(), 0750), 0);
  const auto store = QueueStore::open(directory.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::denied);
  EXPECT_NE(store.error().detail.find("chmod 700"), std::string::npos);
}

TEST(OpenQueue, RefusesADirectoryOfAnotherUser) {
  const StateDirectory directory;
  std::string path = directory.path();
  if (::geteuid() == 0) {
    ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
    ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
  } else {
    path = "/";  // always root's
  }
  const auto store = QueueStore::open(path);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::denied);
  EXPECT_NE(store.error().detail.find("belongs to user"), std::string::npos);
}

TEST(OpenQueue, RefusesAStateDirectoryThatIsAFileOrHasNoParent) {
  const StateDirectory directory;
  std::ofstream(directory.path()) << "mail";
  const auto file = QueueStore::open(directory.path());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::denied);
  const auto orphan = QueueStore::open(directory.path() + "-missing/state");
  ASSERT_FALSE(orphan);
  EXPECT_EQ(orphan.error().kind, ErrorKind::not_found);
}

TEST(OpenQueue, RefusesAFileThatIsNoDatabaseAndLeavesItAsItIs) {
  const StateDirectory directory;
  ASSERT_EQ(::mkdir(directory.path().c_str(), 0700), 0);
  const std::string text(10'000, 'x');
  std::ofstream(directory.database()) << text;
  const auto store = QueueStore::open(directory.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::corrupt);
  EXPECT_EQ(std::filesystem::file_size(directory.database()), text.size());
}

TEST(OpenQueue, RefusesTheDatabaseOfAnotherProgram) {
  const StateDirectory directory;
  ASSERT_EQ(::mkdir(directory.path().c_str(), 0700), 0);
  change_database(directory.database(), "CREATE TABLE photos (name TEXT)");
  const auto store = QueueStore::open(directory.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::corrupt);
  EXPECT_NE(store.error().detail.find("another program"), std::string::npos);
}

TEST(OpenQueue, RefusesASchemaOfANewerOrAnUnreadablyOldPostern) {
  const StateDirectory directory;
  open_or_abort(directory).reset();
  change_database(directory.database(), "PRAGMA user_version = 99; PRAGMA application_id = 99");
  const auto store = QueueStore::open(directory.path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::unsupported);
  EXPECT_NE(store.error().detail.find("schema 99"), std::string::npos);
  change_database(directory.database(), "PRAGMA user_version = 1");
  const auto older = QueueStore::open(directory.path());
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().kind, ErrorKind::unsupported);
  EXPECT_NE(older.error().detail.find("older Postern (schema 1, this one reads 3"),
            std::string::npos)
      << older.error().detail;
  change_database(directory.database(), "PRAGMA user_version = -1");
  EXPECT_FALSE(QueueStore::open(directory.path()));
}

// A flipped bit in a page's list of rows makes one of them vanish.
TEST(OpenQueue, AMessageThatLostItsRowIsThereAgainAndDoesNotOpen) {
  const StateDirectory directory;
  ASSERT_TRUE(commit_message(*open_or_abort(directory), make_message(1)));
  ASSERT_TRUE(commit_message(*open_or_abort(directory), make_message(2)));
  change_database(directory.database(), "DELETE FROM message WHERE id % 2 = 0");
  const auto store = open_or_abort(directory);
  EXPECT_EQ(store->open_report().lost, std::vector{QueueId{2}});
  EXPECT_EQ(store->figures()->messages, 2U);
  const auto found = store->load(QueueId{2});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->recipients.size(), 2U);
  EXPECT_EQ(found->summary.user_name, "(lost)");
}

TEST(OpenQueue, AMessageThatLostItsContentIsDamagedAndNotGone) {
  const StateDirectory directory;
  ASSERT_TRUE(commit_message(*open_or_abort(directory), make_message(1)));
  change_database(directory.database(), "DELETE FROM content");
  EXPECT_EQ(open_or_abort(directory)->load(QueueId{1}).error().kind, ErrorKind::corrupt);
}

// States differ in four bits; SQLite keeps 0 and 1 in a type code, so neither of them is one.
TEST(OpenQueue, AFlippedBitMakesNoStateOutOfAnother) {
  for (const auto state :
       {RecipientState::waiting, RecipientState::relayed, RecipientState::failed}) {
    for (int bit = 0; bit < 8; ++bit) {
      const int flipped = static_cast<int>(state) ^ (1 << bit);
      const StateDirectory directory;
      ASSERT_TRUE(commit_message(*open_or_abort(directory), make_message(1)));
      change_database(directory.database(),
                      fmt::format("PRAGMA ignore_check_constraints = ON; "
                                  "UPDATE recipient SET state = {} WHERE position = 0",
                                  flipped)
                          .c_str());
      const auto loaded = open_or_abort(directory)->load(QueueId{1});
      ASSERT_FALSE(loaded) << flipped;
      EXPECT_EQ(loaded.error().kind, ErrorKind::corrupt);
    }
  }
}

// What a failed update of the appliance leads back to: the version before, on a queue that the
// newer one migrated (relay/README.md "Durability").
TEST(OpenQueue, TakesANewerSchemaThatPermitsThisOneAndNoOther) {
  const StateDirectory directory;
  {
    auto store = open_or_abort(directory);
    ASSERT_TRUE(commit_message(*store, make_message(1)));
  }
  change_database(directory.database(),
                  "ALTER TABLE message ADD COLUMN later INTEGER NOT NULL DEFAULT 7;"
                  "CREATE TABLE extra (name TEXT) STRICT;"
                  "PRAGMA user_version = 4; PRAGMA application_id = 3");
  {
    const ConnectionCatcher catcher;
    auto store = open_or_abort(directory);
    EXPECT_TRUE(store->load(QueueId{1}));
    ASSERT_TRUE(commit_message(*store, make_message(2)));
    EXPECT_EQ(ConnectionCatcher::ask("PRAGMA user_version"), "4");
    EXPECT_EQ(ConnectionCatcher::ask("PRAGMA application_id"), "3");
    EXPECT_EQ(ConnectionCatcher::ask("SELECT sum(later) FROM message"), "14");
  }
  for (const char* oldest : {"4", "0", "-1"}) {
    change_database(directory.database(),
                    (std::string("PRAGMA application_id = ") + oldest).c_str());
    const auto store = QueueStore::open(directory.path());
    ASSERT_FALSE(store) << oldest;
    EXPECT_EQ(store.error().kind, ErrorKind::unsupported);
    EXPECT_NE(store.error().detail.find("newer Postern (schema 4, this one knows 3)"),
              std::string::npos);
  }
}

TEST(OpenQueue, TellsAnUnknownDiskLayerInsteadOfUsingTheUsualOne) {
  const StateDirectory directory;
  EXPECT_FALSE(QueueStore::open(directory.path(), "no-such-vfs"));
}

// ARCHITECTURE "Durability": each of these is what a promise rests on.
TEST(OpenQueue, SetsWhatDurabilityAndSafetyRestOn) {
  const ConnectionCatcher catcher;
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  const auto ask = ConnectionCatcher::ask;
  EXPECT_EQ(ask("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(ask("PRAGMA synchronous"), "2");
  EXPECT_EQ(ask("PRAGMA locking_mode"), "exclusive");
  EXPECT_EQ(ask("PRAGMA secure_delete"), "2");
  EXPECT_EQ(ask("PRAGMA foreign_keys"), "1");
  EXPECT_EQ(ask("PRAGMA trusted_schema"), "0");
  EXPECT_EQ(ask("PRAGMA cell_size_check"), "1");
  EXPECT_EQ(ask("PRAGMA mmap_size"), "0");
  EXPECT_EQ(ask("PRAGMA busy_timeout"), "0");
  EXPECT_EQ(ask("PRAGMA user_version"), "3");
  EXPECT_EQ(ask("PRAGMA application_id"), "3");
  EXPECT_EQ(ask("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND NOT strict AND "
                "name NOT LIKE 'sqlite_%'"),
            "0");
  int defensive = 0;
  sqlite3_db_config(ConnectionCatcher::connection(), SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
  EXPECT_EQ(defensive, 1);
}

TEST(OpenQueue, KeepsOtherProgramsOutOfTheDatabase) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  ASSERT_TRUE(commit_message(*store, make_message(1)));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(directory.database().c_str(), &other), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(other, "SELECT count(*) FROM message", nullptr, nullptr, nullptr),
            SQLITE_BUSY);
  sqlite3_close(other);
}

}  // namespace
}  // namespace postern::storage
