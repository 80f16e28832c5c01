// The storage thread: group commit, order, one failure alone, and what happens when the disk fails.
#include "storage/storage_thread.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

class StorageThreadTest : public testing::Test {
 protected:
  void start(const char* vfs = nullptr, SpoolFiles* files = nullptr) {
    thread.emplace(open_or_abort(directory, vfs, files), logger, [this](Error) { ++deaths; });
  }
  // Posts a request that is made of its callback and waits for the answer.
  template <class Value, class Make>
  Result<Value> ask(Make make) {
    auto promise = std::make_unique<std::promise<Result<Value>>>();
    auto future = promise->get_future();
    const bool posted = thread->post(make([promise = std::move(promise)](Result<Value> result) {
      promise->set_value(std::move(result));
    }));
    if (!posted) return fail(ErrorKind::busy, "post", "refused");
    return future.get();
  }
  Result<> insert(NewMessage message, std::optional<std::uint64_t> token = std::nullopt) {
    return ask<void>(
        [&](Done done) { return InsertMessage{std::move(message), token, std::move(done)}; });
  }
  Result<QueueFigures> figures() {
    return ask<QueueFigures>([](auto done) { return LoadFigures{std::move(done)}; });
  }
  // Keeps the storage thread busy in an answer until release(), so that what is posted meanwhile
  // becomes one batch.
  void block() {
    auto blocked = std::make_unique<std::promise<void>>();
    auto reached = blocked->get_future();
    ASSERT_TRUE(thread->post(
        LoadFigures{[blocked = std::move(blocked), wait = gate.get_future()](Result<QueueFigures>) {
          blocked->set_value();
          wait.wait();
        }}));
    reached.wait();
  }
  void release() { gate.set_value(); }

  StateDirectory directory;
  std::promise<void> gate;
  std::atomic<int> deaths = 0;
  std::string log;
  Logger logger{[this](LogLevel, std::string_view line) { log += line; }};
  std::optional<StorageThread> thread;
};

TEST_F(StorageThreadTest, AnswersEveryRequestOfEveryKind) {
  start();
  ASSERT_TRUE(insert(make_message(1)));
  EXPECT_TRUE(ask<void>([](Done done) { return SetHeld{QueueId{1}, true, std::move(done)}; }));
  EXPECT_TRUE(ask<void>(
      [](Done done) { return SetQuarantined{QueueId{1}, "a bit flipped", std::move(done)}; }));
  EXPECT_TRUE(
      ask<void>([](Done done) { return SaveCounters{{{"a", "1"}, {"b", "2"}}, std::move(done)}; }));
  const auto loaded =
      ask<StoredMessage>([](auto done) { return LoadMessage{QueueId{1}, std::move(done)}; });
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->summary.held);
  EXPECT_TRUE(loaded->summary.quarantined);
  const auto body =
      ask<Bytes>([](auto done) { return ReadBody{QueueId{1}, 90, 100, std::move(done)}; });
  ASSERT_TRUE(body);
  EXPECT_EQ(body->size(), 10U);
  const auto summaries = ask<std::vector<MessageSummary>>(
      [](auto done) { return LoadSummaries{10, QueueId{0}, std::move(done)}; });
  ASSERT_TRUE(summaries);
  EXPECT_EQ(summaries->size(), 1U);
  const auto counters = ask<std::vector<std::pair<std::string, std::string>>>(
      [](auto done) { return LoadCounters{std::move(done)}; });
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->size(), 2U);
  EXPECT_TRUE(ask<void>([](Done done) {
    return RecordAttempt{make_record(1, RecipientState::relayed, RecipientState::waiting),
                         std::move(done)};
  }));
  EXPECT_EQ(thread->queued_bytes(), 260U);
  EXPECT_GT(thread->room_bytes(), 0U);
  EXPECT_TRUE(ask<void>([](Done done) { return RemoveMessage{QueueId{1}, std::move(done)}; }));
  EXPECT_EQ(figures()->messages, 0U);
  // Without anybody who waits for the answer.
  EXPECT_TRUE(thread->post(RemoveMessage{QueueId{1}, {}}));
  EXPECT_TRUE(thread->post(LoadFigures{{}}));
  EXPECT_TRUE(figures());
}

