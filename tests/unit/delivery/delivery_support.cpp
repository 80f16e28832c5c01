// See the header.
#include "tests/unit/delivery/delivery_support.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "crypto/random.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"

namespace postern::delivery {
namespace {

// Posts `request`, whose answer is a Result<Value>, and waits for it on this thread.
template <class Value, class Request>
Result<Value> ask(storage::StorageThread& storage, Request request) {
  std::promise<Result<Value>> promise;
  auto answer = promise.get_future();
  request.done = [&promise](Result<Value> result) { promise.set_value(std::move(result)); };
  if (!storage.post(std::move(request))) {
    return fail(ErrorKind::busy, "ask the storage thread", "it takes no request");
  }
  return answer.get();
}

smtp::Mailbox mailbox(const std::string& text) {
  const auto parsed = smtp::parse_mailbox(text, true);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(smtp::Mailbox{});
}

}  // namespace

void DeliveryTest::SetUp() {
  ASSERT_TRUE(crypto::initialise());
  auto made = net::Loop::create();
  ASSERT_TRUE(made);
  loop = std::move(*made);
  auto opened = storage::QueueStore::open(directory.file("state"));
  ASSERT_TRUE(opened) << opened.error().text();
  storage = std::make_unique<storage::StorageThread>(
      std::move(*opened), log, [](const Error& why) { ADD_FAILURE() << why.text(); });
  snapshot.hostname = "relay.office.example";
  snapshot.postmaster = mailbox("postmaster@office.example");
  snapshot.retry.retry_delay_min = std::chrono::hours(1);
}

void DeliveryTest::TearDown() {
  if (engine) {
    for (auto& upstream : upstreams) upstream->hang_up();
    stop_engine();
  }
  storage->stop();  // its last answers still find the engine's loop
  engine.reset();
  storage.reset();
  upstreams.clear();
}

ScriptedUpstream& DeliveryTest::make_upstream(
    std::shared_ptr<const crypto::TlsServerContext> context, smtp::DeliveryTls tls) {
  upstreams.push_back(std::make_unique<ScriptedUpstream>(*loop, std::move(context), tls));
  return *upstreams.back();
}

std::shared_ptr<UpstreamSettings> DeliveryTest::add_upstream(const std::string& name,
                                                             std::uint16_t port) {
  auto settings = std::make_shared<UpstreamSettings>();
  settings->name = name;
  settings->host = "127.0.0.1";
  settings->port = port;
  settings->tls_context = test_tls().client;
  snapshot.upstreams.push_back(settings);
  return settings;
}

std::shared_ptr<UpstreamSettings> DeliveryTest::add_upstream(const std::string& name,
                                                             const ScriptedUpstream& upstream) {
  auto settings = add_upstream(name, upstream.port());
  settings->tls = upstream.tls();
  return settings;
}

void DeliveryTest::add_route(const std::string& recipients, std::vector<std::string> names) {
  policy::Route route;
  auto pattern = policy::AddressPattern::parse(recipients);
  ASSERT_TRUE(pattern) << recipients;
  route.recipients.push_back(std::move(*pattern));
  route.upstreams = std::move(names);
  snapshot.routes.push_back(std::move(route));
}

void DeliveryTest::start_engine() {
  auto made =
      DeliveryEngine::create(services(), std::make_shared<const DeliverySnapshot>(snapshot));
  ASSERT_TRUE(made) << made.error().text();
  engine = std::move(*made);
  engine->start();
}

Duration DeliveryTest::stop_engine() {
  const auto begun = read_clocks().monotonic;
  engine->begin_stop();
  std::atomic<bool> joined = false;
  std::thread joiner([&] {
    engine->join();
    joined = true;
  });
  EXPECT_TRUE(until([&] { return joined.load(); }, delivery_grace + std::chrono::seconds(5)));
  joiner.join();
  return read_clocks().monotonic - begun;
}

storage::NewMessage DeliveryTest::seal(const Mail& mail) {
  const WallTime now = read_clocks().wall;
  storage::NewMessage message;
  message.id = QueueId::make(now, ++messages_made);
  message.user_name = mail.user_name;
  smtp::Sender sender;
  if (!mail.sender.empty()) sender.reverse_path.mailbox = mailbox(mail.sender);
  message.sender = queue::to_stored(sender);
  std::vector<smtp::Recipient> recipients(mail.recipients.size());
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    recipients[i].mailbox = mailbox(mail.recipients[i]);
  }
  message.recipients = queue::to_stored(recipients);
  for (auto& recipient : message.recipients) recipient.parameters = mail.notify;
  message.received = now;
  message.next_attempt = now;
  const auto key = queue_key.make_message_key(message.id, storage::envelope_binding(message));
  const std::string header = mail.header + "\r\n";
  message.content.wrapped_key = key.wrapped;
  message.content.sealed_header = crypto::seal_small(key.key, as_bytes(header), "header");
  message.content.header_bytes = header.size();
  message.content.body_bytes = mail.body.size();
  message.content.spooled = mail.spooled;
  crypto::SealWriter writer(key.key);
  writer.write(as_bytes(mail.body), message.content.sealed_body);
  writer.finish(message.content.sealed_body);
  return message;
}

