// What the tests of relay/delivery share: a real queue in a directory of its own, messages put into
// it as the submission side does, an engine on its own thread, and questions to both.
//
// Promise: TearDown ends the engine before the storage thread and the upstreams, whatever the test
// left in flight. Sharp edge: the retry delays of `snapshot` are hours unless a test shortens them,
// so that what was delayed stays where it can be looked at.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/log.hpp"
#include "relay/delivery/delivery_engine.hpp"
#include "storage/storage_thread.hpp"
#include "tests/unit/delivery/scripted_upstream.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::delivery {

struct Mail {
  std::string sender = "scan@office.example";
  std::vector<std::string> recipients = {"anna@far.example"};
  std::string header = "From: scan@office.example\r\nSubject: page 1\r\n";
  std::string body = "the scanned page\r\n";
  std::string user_name = "scanner";
  bool spooled = false;
  std::string notify = "";  // NOTIFY=... of each recipient
};

class DeliveryTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Lives until the engine has ended.
  ScriptedUpstream& make_upstream(
      std::shared_ptr<const crypto::TlsServerContext> context = test_tls().good,
      smtp::DeliveryTls tls = smtp::DeliveryTls::starttls);
  // An upstream called `name` at 127.0.0.1:`port`; to be done before start_engine().
  std::shared_ptr<UpstreamSettings> add_upstream(const std::string& name, std::uint16_t port);
  std::shared_ptr<UpstreamSettings> add_upstream(const std::string& name,
                                                 const ScriptedUpstream& upstream);
  void add_route(const std::string& recipients, std::vector<std::string> names);
  void start_engine();
  // begin_stop() and join(), while the loop turns; returns how long that took.
  Duration stop_engine();

  // Stores a message, sealed as the submission side seals it.
  storage::MessageSummary store(const Mail& mail = {});
  // Stores it and tells the engine.
  QueueId queue(const Mail& mail = {});
  [[nodiscard]] storage::NewMessage seal(const Mail& mail);
  void insert(storage::NewMessage message, std::optional<std::uint64_t> token = std::nullopt);

  // A request that changes nothing; false when the mailbox is full.
  [[nodiscard]] bool post_to_storage();
  // Keeps the storage thread busy and its mailbox full until the returned promise is kept.
  [[nodiscard]] std::promise<void> block_storage();

  [[nodiscard]] std::optional<storage::StoredMessage> stored(QueueId id);
  [[nodiscard]] std::vector<storage::MessageSummary> stored_messages();
  [[nodiscard]] Result<std::size_t> change(QueueChange what, std::optional<QueueId> id);
  [[nodiscard]] DeliveryFacts facts();
  [[nodiscard]] bool logged(std::string_view words);
  [[nodiscard]] std::string log_text();
  [[nodiscard]] DeliveryServices services() { return {*storage, queue_key, log}; }

  [[nodiscard]] bool until(const std::function<bool()>& is_true,
                           Duration limit = std::chrono::seconds(10)) {
    return net::run_until(*loop, is_true, limit);
  }
  // The same for conditions that ask the engine, which lets the loop run themselves.
  [[nodiscard]] bool eventually(const std::function<bool()>& is_true);
  // Until so many attempts of the message stand in the store.
  [[nodiscard]] bool until_tried(QueueId id, std::uint32_t attempts);
  // Until the engine knows of so many delays: the store knows a moment earlier.
  [[nodiscard]] bool until_delayed(std::uint64_t recipients);
  [[nodiscard]] bool until_gone(QueueId id);

  std::unique_ptr<net::Loop> loop;
  net::TemporaryDirectory directory;
  crypto::QueueKey queue_key =
      crypto::QueueKey::from_octets(Secret(std::string_view("0123456789abcdef0123456789abcdef")));
  std::mutex log_mutex;
  std::string log_lines;
  Logger log{[this](LogLevel, std::string_view line) {
    const std::scoped_lock lock(log_mutex);
    log_lines += line;
  }};
  std::unique_ptr<storage::StorageThread> storage;
  DeliverySnapshot snapshot;
  std::unique_ptr<DeliveryEngine> engine;
  std::vector<std::unique_ptr<ScriptedUpstream>> upstreams;
  std::uint32_t messages_made = 0;
};

}  // namespace postern::delivery
