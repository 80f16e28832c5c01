// The control service over a real socket and a real store: what each command is answered, and that
// it may go while the store still works for it.
#include "relay/control/control_service.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include "crypto/random.hpp"
#include "relay/control/json.hpp"
#include "relay/delivery/delivery_engine.hpp"
#include "tests/unit/net/net_support.hpp"
#include "tests/unit/storage/storage_fixture.hpp"

namespace postern::control {
namespace {

// Keeps the storage thread in an answer from the moment it reaches the gate until open().
class StoreGate {
 public:
  explicit StoreGate(storage::StorageThread& store) {
    EXPECT_TRUE(store.post(storage::LoadFigures{
        [this, wait = gate_.get_future()](const Result<storage::QueueFigures>&) {
          reached_.set_value();
          wait.wait();
        }}));
  }
  void wait_until_reached() { reached_.get_future().wait(); }
  // From the loop, so that it turns, and takes posts, when the answers of the store come.
  void open_on(net::Loop& loop) {
    net::Timer soon(loop);
    soon.start(Duration(1), [this] { open(); });
    net::run_for(loop, Duration(50));
  }
  void open() { gate_.set_value(); }

 private:
  std::promise<void> gate_;
  std::promise<void> reached_;
};

class ControlServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(crypto::initialise());
    auto made = net::Loop::create();
    ASSERT_TRUE(made.has_value());
    loop = std::move(*made);
  }
  void TearDown() override {
    service.reset();
    engine.reset();
    if (storage) storage->stop();
    loop.reset();
  }
  void open_store() {
    storage = std::make_unique<storage::StorageThread>(storage::open_or_abort(directory), logger,
                                                       [](const Error&) {});
  }
  void listen() {
    ControlActions actions{
        .status =
            [](Callback<Result<StatusFacts>> answer) {
              StatusFacts facts;
              facts.version = "1.2.3";
              answer(std::move(facts));
            },
        .change =
            [this](queue::QueueChange what, std::optional<QueueId> id,
                   Callback<Result<queue::QueueChangeCount>> answer) {
              change_asked = true;
              // As the daemon wires it: the delivery engine is who changes the queue.
              ASSERT_TRUE(engine->ask_change(*loop, what, id, std::move(answer)));
            },
        .reload =
            [this](Callback<Result<std::vector<std::string>>> answer) {
              if (reload_problem.empty()) {
                answer(restart_needed);
              } else {
                answer(fail(ErrorKind::invalid, "reload the configuration", reload_problem));
              }
            },
        .health =
            [](Callback<Result<queue::HealthFacts>> answer) {
              using Verdict = queue::ProbeResult::Verdict;
              answer(queue::HealthFacts{
                  {{"[::]:465", "::1", Verdict::reached, "", ""}},
                  {{"provider", "mail.far.example", Verdict::away, "4.4.1", "refused"},
                   {"other", "mx.far.example", Verdict::faulty, "4.7.5", "expired"}}});
            }};
    auto made = ControlService::listen(*loop, path, *storage, std::move(actions));
    ASSERT_TRUE(made.has_value()) << made.error().text();
    service = std::move(*made);
  }
  void start_engine() {
    auto settings = std::make_shared<delivery::DeliverySnapshot>();
    settings->hostname = "relay.office.example";
    settings->postmaster = {"postmaster", "office.example"};
    auto made = delivery::DeliveryEngine::create(
        delivery::DeliveryServices{*storage, queue_key, logger}, settings);
    ASSERT_TRUE(made.has_value());
    engine = std::move(*made);
    engine->start();
  }
  // `text` is put before the addresses of the two recipients.
  void insert(std::uint64_t id, const std::string& text = "") {
    std::promise<Result<>> done;
    auto inserted = done.get_future();
    storage::NewMessage message = storage::make_message(id);
    for (auto& recipient : message.recipients) recipient.address.insert(0, text);
    message.next_attempt = WallTime(std::chrono::sys_days(std::chrono::year(2040) / 1 / 1));
    ASSERT_TRUE(storage->post(storage::InsertMessage{
        std::move(message), std::nullopt, [&](Result<> result) { done.set_value(result); }}));
    ASSERT_TRUE(inserted.get());
  }
  // The command's side, on a thread of its own while the loop turns.
  Response ask(Verb verb, std::optional<QueueId> id = std::nullopt, bool all = false) {
    return ask_line(encode_request({verb, id, all}));
  }
  Response ask_line(std::string_view line) {
    std::optional<Result<std::string>> answer;
    std::atomic<bool> answered = false;
    std::jthread command([&] {
      answer = net::ask_local_server(path, line, Duration(10'000));
      answered = true;
    });
    EXPECT_TRUE(net::run_until(*loop, [&] { return answered.load(); }));
    command.join();
    EXPECT_TRUE(answer->has_value()) << answer->error().text();
    const auto response = decode_response(answer->value_or(""));
    EXPECT_TRUE(response.has_value());
    return response.value_or(Response{});
  }
  // A `queue list` whose answer is awaited elsewhere.
  std::shared_future<Result<std::string>> begin_list() {
    return std::async(std::launch::async, [this] {
      return net::ask_local_server(path, encode_request({Verb::queue_list, {}, false}),
                                   Duration(10'000));
    });
  }
  static bool is_ready(const std::shared_future<Result<std::string>>& answer) {
    return answer.wait_for(Duration(0)) == std::future_status::ready;
  }
  // All that the store was asked is answered, and all answers have come home.
  void settle() {
    std::promise<void> idle;
    ASSERT_TRUE(storage->post(
        storage::LoadFigures{[&](const Result<storage::QueueFigures>&) { idle.set_value(); }}));
    idle.get_future().wait();
    net::run_for(*loop, Duration(20));
  }
  Json list_answer() {
    const auto json = read_json(ask(Verb::queue_list).result_json, response_bytes_max);
    return json.value_or(Json());
  }
  Json list() { return list_answer()["messages"]; }

  std::unique_ptr<net::Loop> loop;
  storage::StateDirectory directory;
  net::TemporaryDirectory run_directory;
  std::string path = run_directory.file("control");
  Logger logger{[](LogLevel, std::string_view) {}};
  crypto::QueueKey queue_key = crypto::QueueKey::from_octets(Secret::of_size(32));
  std::unique_ptr<storage::StorageThread> storage;
  std::unique_ptr<delivery::DeliveryEngine> engine;
  std::unique_ptr<ControlService> service;
  std::string reload_problem;
  std::vector<std::string> restart_needed;
  bool change_asked = false;
};

TEST_F(ControlServiceTest, ASnapshotIsAnsweredWithItsFolder) {
  open_store();
  listen();
  insert(1);
  const Response answer = ask(Verb::snapshot);
  ASSERT_TRUE(answer.ok) << answer.error;
  const auto json = read_json(answer.result_json, response_bytes_max);
  ASSERT_TRUE(json);
  const std::string folder = (*json)["folder"].get<std::string>();
  EXPECT_EQ(folder, directory.path() + "/snapshot");
  EXPECT_TRUE(std::filesystem::exists(folder + "/queue.db"));
}

TEST_F(ControlServiceTest, ListsTheQueueWithEveryRecipient) {
  open_store();
  listen();
  EXPECT_EQ(list(), Json::array());
  insert(1);
  insert(2);
  const Json listed = list();
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0]["id"], QueueId{1}.text());
  EXPECT_EQ(listed[1]["recipients"][1]["address"], "bert@far.example");
}

TEST_F(ControlServiceTest, ALongListStopsByOctetsAndTellsHowManyMoreThereAre) {
  // 320 messages of 100 recipients with long replies were more than the command accepts.
  open_store();
  listen();
  constexpr std::uint64_t messages = 12;
  for (std::uint64_t id = 1; id <= messages; ++id) insert(id, std::string(1'000'000, 'y'));
  const Json answer = list_answer();
  const std::size_t listed = answer["messages"].size();
  EXPECT_GT(listed, 2U);
  EXPECT_LT(listed, messages);
  EXPECT_EQ(answer["more"], messages - listed);
  EXPECT_EQ(answer["messages"][0]["id"], QueueId{1}.text());
}

TEST_F(ControlServiceTest, AListOfManyMessagesTellsHowManyMoreThereAre) {
  open_store();
  listen();
  for (std::uint64_t id = 1; id <= messages_listed_max + 3; ++id) {
    ASSERT_TRUE(storage->post(
        storage::InsertMessage{storage::make_message(id, 10), std::nullopt, storage::Done{}}));
  }
  const Json answer = list_answer();
  EXPECT_EQ(answer["messages"].size(), messages_listed_max);
  EXPECT_EQ(answer["more"], 3);
}

TEST_F(ControlServiceTest, ShowsOneMessageOrSaysThatThereIsNone) {
  open_store();
  listen();
  insert(1);
  const Response shown = ask(Verb::queue_show, QueueId{1});
  ASSERT_TRUE(shown.ok);
  EXPECT_EQ((*read_json(shown.result_json, 10'000))["sender"], "scan@office.example");
  const Response missing = ask(Verb::queue_show, QueueId{2});
  EXPECT_FALSE(missing.ok);
  EXPECT_NE(missing.error.find(QueueId{2}.text()), std::string::npos) << missing.error;
  EXPECT_FALSE(ask_line(R"({"command":"queue-show"})").ok);
}

TEST_F(ControlServiceTest, TellsTheHealthCheckAsItWasFound) {
  open_store();
  listen();
  const Response response = ask(Verb::health);
  ASSERT_TRUE(response.ok);
  EXPECT_EQ(
      response.result_json,
      R"({"listeners":[{"name":"[::]:465","host":"::1","result":"reached","status":"","reason":""}],)"
      R"("upstreams":[{"name":"provider","host":"mail.far.example","result":"away","status":"4.4.1",)"
      R"("reason":"refused"},{"name":"other","host":"mx.far.example","result":"faulty",)"
      R"("status":"4.7.5","reason":"expired"}]})");
}

TEST_F(ControlServiceTest, TellsTheStatusAndWhyAReloadWasRefused) {
  open_store();
  listen();
  EXPECT_EQ((*read_json(ask(Verb::status).result_json, 10'000))["version"], "1.2.3");
  EXPECT_TRUE(ask(Verb::reload).ok);
  reload_problem = "postern.toml:3: unknown key";
  const Response refused = ask(Verb::reload);
  EXPECT_FALSE(refused.ok);
  EXPECT_NE(refused.error.find(reload_problem), std::string::npos);
  EXPECT_FALSE(refused.advice.empty());
}

TEST_F(ControlServiceTest, ReloadNamesTheSettingsThatWaitForARestart) {
  open_store();
  listen();
  restart_needed = {"listener", "state_directory"};
  const Response reloaded = ask(Verb::reload);
  ASSERT_TRUE(reloaded.ok);
  EXPECT_EQ((*read_json(reloaded.result_json, 10'000))["restart_needed"],
            Json::array({"listener", "state_directory"}));
}

// The answer was given before the change was on the disk.
TEST_F(ControlServiceTest, AnswersAHoldOnlyWhenTheStoreHasIt) {
  open_store();
  insert(1);
  start_engine();
  listen();
  ASSERT_TRUE(net::run_until(*loop, [&] {
    return ask(Verb::queue_release, QueueId{1}).error.find("not held") != std::string::npos;
  }));
  StoreGate gate(*storage);
  gate.wait_until_reached();
  const std::shared_future<Result<std::string>> answer = std::async(std::launch::async, [this] {
    return net::ask_local_server(path, encode_request({Verb::queue_hold, QueueId{1}, false}),
                                 Duration(10'000));
  });
  net::run_for(*loop, Duration(100));
  EXPECT_FALSE(is_ready(answer));
  gate.open_on(*loop);
  ASSERT_TRUE(net::run_until(*loop, [&] { return is_ready(answer); }));
  EXPECT_EQ(list()[0]["held"], true);
}

TEST_F(ControlServiceTest, AnswersAWrongLineWithAnError) {
  open_store();
  listen();
  EXPECT_FALSE(ask_line("rubbish").ok);
  EXPECT_FALSE(ask_line(R"({"command":"queue-remove"})").ok) << "neither a message nor all";
  EXPECT_FALSE(change_asked);
}

TEST_F(ControlServiceTest, HoldsAndRemovesAWaitingMessage) {
  open_store();
  insert(1);
  start_engine();
  listen();
  ASSERT_TRUE(net::run_until(*loop, [&] { return ask(Verb::queue_hold, QueueId{1}).ok; }))
      << "the engine loads the queue at its start";
  EXPECT_EQ(list()[0]["held"], true);
  EXPECT_TRUE(ask(Verb::queue_remove, QueueId{1}).ok);
  EXPECT_EQ(list(), Json::array());
}

TEST_F(ControlServiceTest, RemovesAQuarantinedMessage) {
  // It is in the store and not in the scheduler, which was asked alone and did not know it.
  open_store();
  std::promise<Result<>> written;
  auto spooled = written.get_future();
  ASSERT_TRUE(storage->post(storage::AppendToSpool{7, Bytes(1'000, std::byte{3}), {}}));
  ASSERT_TRUE(
      storage->post(storage::InsertMessage{storage::make_spooled_message(1, 1'000), 7,
                                           [&](Result<> result) { written.set_value(result); }}));
  ASSERT_TRUE(spooled.get());
  storage->stop();
  ASSERT_TRUE(std::filesystem::remove(directory.body(QueueId{1})));
  open_store();  // as at a restart: the row without its file is quarantined
  start_engine();
  listen();
  ASSERT_TRUE(net::run_until(*loop, [&] { return list().size() == 2; })) << "a person is told";
  const auto shown = read_json(ask(Verb::queue_show, QueueId{1}).result_json, 10'000);
  EXPECT_EQ((*shown)["quarantined"], true);
  const Response removed = ask(Verb::queue_remove, QueueId{1});
  EXPECT_TRUE(removed.ok) << removed.error;
  EXPECT_EQ(removed.result_json, R"({"changed":1,"failed":0})");
  EXPECT_EQ(list().size(), 1U) << "the report alone";
  const Response again = ask(Verb::queue_remove, QueueId{1});
  EXPECT_FALSE(again.ok) << "there is none any more";
}

// The answers of the store came back to a service that the shutdown had freed.
TEST_F(ControlServiceTest, MayGoBeforeTheStoreHasBegunAList) {
  open_store();
  insert(1);
  listen();
  StoreGate gate(*storage);
  gate.wait_until_reached();
  const auto answer = begin_list();
  net::run_for(*loop, Duration(100));  // the request reaches the store's mailbox
  service.reset();
  gate.open_on(*loop);
  ASSERT_TRUE(net::run_until(*loop, [&] { return is_ready(answer); }));
  EXPECT_FALSE(answer.get().has_value()) << "the command hears that the relay stops";
  settle();
}

TEST_F(ControlServiceTest, MayGoBetweenTwoMessagesOfAList) {
  open_store();
  insert(1);
  insert(2);
  listen();
  StoreGate before(*storage);
  before.wait_until_reached();
  const auto answer = begin_list();
  net::run_for(*loop, Duration(100));
  StoreGate after_summaries(*storage);
  before.open();
  after_summaries.wait_until_reached();
  net::run_for(*loop, Duration(50));  // the summaries come home, the first message is asked for
  service.reset();
  after_summaries.open_on(*loop);
  ASSERT_TRUE(net::run_until(*loop, [&] { return is_ready(answer); }));
  EXPECT_FALSE(answer.get().has_value());
  settle();
}

}  // namespace
}  // namespace postern::control
