// See the header.
#include "tests/unit/submission/submission_support.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "crypto/random.hpp"
#include "relay/base/assert.hpp"
#include "relay/base/encoding.hpp"
#include "storage/envelope_binding.hpp"
#include "tests/unit/crypto/test_certificates.hpp"
#include "tests/unit/policy/policy_support.hpp"

namespace postern::submission {
namespace {

// Made once for all tests: a certificate and two verifiers cost more than most tests.
struct Shared {
  std::string roots_pem;
  std::shared_ptr<const crypto::TlsServerContext> tls;
  std::shared_ptr<const crypto::TlsClientContext> client_tls;
};

const Shared& shared() {
  static const Shared made = [] {
    POSTERN_ASSERT(crypto::initialise().has_value());
    const testing::TestAuthority authority;
    auto certificate = authority.issue(std::string(hostname));
    auto server = crypto::TlsServerContext::create(
        {certificate.certificate_pem, std::move(certificate.private_key_pem)});
    auto client = crypto::TlsClientContext::create({authority.root_pem()});
    POSTERN_ASSERT(server && client);
    return Shared{authority.root_pem(), *server, *client};
  }();
  return made;
}

const std::string& verifier_text() {
  static const std::string text = [] {
    auto made = crypto::PasswordVerifier::make_argon2id(Secret(password));
    POSTERN_ASSERT(made.has_value());
    return made->text();
  }();
  return text;
}

}  // namespace

policy::User make_user(std::string_view name, std::string_view with_password) {
  auto verifier = with_password == password
                      ? crypto::PasswordVerifier::parse(verifier_text())
                      : crypto::PasswordVerifier::make_argon2id(Secret(with_password));
  POSTERN_ASSERT(verifier.has_value());
  return {.name = std::string(name),
          .password = std::move(*verifier),
          .senders = {policy::pattern("scan@office.example")},
          .recipients = {policy::pattern("*")},
          .addresses = {},
          .owner = std::nullopt,
          .rates = {}};
}

std::shared_ptr<SubmissionPolicy> make_policy() {
  auto made = std::make_shared<SubmissionPolicy>();
  made->hostname = hostname;
  made->tls = shared().tls;
  made->auth_failures_max = 1'000;
  made->users.emplace(user_name, make_user(user_name, password));
  return made;
}

std::string auth_plain(std::string_view name, std::string_view with_password) {
  std::string text(1, '\0');
  text += std::string(name) + '\0' + std::string(with_password);
  return "AUTH PLAIN " + encode_base64(as_bytes(text));
}

std::string make_content(std::string_view body) {
  return "From: Scanner <scan@office.example>\r\nTo: anna@far.example\r\nSubject: scan\r\n"
         "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@office.example>\r\n\r\n" +
         std::string(body);
}

std::string make_lines(std::size_t size) {
  constexpr std::size_t line_bytes = 64;
  std::string text;
  text.reserve(size);
  for (std::size_t line = 0; text.size() < size; ++line) {
    const std::size_t left = size - text.size();
    std::size_t room = std::min(line_bytes, left);
    if (left - room == 1) --room;  // the last line needs its CRLF
    std::string one = std::to_string(line);
    one.resize(room - 2, 'y');
    text += one + "\r\n";
  }
  return text;
}

Client::Client(net::Loop& loop, const SocketAddress& relay) : loop_(loop) {
  connector_ =
      std::make_unique<net::Connector>(loop, std::vector{relay}, Duration(5'000),
                                       [this](Result<std::unique_ptr<net::Connection>> made) {
                                         ASSERT_TRUE(made.has_value()) << made.error().text();
                                         peer_.attach(std::move(*made));
                                       });
  const bool connected = net::run_until(loop_, [this] { return peer_.connection != nullptr; });
  POSTERN_ASSERT(connected);
  peer_.connection->start();
}

void Client::start_tls() {
  peer_.connection->start_tls_client(shared().client_tls, std::string(hostname));
  EXPECT_TRUE(net::run_until(loop_, [this] { return peer_.tls || peer_.closed; }));
}

// RFC 5321 §4.2.1: a hyphen after the code, and the reply goes on.
std::optional<std::size_t> Client::reply_end() const {
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = peer_.received.find("\r\n", begin);
    if (end == std::string::npos) return std::nullopt;
    if (end - begin < 4 || peer_.received[begin + 3] != '-') return end + 2;
    begin = end + 2;
  }
}

std::string Client::reply() {
  EXPECT_TRUE(net::run_until(loop_, [this] { return reply_end() || peer_.closed; }))
      << "no reply came";
  const auto end = reply_end();
  if (!end) return {};
  std::string text = peer_.received.substr(0, *end - 2);
  peer_.received.erase(0, *end);
  return text;
}

std::string Client::command(std::string_view line) {
  write(std::string(line) + "\r\n");
  return reply();
}

bool Client::hears_within(Duration time) {
  return net::run_until(loop_, [this] { return reply_end() || peer_.closed; }, time);
}

bool Client::sees_the_end() {
  return net::run_until(loop_, [this] { return peer_.closed; });
}

void SubmissionTest::SetUp() {
  static_cast<void>(shared());  // starts the crypto libraries
  for (std::unique_ptr<net::Loop>* each : {&loop, &main_loop}) {
    auto made = net::Loop::create();
    ASSERT_TRUE(made.has_value());
    *each = std::move(*made);
  }
  main_thread_ = std::thread([this] { main_loop->run(); });
  on_main_loop([] {});  // it turns, so it takes posts
}

void SubmissionTest::TearDown() {
  ASSERT_FALSE(gate_.has_value()) << "the store is still blocked";
  clients.clear();
  stop_worker();
  main_loop->stop();
  main_thread_.join();
  worker.reset();
  gatekeeper.reset();
  if (storage) storage->stop();
  main_loop.reset();
  loop.reset();
}

void SubmissionTest::on_main_loop(Callback<> task) {
  std::promise<void> done;
  ASSERT_TRUE(main_loop->post([&] {
    task();
    done.set_value();
  }));
  done.get_future().wait();
}

void SubmissionTest::configure_gatekeeper(PolicySnapshot changed) {
  on_main_loop([&] { gatekeeper->configure(std::move(changed)); });
}

std::size_t SubmissionTest::open_connections() {
  std::size_t open = 0;
  on_main_loop([&] { open = gatekeeper->open_connections(); });
  return open;
}

void SubmissionTest::open_store(const char* vfs, storage::SpoolFiles* files) {
  storage = std::make_unique<storage::StorageThread>(storage::open_or_abort(directory, vfs, files),
                                                     logger, [this](Error) { ++deaths; });
  services.emplace(
      SubmissionServices{*storage, queue_key, logger, [this](const auto&) { ++queued; }});
}

void SubmissionTest::start(const std::function<void(SubmissionPolicy&)>& change, const char* vfs,
                           storage::SpoolFiles* files) {
  open_store(vfs, files);
  policy = make_policy();
  if (change) change(*policy);
  on_main_loop(
      [this] { gatekeeper = std::make_unique<Gatekeeper>(*main_loop, *storage, logger, policy); });
  auto made = SubmissionWorker::create(*services, *gatekeeper, policy);
  ASSERT_TRUE(made.has_value()) << made.error().text();
  worker = std::move(*made);
  for (ListenerPlan* plan : {&implicit_plan, &starttls_plan}) {
    const auto listening = worker->listen(*plan);
    ASSERT_TRUE(listening.has_value()) << listening.error().text();
  }
  worker->start();
}

// The clients must still hear what is said to them meanwhile.
void SubmissionTest::stop_worker() {
  if (!worker) return;
  std::atomic<bool> joined = false;
  std::jthread joiner([&] {
    worker->begin_stop();
    worker->join();
    joined = true;
  });
  EXPECT_TRUE(until([&] { return joined.load(); })) << "the worker does not end";
}

Client& SubmissionTest::dial(Port port) {
  const bool implicit = port == Port::implicit;
  const SocketAddress& relay = implicit ? implicit_plan.address : starttls_plan.address;
  Client& client = *clients.emplace_back(std::make_unique<Client>(*loop, relay));
  if (implicit) {
    client.start_tls();
    EXPECT_TRUE(client.reply().starts_with("220 "));
  }
  return client;
}

Client& SubmissionTest::log_in(Client& client) {
  EXPECT_TRUE(client.command("EHLO copier.office.example").starts_with("250"));
  EXPECT_EQ(client.command(auth_plain(user_name, password)).substr(0, 9), "235 2.7.0");
  return client;
}

void SubmissionTest::open_data(Client& client, std::string_view mail_parameters) {
  EXPECT_EQ(
      client.command("MAIL FROM:<scan@office.example>" + std::string(mail_parameters)).substr(0, 9),
      "250 2.1.0");
  EXPECT_EQ(client.command("RCPT TO:<anna@far.example>").substr(0, 9), "250 2.1.5");
  EXPECT_TRUE(client.command("DATA").starts_with("354"));
}

std::string SubmissionTest::send(Client& client, std::string_view content) {
  open_data(client);
  return client.command(std::string(content) + ".");
}

std::vector<storage::MessageSummary> SubmissionTest::queue() {
  auto listed = ask_store<std::vector<storage::MessageSummary>>(
      [](auto done) { return storage::LoadSummaries{1'000, QueueId{}, std::move(done)}; });
  EXPECT_TRUE(listed.has_value());
  return listed ? std::move(*listed) : std::vector<storage::MessageSummary>{};
}

OpenedMessage SubmissionTest::open_message(QueueId id) {
  OpenedMessage opened;
  auto stored = ask_store<storage::StoredMessage>(
      [id](auto done) { return storage::LoadMessage{id, std::move(done)}; });
  POSTERN_ASSERT(stored.has_value());
  opened.stored = std::move(*stored);
  const auto key = queue_key.unwrap(id, storage::envelope_binding(opened.stored),
                                    opened.stored.content.wrapped_key);
  POSTERN_ASSERT(key.has_value());
  const auto header = crypto::open_small(*key, opened.stored.content.sealed_header, "header");
  POSTERN_ASSERT(header.has_value());
  opened.header = as_text(*header);
  crypto::SealReader reader(*key);
  Bytes body;
  std::uint64_t offset = 0;
  while (true) {
    const auto sealed = ask_store<Bytes>(
        [&](auto done) { return storage::ReadBody{id, offset, 100'000, std::move(done)}; });
    POSTERN_ASSERT(sealed.has_value());
    if (sealed->empty()) break;
    offset += sealed->size();
    EXPECT_TRUE(reader.read(*sealed, body));
  }
  EXPECT_TRUE(reader.finish());
  opened.body = as_text(body);
  return opened;
}

std::size_t SubmissionTest::files_in_spool() const {
  std::error_code none;
  const std::filesystem::directory_iterator files(directory.spool(), none);
  return none ? 0 : static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

void SubmissionTest::block_store() {
  gate_.emplace();
  std::promise<void> blocked;
  auto reached = blocked.get_future();
  ASSERT_TRUE(storage->post(
      storage::LoadFigures{[&blocked, wait = gate_->get_future()](Result<storage::QueueFigures>) {
        blocked.set_value();
        wait.wait();
      }}));
  reached.wait();
}

void SubmissionTest::release_store() {
  gate_->set_value();
  gate_.reset();
}

std::string SubmissionTest::log_text() const {
  const std::scoped_lock lock(log_mutex);
  return log;
}

}  // namespace postern::submission