void DeliveryTest::insert(storage::NewMessage message, std::optional<std::uint64_t> token) {
  const auto stored = ask<void>(*storage, storage::InsertMessage{std::move(message), token, {}});
  ASSERT_TRUE(stored) << stored.error().text();
}

storage::MessageSummary DeliveryTest::store(const Mail& mail) {
  storage::NewMessage message = seal(mail);
  const storage::MessageSummary summary = storage::summary_of(message);
  std::optional<std::uint64_t> token;
  if (mail.spooled) {
    token = messages_made;
    auto spooled = ask<void>(
        *storage,
        storage::AppendToSpool{*token, std::exchange(message.content.sealed_body, {}), {}});
    EXPECT_TRUE(spooled);
  }
  insert(std::move(message), token);
  return summary;
}

QueueId DeliveryTest::queue(const Mail& mail) {
  const storage::MessageSummary summary = store(mail);
  engine->message_queued(summary);
  return summary.id;
}

bool DeliveryTest::post_to_storage() {
  return storage->post(storage::LoadFigures{[](const Result<storage::QueueFigures>&) {}});
}

std::promise<void> DeliveryTest::block_storage() {
  std::promise<void> let_go;
  std::promise<void> blocked;
  storage::LoadFigures request{
      [&blocked, gate = let_go.get_future()](Result<storage::QueueFigures>) mutable {
        blocked.set_value();
        gate.wait();
      }};
  EXPECT_TRUE(storage->post(std::move(request)));
  blocked.get_future().wait();
  while (post_to_storage()) {
  }
  return let_go;
}

std::optional<storage::StoredMessage> DeliveryTest::stored(QueueId id) {
  auto message = ask<storage::StoredMessage>(*storage, storage::LoadMessage{id, {}});
  if (!message) {
    EXPECT_EQ(message.error().kind, ErrorKind::not_found) << message.error().text();
    return std::nullopt;
  }
  return std::move(*message);
}

std::vector<storage::MessageSummary> DeliveryTest::stored_messages() {
  auto summaries = ask<std::vector<storage::MessageSummary>>(
      *storage, storage::LoadSummaries{1'000, QueueId{}, {}});
  EXPECT_TRUE(summaries);
  return summaries ? std::move(*summaries) : std::vector<storage::MessageSummary>{};
}

Result<std::size_t> DeliveryTest::change(QueueChange what, std::optional<QueueId> id) {
  std::optional<Result<QueueChangeCount>> answer;
  net::Timer asking(*loop);  // a loop takes answers only while it runs
  asking.start(Duration(0), [&] {
    EXPECT_TRUE(engine->ask_change(
        *loop, what, id, [&](Result<QueueChangeCount> result) { answer = std::move(result); }));
  });
  EXPECT_TRUE(until([&] { return answer.has_value(); }));
  if (!answer) return fail(ErrorKind::timeout, "ask the engine", "no answer");
  if (!*answer) return std::unexpected(answer->error());
  return (*answer)->changed;
}

DeliveryFacts DeliveryTest::facts() {
  std::optional<DeliveryFacts> answer;
  net::Timer asking(*loop);
  asking.start(Duration(0), [&] {
    EXPECT_TRUE(engine->ask_facts(*loop, [&](DeliveryFacts told) { answer = std::move(told); }));
  });
  EXPECT_TRUE(until([&] { return answer.has_value(); }));
  return answer.value_or(DeliveryFacts{});
}

std::string DeliveryTest::log_text() {
  const std::scoped_lock lock(log_mutex);
  return log_lines;
}

bool DeliveryTest::logged(std::string_view words) {
  return log_text().find(words) != std::string::npos;
}

bool DeliveryTest::eventually(const std::function<bool()>& is_true) {
  const auto end = read_clocks().monotonic + std::chrono::seconds(10);
  while (!is_true()) {
    if (read_clocks().monotonic > end) return false;
    net::run_for(*loop, Duration(2));
  }
  return true;
}

bool DeliveryTest::until_tried(QueueId id, std::uint32_t attempts) {
  return until([&] {
    const auto message = stored(id);
    return message && message->summary.attempts >= attempts;
  });
}

bool DeliveryTest::until_delayed(std::uint64_t recipients) {
  return eventually([&] { return facts().figures.delayed >= recipients; });
}

bool DeliveryTest::until_gone(QueueId id) {
  return until([&] { return !stored(id); });
}

}  // namespace postern::delivery
