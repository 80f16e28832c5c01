// Restoring: all or nothing, the old kept, and a queue that opens.
#include "relay/backup/restoration.hpp"

#include <unistd.h>

#include "backup_support.hpp"
#include "crypto/random.hpp"
#include "relay/backup/backup_file.hpp"
#include "relay/backup/queue.hpp"
#include "relay/backup/sources.hpp"
#include "storage/queue_store.hpp"

namespace postern::backup {
namespace {

class Restoring : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }

  void SetUp() override {
    scratch.write("old/postern.toml", "[server]\nstate_directory = \"state\"\n");
    scratch.write("old/users.d/a.toml", "user");
    scratch.write("old/tls/own.key", "key");
    scratch.write("old/box/authority.key", "authority");
    scratch.write("old/box/identity", "0123456789abcdef");
    make_queue(scratch.path("old/state"), 3);
    scratch.write("old/state/queue.key", std::string(32, 'q'));
    for (const char* directory : {"new", "new/state", "new/box"})
      std::filesystem::create_directories(scratch.path(directory));
    std::filesystem::permissions(scratch.path("new/state"), std::filesystem::perms::owner_all);
  }
  static void make_queue(const std::string& path, std::uint64_t messages) {
    auto store = storage::QueueStore::open(path);
    ASSERT_TRUE(store);
    for (std::uint64_t id = 1; id <= messages; ++id) {
      storage::NewMessage message;
      message.id = QueueId{id};
      message.sender.reverse_path = "scan@office.example";
      message.recipients = {
          {0, "anna@far.example", "", storage::RecipientState::waiting, "", false}};
      message.content.wrapped_key = Bytes(72);
      message.content.sealed_header = Bytes(100);
      message.content.spooled = true;
      message.content.body_bytes = 5;
      ASSERT_TRUE((*store)->append_to_spool(id, as_bytes("sealed body")));
      ASSERT_TRUE((*store)->begin());
      ASSERT_TRUE((*store)->insert(message, id));
      ASSERT_TRUE((*store)->commit());
    }
  }
  void back_up() {
    auto queue = QueueSnapshot::of_stopped(scratch.path("old/state"));
    ASSERT_TRUE(queue) << queue.error().text();
    EXPECT_EQ((*queue)->messages(), 3);
    const Tree configuration = scratch.tree("old"), state = scratch.tree("old/state"),
               box = scratch.tree("old/box");
    Sources sources(std::nullopt);
    sources.add_about("test");
    ASSERT_TRUE(sources.add_configuration(configuration, scratch.path("old"), "postern.toml", {}));
    ASSERT_TRUE(sources.add_authority(box));
    ASSERT_TRUE(sources.add_queue_key(state));
    ASSERT_TRUE(sources.add_queue(*(*queue)->tree()));
    const auto written =
        write_backup(scratch.path("b"), sources.take(), passphrase, [] { return false; });
    ASSERT_TRUE(written) << written.error().text();
    queue->reset();
    EXPECT_FALSE(scratch.has("old/state/snapshot"));
  }
  Destination destination() const {
    return {
        scratch.path("new"), "relay.toml", scratch.path("new/state"), scratch.path("new/box"), {}};
  }
  std::unique_ptr<Restoration> unpack() {
    auto restoration = Restoration::begin(destination());
    EXPECT_TRUE(restoration);
    const auto read = read_backup(scratch.path("b"), passphrase, **restoration);
    EXPECT_TRUE(read) << read.error().text();
    return std::move(*restoration);
  }

  const Scratch scratch;
  const Secret passphrase{std::string_view("correct horse battery")};
};

TEST_F(Restoring, ANewMachineGetsEverything) {
  back_up();
  Survey survey;
  ASSERT_TRUE(read_backup(scratch.path("b"), passphrase, survey));
  ASSERT_TRUE(survey.check());
  EXPECT_TRUE(survey.has_authority());
  EXPECT_NE(survey.main_text()->find("state_directory"), std::string::npos);
  // What was made by hand before, and is empty, is no hindrance.
  std::filesystem::create_directories(scratch.path("new/tls"));
  scratch.write("new/state/lock", "");
  const auto restoration = unpack();
  EXPECT_TRUE(restoration->in_the_way()->empty());
  const auto queue = restoration->complete(false);
  ASSERT_TRUE(queue) << queue.error().text();
  EXPECT_EQ(queue->messages, 3);
  EXPECT_EQ(queue->damaged, 0);
  EXPECT_FALSE(scratch.has("new/relay.toml"));
  const auto placed = restoration->put_in_place("20261128T024600");
  ASSERT_TRUE(placed) << placed.error().text();
  EXPECT_EQ(scratch.read("new/relay.toml"), scratch.read("old/postern.toml"));
  EXPECT_EQ(scratch.read("new/users.d/a.toml"), "user");
  EXPECT_EQ(scratch.read("new/box/authority.key"), "authority");
  EXPECT_EQ(scratch.read("new/state/queue.key"), std::string(32, 'q'));
  std::filesystem::permissions(scratch.path("new/state/lock"), std::filesystem::perms(0600));
  auto store = storage::QueueStore::open(scratch.path("new/state"));
  ASSERT_TRUE(store) << store.error().text();
  EXPECT_TRUE((*store)->open_report().quarantined.empty());
  EXPECT_EQ((*store)->read_body(QueueId{2}, 0, 100)->size(), 11);
}

