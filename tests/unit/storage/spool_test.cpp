// Bodies too large for a row: written in pieces, named when synced, swept and quarantined at the
// start.
#include <gtest/gtest.h>

#include <fstream>

#include "storage/spool.hpp"
#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

std::size_t files_in(const std::string& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

class SpoolTest : public testing::Test {
 protected:
  Result<> commit_spooled(std::uint64_t id, std::uint64_t token, const Bytes& octets) {
    const ByteView view(octets);
    for (std::size_t at = 0; at < view.size(); at += 100'000) {
      auto done = store->append_to_spool(
          token, view.subspan(at, std::min<std::size_t>(100'000, view.size() - at)));
      if (!done) return done;
    }
    return commit_message(*store, make_spooled_message(id, octets.size()), token);
  }
  Bytes read_all(std::uint64_t id) {
    Bytes whole;
    while (true) {
      const auto piece = store->read_body(QueueId{id}, whole.size(), 70'000);
      if (!piece || piece->empty()) return whole;
      append(whole, *piece);
    }
  }
  void reopen() {
    store.reset();
    store = open_or_abort(directory, nullptr, &files);
  }
  StateDirectory directory;
  FailingFiles files;
  std::unique_ptr<QueueStore> store = open_or_abort(directory, nullptr, &files);
  const Bytes body = [] {
    Bytes octets(1'500'000);
    for (std::size_t at = 0; at < octets.size(); ++at) {
      octets[at] = static_cast<std::byte>(at * 7 / 3);
    }
    return octets;
  }();
};

TEST_F(SpoolTest, KeepsALargeBodyInOneSyncedFile) {
  files.syncs = 0;  // the reserve's
  ASSERT_TRUE(commit_spooled(1, 40, body));
  EXPECT_EQ(files.syncs, 1);
  EXPECT_EQ(std::filesystem::file_size(directory.body(QueueId{1})), body.size());
  EXPECT_EQ(files_in(directory.spool()), 1U);
  reopen();
  EXPECT_EQ(store->open_report().swept_files, 0U);
  EXPECT_TRUE(store->open_report().quarantined.empty());
  EXPECT_TRUE(store->load(QueueId{1})->content.spooled);
  EXPECT_EQ(read_all(1), body);
}

TEST_F(SpoolTest, RemovesTheFileWithItsMessage) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  ASSERT_TRUE(commit_spooled(2, 41, body));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{1}));
  EXPECT_TRUE(std::filesystem::exists(directory.body(QueueId{1}))) << "before the commit";
  ASSERT_TRUE(store->record(make_record(2, RecipientState::relayed, RecipientState::failed)));
  ASSERT_TRUE(store->commit());
  EXPECT_EQ(files_in(directory.spool()), 0U);
}

TEST_F(SpoolTest, KeepsTheFileOfARemovalThatWasRolledBack) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{1}));
  store->roll_back();
  ASSERT_TRUE(commit_message(*store, make_message(2)));
  EXPECT_EQ(read_all(1), body);
}

TEST_F(SpoolTest, DropsTheFileOfAnInsertThatWasRolledBack) {
  ASSERT_TRUE(store->append_to_spool(40, body));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->insert(make_spooled_message(1, body.size()), 40));
  store->roll_back();
  EXPECT_EQ(files_in(directory.spool()), 0U);
}

TEST_F(SpoolTest, DiscardsAFileThatNobodyWants) {
  ASSERT_TRUE(store->append_to_spool(40, body));
  EXPECT_EQ(files_in(directory.spool()), 1U);
  store->discard_spool(40);
  store->discard_spool(40);
  EXPECT_EQ(files_in(directory.spool()), 0U);
  EXPECT_EQ(commit_message(*store, make_spooled_message(1, 9), 40).error().kind,
            ErrorKind::not_found);
  EXPECT_EQ(store->figures()->messages, 0U);
}

