// What the submission tests share: a relay's submission side as it is (gatekeeper, worker, policy)
// over loopback and a real store in a directory of its own, and a client that speaks lines.
//
//   start([](SubmissionPolicy& policy) { policy.recipients_max = 2; });
//   Client& client = log_in(dial(Port::implicit));
//   EXPECT_EQ(client.command("NOOP"), "250 2.0.0 ok");
//
// Promise: the worker and the gatekeeper's loop run on threads of their own, as in the daemon; the
// clients live on the test's loop, which turns while a test waits. Every wait ends, at the latest
// after net::run_until's limit. Sharp edge: a test that blocks the store must release it before it
// ends.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "relay/submission/gatekeeper.hpp"
#include "relay/submission/submission_worker.hpp"
#include "tests/unit/net/net_support.hpp"
#include "tests/unit/storage/storage_fixture.hpp"

namespace postern::submission {

inline constexpr std::string_view user_name = "copier-2";
inline constexpr std::string_view password = "correct horse battery staple";
inline constexpr std::string_view hostname = "relay.office.example";

enum class Port { implicit, starttls };

// A policy with one user, copier-2, who may send as scan@office.example and to everybody.
[[nodiscard]] std::shared_ptr<SubmissionPolicy> make_policy();
[[nodiscard]] policy::User make_user(std::string_view name, std::string_view with_password);
[[nodiscard]] std::string auth_plain(std::string_view name, std::string_view with_password);
// A header that needs no fix-up but Received, the empty line, and `body`.
[[nodiscard]] std::string make_content(std::string_view body = "Hello from the copier.\r\n");
// CRLF lines, `size` octets in all, that differ along the way.
[[nodiscard]] std::string make_lines(std::size_t size);

class Client {
 public:
  Client(net::Loop& loop, const SocketAddress& relay);
  void start_tls();
  // One whole reply, without its last CRLF; empty when the relay closed the connection.
  [[nodiscard]] std::string reply();
  [[nodiscard]] std::string command(std::string_view line);
  void write(std::string_view octets) { peer_.write(octets); }
  // Whether a reply comes within `time`.
  [[nodiscard]] bool hears_within(Duration time);
  [[nodiscard]] bool sees_the_end();
  void vanish() { peer_.connection->close(); }
  [[nodiscard]] const crypto::TlsFacts& tls() const { return *peer_.tls; }

 private:
  [[nodiscard]] std::optional<std::size_t> reply_end() const;
  net::Loop& loop_;
  std::unique_ptr<net::Connector> connector_;
  net::Peer peer_;
};

struct OpenedMessage {
  storage::StoredMessage stored;
  std::string header;
  std::string body;
};

class SubmissionTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  // `vfs` and `files` as in the storage tests.
  void start(const std::function<void(SubmissionPolicy&)>& change = {}, const char* vfs = nullptr,
             storage::SpoolFiles* files = nullptr);
  // The store alone, for what needs no client.
  void open_store(const char* vfs = nullptr, storage::SpoolFiles* files = nullptr);
  void stop_worker();
  // Runs `task` on the gatekeeper's loop and waits for it.
  void on_main_loop(Callback<> task);
  void configure_gatekeeper(PolicySnapshot changed);
  [[nodiscard]] std::size_t open_connections();
  [[nodiscard]] bool until(const std::function<bool()>& is_true) {
    return net::run_until(*loop, is_true);
  }

  // Connected and, on the implicit port, with TLS standing and the banner read.
  Client& dial(Port port);
  // EHLO and AUTH PLAIN.
  Client& log_in(Client& client);
  // MAIL, RCPT and DATA, up to the 354.
  static void open_data(Client& client, std::string_view mail_parameters = "");
  // A whole transaction; the reply to the final dot.
  [[nodiscard]] static std::string send(Client& client, std::string_view content);

  // Posts a request that is made of its callback and waits for the answer, the loop turning.
  template <class Value, class Make>
  Result<Value> ask_store(Make make) {
    std::promise<Result<Value>> promise;
    auto future = promise.get_future();
    if (!storage->post(
            make([&promise](Result<Value> result) { promise.set_value(std::move(result)); }))) {
      return fail(ErrorKind::busy, "post", "refused");
    }
    return future.get();
  }
  [[nodiscard]] std::vector<storage::MessageSummary> queue();
  [[nodiscard]] std::uint64_t messages_stored() { return queue().size(); }
  [[nodiscard]] OpenedMessage open_message(QueueId id);
  [[nodiscard]] std::size_t files_in_spool() const;
  // Keeps the storage thread in an answer until release_store().
  void block_store();
  void release_store();
  [[nodiscard]] std::string log_text() const;

  std::unique_ptr<net::Loop> loop;       // the clients'
  std::unique_ptr<net::Loop> main_loop;  // the gatekeeper's
  storage::StateDirectory directory;
  mutable std::mutex log_mutex;
  std::string log;
  Logger logger{[this](LogLevel, std::string_view line) {
                  const std::scoped_lock lock(log_mutex);
                  log += line;
                },
                LogLevel::debug};
  std::atomic<int> deaths = 0;
  std::atomic<int> queued = 0;
  crypto::QueueKey queue_key = crypto::QueueKey::from_octets(Secret::of_size(32));
  std::unique_ptr<storage::StorageThread> storage;
  std::shared_ptr<SubmissionPolicy> policy;
  std::unique_ptr<Gatekeeper> gatekeeper;
  std::optional<SubmissionServices> services;
  std::unique_ptr<SubmissionWorker> worker;
  ListenerPlan implicit_plan{net::address_of("127.0.0.1:0"), true, -1};
  ListenerPlan starttls_plan{net::address_of("127.0.0.1:0"), false, -1};
  std::vector<std::unique_ptr<Client>> clients;

 private:
  std::optional<std::promise<void>> gate_;
  std::thread main_thread_;
};

}  // namespace postern::submission