TEST_F(Restoring, WhatIsThereIsNamedAndMovedAwayWhole) {
  back_up();
  scratch.write("new/relay.toml", "old");
  scratch.write("new/users.d/b.toml", "old user");
  scratch.write("new/stranger", "stays");
  scratch.write("new/state/stranger", "stays");
  make_queue(scratch.path("new/state"), 1);
  {
    const auto restoration = unpack();
    const auto old = restoration->in_the_way();
    ASSERT_TRUE(old);
    EXPECT_EQ(old->size(), 4);  // relay.toml, users.d, queue.db, spool
    EXPECT_EQ(scratch.read("new/relay.toml"), "old");
  }
  EXPECT_FALSE(scratch.has("new/.restore"));
  EXPECT_FALSE(scratch.has("new/state/.restore"));
  const auto restoration = unpack();
  ASSERT_TRUE(restoration->complete(false));
  std::filesystem::create_directories(scratch.path("new/replaced-U"));
  EXPECT_EQ(restoration->unused_time("U"), "U-2");
  EXPECT_EQ(restoration->unused_time("T"), "T");
  EXPECT_EQ(*count_messages(scratch.path("new/state")), 1);
  ASSERT_TRUE(restoration->put_in_place("T"));
  EXPECT_EQ(scratch.read("new/replaced-T/relay.toml"), "old");
  EXPECT_EQ(scratch.read("new/replaced-T/users.d/b.toml"), "old user");
  EXPECT_FALSE(scratch.has("new/users.d/b.toml"));
  EXPECT_EQ(scratch.read("new/stranger"), "stays");
  EXPECT_EQ(scratch.read("new/state/stranger"), "stays");
  EXPECT_TRUE(scratch.has("new/state/replaced-T/queue.db"));
  EXPECT_TRUE(scratch.has("new/state/reserve"));
}

TEST_F(Restoring, AQueueThatDoesNotOpenIsRefusedBeforeAnythingMoves) {
  back_up();
  scratch.write("new/relay.toml", "old");
  const auto restoration = unpack();
  std::filesystem::resize_file(scratch.path("new/state/.restore/queue.db"), 8192);
  EXPECT_FALSE(restoration->complete(false));
  EXPECT_EQ(scratch.read("new/relay.toml"), "old");
}

TEST_F(Restoring, AQueueWithoutItsKeyIsRefused) {
  Survey survey;
  ASSERT_TRUE(survey.begin({.place = Place::configuration, .path = "postern.toml"}));
  ASSERT_TRUE(survey.begin({.place = Place::state, .path = "queue.db"}));
  EXPECT_FALSE(survey.check());
  EXPECT_FALSE(survey.begin({.place = Place::state, .path = "queue.key", .size = 31}));
  ASSERT_TRUE(survey.begin({.place = Place::state, .path = "queue.key", .size = 32}));
  EXPECT_TRUE(survey.check());
}

// A link in the place of the staging folder of a directory that is the relay's.
TEST_F(Restoring, ALinkDoesNotLeadTheUnpackingElsewhere) {
  back_up();
  std::filesystem::create_directories(scratch.path("elsewhere"));
  std::filesystem::create_symlink(scratch.path("elsewhere"), scratch.path("new/state/.restore"));
  const auto restoration = unpack();
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path("elsewhere")));
}

// The state directory is the relay's, who may put links there; as another user those would lead us
// into what is read-only there, as root into everything.
TEST_F(Restoring, InADirectoryOfAnotherRootDoesWhatItsOwnerMay) {
  std::filesystem::permissions(scratch.path(), std::filesystem::perms(0755));
  scratch.write("outside/kept.body", "root's");
  std::filesystem::permissions(scratch.path("outside"), std::filesystem::perms(0555));
  constexpr unsigned other = 65534;
  if (::geteuid() == 0) {
    for (const char* directory : {"old/state", "new/state"}) {
      ASSERT_EQ(::lchown(scratch.path(directory).c_str(), other, other), 0);
      for (const auto& each :
           std::filesystem::recursive_directory_iterator(scratch.path(directory)))
        ASSERT_EQ(::lchown(each.path().c_str(), other, other), 0);
    }
    for (const char* directory : {"old", "new"})
      std::filesystem::permissions(scratch.path(directory), std::filesystem::perms(0755));
  }
  back_up();
  auto to = destination();
  if (::geteuid() == 0) to.relay = FileOwner{other, other};
  auto restoration = Restoration::begin(to);
  ASSERT_TRUE(restoration);
  ASSERT_TRUE(read_backup(scratch.path("b"), passphrase, **restoration));
  const auto queue = (*restoration)->complete(true);
  ASSERT_TRUE(queue) << queue.error().text();
  EXPECT_EQ(queue->messages, 3);
  {
    auto snapshot = QueueSnapshot::of_stopped(scratch.path("old/state"));
    ASSERT_TRUE(snapshot) << snapshot.error().text();
    std::filesystem::rename(scratch.path("old/state/snapshot/spool"), scratch.path("away"));
    std::filesystem::create_symlink(scratch.path("outside"),
                                    scratch.path("old/state/snapshot/spool"));
  }
  EXPECT_EQ(scratch.read("outside/kept.body"), "root's");
  std::filesystem::permissions(scratch.path("outside"), std::filesystem::perms(0755));
}

}  // namespace
}  // namespace postern::backup