TEST_F(SpoolTest, NeverLetsASecondMessageOfTheSameIdTakeTheFileOfTheFirst) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  EXPECT_EQ(commit_spooled(1, 41, Bytes(300'000)).error().kind, ErrorKind::exists);
  EXPECT_EQ(read_all(1), body);
  EXPECT_EQ(files_in(directory.spool()), 1U);
}

TEST_F(SpoolTest, DoesNotReuseTheIdOfAMessageThatIsLeavingInTheSameTransaction) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  ASSERT_TRUE(store->append_to_spool(41, body));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->remove(QueueId{1}));
  EXPECT_EQ(store->insert(make_spooled_message(1, 9), 41).error().kind, ErrorKind::exists);
  store->roll_back();
  EXPECT_EQ(read_all(1), body);
}

TEST_F(SpoolTest, SweepsFilesWithoutARowAtTheStartAndLeavesStrangersAlone) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  ASSERT_TRUE(commit_message(*store, make_message(2)));
  store.reset();
  std::ofstream(directory.spool() + "/77.partial") << "half";
  std::ofstream(directory.body(QueueId{9})) << "no row";
  std::ofstream(directory.body(QueueId{2})) << "its body is in the row";
  std::ofstream(directory.spool() + "/not-an-id.body") << "no id";
  std::ofstream(directory.spool() + "/README") << "an operator's note";
  reopen();
  EXPECT_EQ(store->open_report().swept_files, 4U);
  EXPECT_EQ(files_in(directory.spool()), 2U);
  EXPECT_TRUE(std::filesystem::exists(directory.spool() + "/README"));
  EXPECT_EQ(read_all(1), body);
}

TEST_F(SpoolTest, QuarantinesAMessageWhoseFileIsGoneOrCutShortAndTellsItOnce) {
  ASSERT_TRUE(commit_spooled(1, 40, body));
  ASSERT_TRUE(commit_spooled(2, 41, body));
  ASSERT_TRUE(commit_spooled(3, 42, body));
  store.reset();
  std::filesystem::remove(directory.body(QueueId{1}));
  std::filesystem::resize_file(directory.body(QueueId{3}), 10);
  reopen();
  EXPECT_EQ(store->open_report().quarantined, (std::vector<QueueId>{QueueId{1}, QueueId{3}}));
  EXPECT_TRUE(store->load(QueueId{1})->summary.quarantined);
  EXPECT_FALSE(store->load(QueueId{1})->last_error.empty());
  EXPECT_FALSE(store->load(QueueId{2})->summary.quarantined);
  EXPECT_EQ(store->figures()->quarantined, 2U);
  EXPECT_EQ(store->read_body(QueueId{1}, 0, 10).error().kind, ErrorKind::corrupt);
  reopen();
  EXPECT_TRUE(store->open_report().quarantined.empty());
}

TEST_F(SpoolTest, NeverKeepsAFileOfWhichAWriteFailed) {
  ASSERT_TRUE(store->append_to_spool(40, body));
  files.write_is_full = true;
  EXPECT_EQ(store->append_to_spool(40, body).error().kind, ErrorKind::no_space);
  files.write_is_full = false;
  EXPECT_EQ(files_in(directory.spool()), 0U) << "its room is given back at once";
  EXPECT_EQ(store->append_to_spool(40, body).error().kind, ErrorKind::no_space);
  EXPECT_FALSE(commit_message(*store, make_spooled_message(1, 9), 40));
  EXPECT_EQ(store->death(), nullptr);
  EXPECT_TRUE(commit_spooled(1, 41, body));
}

TEST_F(SpoolTest, RefusesMoreFilesAtOnceThanItHasDescriptorsFor) {
  const Bytes octet(1);
  for (std::uint64_t token = 0; token < spool_files_open_max; ++token) {
    ASSERT_TRUE(store->append_to_spool(token, octet));
  }
  EXPECT_EQ(store->append_to_spool(spool_files_open_max, octet).error().kind, ErrorKind::busy);
  store->discard_spool(0);
  EXPECT_TRUE(store->append_to_spool(spool_files_open_max, octet));
}

}  // namespace
}  // namespace postern::storage