TEST_F(StorageThreadTest, SpoolsALargeBodyAndStoresItsMessage) {
  start();
  for (int piece = 0; piece < 5; ++piece) {
    ASSERT_TRUE(ask<void>(
        [](Done done) { return AppendToSpool{8, Bytes(100'000, std::byte{5}), std::move(done)}; }));
  }
  ASSERT_TRUE(thread->post(AppendToSpool{9, Bytes(100), {}}));
  ASSERT_TRUE(thread->post(DiscardSpool{9}));
  ASSERT_TRUE(insert(make_spooled_message(1, 500'000), 8));
  EXPECT_EQ(std::filesystem::file_size(directory.body(QueueId{1})), 500'000U);
  EXPECT_FALSE(std::filesystem::exists(directory.spool() + "/9.partial"));
  EXPECT_EQ(figures()->commits, 1U) << "spooling and reading begin no transaction";
}

TEST_F(StorageThreadTest, SharesOneCommitAmongManyMessagesOfManyThreads) {
  start();
  constexpr std::uint64_t threads = 4;
  constexpr std::uint64_t messages_each = 200;
  std::atomic<std::uint64_t> taken = 0;
  block();
  std::vector<std::thread> posters;
  for (std::uint64_t poster = 0; poster < threads; ++poster) {
    posters.emplace_back([&, poster] {
      for (std::uint64_t at = 1; at <= messages_each; ++at) {
        ASSERT_TRUE(thread->post(
            InsertMessage{make_message(poster * 1000 + at), std::nullopt, [&](Result<> result) {
                            if (result) ++taken;
                          }}));
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  release();
  ASSERT_TRUE(figures());  // perhaps in the last batch, before its commit
  const auto after = figures();
  ASSERT_TRUE(after);
  EXPECT_EQ(taken, threads * messages_each);
  EXPECT_EQ(after->messages, threads * messages_each);
  EXPECT_LE(after->commits, 4U) << "800 messages in batches of 256";
}

// What spares the flash: commits keep a distance, however the messages come.
TEST_F(StorageThreadTest, CommitsUnderLoadNoMoreOftenThanTheInterval) {
  start();
  std::atomic<int> taken = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint64_t id = 1; id <= 100; ++id) {
    ASSERT_TRUE(thread->post(InsertMessage{make_message(id), std::nullopt, [&](Result<> result) {
                                             if (result) ++taken;
                                           }}));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto after = figures();
  ASSERT_TRUE(after);
  const auto intervals = (std::chrono::steady_clock::now() - begun) / commit_interval;
  EXPECT_EQ(taken, 100) << "a question comes after what was asked before it";
  EXPECT_LE(after->commits, static_cast<std::uint64_t>(intervals) + 2);
}

TEST_F(StorageThreadTest, AQuestionAboutAnotherMessageWaitsForNoCommit) {
  start();
  ASSERT_TRUE(insert(make_message(1)));  // the next commit is an interval away
  std::vector<int> answers;
  block();
  ASSERT_TRUE(thread->post(
      InsertMessage{make_message(2), std::nullopt, [&](Result<>) { answers.push_back(2); }}));
  ASSERT_TRUE(
      thread->post(LoadMessage{QueueId{1}, [&](Result<StoredMessage>) { answers.push_back(1); }}));
  release();
  ASSERT_TRUE(figures());
  EXPECT_EQ(answers, (std::vector<int>{1, 2}));
}

TEST_F(StorageThreadTest, DoesTheRequestsOfOneThreadInTheirOrder) {
  start();
  std::vector<int> answers;
  block();
  ASSERT_TRUE(thread->post(LoadMessage{
      QueueId{1}, [&](Result<StoredMessage> result) { answers.push_back(result ? 1 : -1); }}));
  ASSERT_TRUE(thread->post(InsertMessage{make_message(1), std::nullopt, [&](Result<> result) {
                                           answers.push_back(result ? 2 : -2);
                                         }}));
  ASSERT_TRUE(thread->post(LoadMessage{
      QueueId{1}, [&](Result<StoredMessage> result) { answers.push_back(result ? 3 : -3); }}));
  ASSERT_TRUE(thread->post(
      RemoveMessage{QueueId{1}, [&](Result<> result) { answers.push_back(result ? 4 : -4); }}));
  ASSERT_TRUE(thread->post(LoadMessage{
      QueueId{1}, [&](Result<StoredMessage> result) { answers.push_back(result ? 5 : -5); }}));
  release();
  ASSERT_TRUE(figures());
  EXPECT_EQ(answers, (std::vector<int>{-1, 2, 3, 4, -5}));
}

TEST_F(StorageThreadTest, FailsAMessageOfATakenIdAloneInItsBatch) {
  start();
  std::vector<Result<>> answers;
  const auto keep = [&](Result<> result) { answers.push_back(std::move(result)); };
  block();
  ASSERT_TRUE(thread->post(InsertMessage{make_message(1), std::nullopt, keep}));
  ASSERT_TRUE(thread->post(InsertMessage{make_message(1), std::nullopt, keep}));
  ASSERT_TRUE(thread->post(InsertMessage{make_message(2), std::nullopt, keep}));
  release();
  ASSERT_TRUE(figures());  // perhaps in the same batch, before its commit
  EXPECT_EQ(figures()->commits, 1U);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_TRUE(answers[0]);
  ASSERT_FALSE(answers[1]);
  EXPECT_EQ(answers[1].error().kind, ErrorKind::exists);
  EXPECT_TRUE(answers[2]);
}

TEST_F(StorageThreadTest, FinishesWhatWaitsWhenStoppedAndTakesNothingMore) {
  start();
  std::atomic<int> taken = 0;
  block();
  for (std::uint64_t id = 1; id <= 50; ++id) {
    ASSERT_TRUE(thread->post(InsertMessage{make_message(id), std::nullopt, [&](Result<> result) {
                                             if (result) ++taken;
                                           }}));
  }
  std::thread stopper([&] { thread->stop(); });
  release();
  stopper.join();
  EXPECT_EQ(taken, 50);
  EXPECT_FALSE(thread->post(InsertMessage{make_message(51), std::nullopt, {}}));
  thread->stop();
  const auto store = open_or_abort(directory);
  EXPECT_EQ(store->figures()->messages, 50U);
}

TEST_F(StorageThreadTest, RefusesMoreThanItsBoundInsteadOfGrowing) {
  start();
  block();
  for (std::size_t at = 0; at < storage_requests_max; ++at) {
    ASSERT_TRUE(thread->post(LoadFigures{}));
  }
  EXPECT_FALSE(thread->post(LoadFigures{}));
  EXPECT_TRUE(thread->post(DiscardSpool{0})) << "it sets a file free, and comes once for each";
  release();
}

// The dangerous moment: the sync of a shared commit fails. Nobody may be told that the mail is
// safe.
TEST_F(StorageThreadTest, FailsTheWholeBatchAndTellsItsDeathOnceWhenTheCommitFails) {
  const FailingVfs vfs;
  start(vfs.name());
  ASSERT_TRUE(insert(make_message(1)));
  std::vector<Result<>> answers;
  const auto keep = [&](Result<> result) { answers.push_back(std::move(result)); };
  block();
  FailingVfs::failing() = true;
  ASSERT_TRUE(thread->post(InsertMessage{make_message(2), std::nullopt, keep}));
  ASSERT_TRUE(thread->post(InsertMessage{make_message(1), std::nullopt, keep}));
  ASSERT_TRUE(thread->post(InsertMessage{make_message(3), std::nullopt, keep}));
  release();
  EXPECT_EQ(insert(make_message(4)).error().kind, ErrorKind::io);
  EXPECT_EQ(figures().error().kind, ErrorKind::io);
  ASSERT_EQ(answers.size(), 3U);
  for (const Result<>& answer : answers) EXPECT_FALSE(answer);
  EXPECT_EQ(answers[1].error().kind, ErrorKind::exists) << "its own reason stays";
  thread->stop();
  EXPECT_EQ(deaths, 1);
  EXPECT_NE(log.find("storage-dead"), std::string::npos);
  FailingVfs::failing() = false;
  const auto store = open_or_abort(directory);
  EXPECT_TRUE(store->load(QueueId{1}));
}

TEST_F(StorageThreadTest, RefusesMailAndRecordsOutcomesWhenTheCommitFindsTheDiskFull) {
  const FailingVfs vfs;
  FailingFiles files;
  start(vfs.name(), &files);
  ASSERT_TRUE(insert(make_message(1)));
  std::vector<Result<>> answers;
  const auto keep = [&](Result<> result) { answers.push_back(std::move(result)); };
  files.when_unlinked = [&] {
    FailingVfs::full() = std::filesystem::exists(directory.reserve());
    files.free = std::uint64_t{1} << 20;
  };
  block();
  FailingVfs::full() = true;
  ASSERT_TRUE(thread->post(InsertMessage{make_message(2), std::nullopt, keep}));
  AttemptRecord record = make_record(1, RecipientState::failed, RecipientState::failed);
  record.reports = {make_message(3)};
  ASSERT_TRUE(thread->post(RecordAttempt{std::move(record), keep}));
  ASSERT_TRUE(thread->post(RemoveMessage{QueueId{9}, keep}));
  release();
  EXPECT_EQ(figures()->messages, 1U) << "the report";
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0].error().kind, ErrorKind::no_space);
  EXPECT_TRUE(answers[1]) << answers[1].error().text();
  EXPECT_EQ(answers[2].error().kind, ErrorKind::not_found) << "its own reason stays";
  EXPECT_EQ(thread->room_bytes(), 0U);
  files.free = reserve_bytes + 2 * free_bytes_min;
  EXPECT_TRUE(insert(make_message(4)));
  thread->stop();
  EXPECT_EQ(deaths, 0);
  EXPECT_NE(log.find("reserve-missing"), std::string::npos) << log;
  EXPECT_NE(log.find("reserve-held"), std::string::npos) << log;
}

// Another program fills the disk while no mail comes: MAIL has to know of it.
TEST_F(StorageThreadTest, MeasuresTheDiskWhileNothingIsAskedOfIt) {
  FailingFiles files;
  start(nullptr, &files);
  for (const std::uint64_t room : {5'000U, 0U, 7'000U}) {
    files.free = free_bytes_min + room;
    const auto begun = std::chrono::steady_clock::now();
    while (thread->room_bytes() != room) {
      ASSERT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

TEST_F(StorageThreadTest, DiesWhenASpoolFileCannotBeSynced) {
  FailingFiles files;
  start(nullptr, &files);
  files.sync_fails = true;
  ASSERT_TRUE(thread->post(AppendToSpool{1, Bytes(300'000), {}}));
  EXPECT_EQ(insert(make_spooled_message(1, 300'000), 1).error().kind, ErrorKind::io);
  thread->stop();
  EXPECT_EQ(deaths, 1);
}

}  // namespace
}  // namespace postern::storage
