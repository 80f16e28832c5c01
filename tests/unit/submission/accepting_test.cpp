// A message on its way in: what is stored, when the client hears 250, and in what form it lies.
#include <fstream>
#include <sstream>

#include "crypto/dkim.hpp"
#include "tests/unit/submission/submission_support.hpp"

namespace postern::submission {
namespace {

using AcceptingTest = SubmissionTest;

std::shared_ptr<const crypto::DkimKey> make_key(crypto::DkimAlgorithm algorithm,
                                                std::string selector) {
  const auto generated = crypto::generate_dkim_key(algorithm);
  EXPECT_TRUE(generated.has_value());
  auto key =
      crypto::DkimKey::load("office.example", std::move(selector), generated->private_key_pem);
  EXPECT_TRUE(key.has_value());
  return *key;
}

std::size_t count(std::string_view text, std::string_view word) {
  std::size_t found = 0;
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1))
    ++found;
  return found;
}

TEST_F(AcceptingTest, StoresAMessageOverImplicitTlsBeforeThe250) {  // RFC 8314 §3.3
  start();
  Client& client = log_in(dial(Port::implicit));
  open_data(client);
  block_store();
  client.write(make_content() + ".\r\n");
  EXPECT_FALSE(client.hears_within(Duration(200))) << "no answer before the commit";
  EXPECT_EQ(log_text().find("event=message-queued"), std::string::npos) << "nor a word in the log";
  release_store();
  const std::string reply = client.reply();
  EXPECT_TRUE(reply.starts_with("250 2.0.0 queued as ")) << reply;
  const auto stored = queue();
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(reply, "250 2.0.0 queued as " + stored[0].id.text());
  EXPECT_EQ(queued, 1) << "delivery is told";
  const std::string log_line = "event=message-queued queue_id=" + stored[0].id.text() +
                               " user=copier-2 client_address=127.0.0.1 "
                               "sender=scan@office.example recipients=1 bytes=" +
                               std::to_string(stored[0].bytes) + " message_id=<1@office.example>\n";
  EXPECT_NE(log_text().find(log_line), std::string::npos) << log_text();
  const OpenedMessage message = open_message(stored[0].id);
  EXPECT_EQ(message.body, "Hello from the copier.\r\n");
  EXPECT_EQ(message.stored.summary.user_name, user_name);
  EXPECT_EQ(message.stored.sender.reverse_path, "scan@office.example");
  ASSERT_EQ(message.stored.recipients.size(), 1U);
  EXPECT_EQ(message.stored.recipients[0].address, "anna@far.example");
  EXPECT_EQ(client.command("QUIT").substr(0, 9), "221 2.0.0");
  EXPECT_TRUE(client.sees_the_end());
}

TEST_F(AcceptingTest, StoresAMessageOverStarttls) {  // RFC 3207
  start();
  Client& client = dial(Port::starttls);
  EXPECT_TRUE(client.reply().starts_with("220 relay.office.example"));
  const std::string in_clear = client.command("EHLO copier.office.example");
  EXPECT_NE(in_clear.find("STARTTLS"), std::string::npos);
  EXPECT_EQ(in_clear.find("AUTH"), std::string::npos) << "no password in clear (RFC 4954 §4)";
  EXPECT_EQ(client.command("STARTTLS").substr(0, 9), "220 2.0.0");
  client.start_tls();
  const std::string reply = send(log_in(client), make_content());
  EXPECT_TRUE(reply.starts_with("250 2.0.0 queued as ")) << reply;
  ASSERT_EQ(messages_stored(), 1U);
  EXPECT_EQ(open_message(queue()[0].id).body, "Hello from the copier.\r\n");
}

TEST_F(AcceptingTest, AddsTheReceivedFieldAndBothSignatures) {  // RFC 5321 §4.4, RFC 8463
  start([](SubmissionPolicy& changed) {
    changed.dkim_keys = {make_key(crypto::DkimAlgorithm::rsa_sha256, "r1"),
                         make_key(crypto::DkimAlgorithm::ed25519_sha256, "e1")};
  });
  Client& client = log_in(dial(Port::implicit));
  const std::string content = make_content();
  EXPECT_TRUE(send(client, content).starts_with("250"));
  const OpenedMessage message = open_message(queue().at(0).id);
  EXPECT_TRUE(message.header.starts_with("DKIM-Signature:"));
  EXPECT_EQ(count(message.header, "DKIM-Signature:"), 2U);
  EXPECT_NE(message.header.find("a=rsa-sha256"), std::string::npos);
  EXPECT_NE(message.header.find("a=ed25519-sha256"), std::string::npos);
  EXPECT_EQ(count(message.header, "\r\nReceived: from copier.office.example"), 1U)
      << message.header;
  EXPECT_NE(message.header.find("ESMTPSA"), std::string::npos);
  EXPECT_NE(message.header.find(message.stored.summary.id.text()), std::string::npos);
  const std::string own = content.substr(0, content.find("\r\n\r\n") + 4);
  EXPECT_TRUE(message.header.ends_with(own)) << "the client's fields stay as they came";
}

TEST_F(AcceptingTest, KeepsNoOctetOfHeaderOrBodyInClearOnTheDisk) {
  start();
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content("pay-slip-of-anna\r\n")).starts_with("250"));
  EXPECT_TRUE(
      send(client, make_content("pay-slip-of-bert\r\n" + make_lines(400'000))).starts_with("250"));
  EXPECT_EQ(files_in_spool(), 1U);
  std::size_t looked_at = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
    if (!entry.is_regular_file()) continue;
    std::stringstream octets;
    octets << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    const std::string text = octets.str();
    looked_at += text.size();
    EXPECT_EQ(text.find("pay-slip-of"), std::string::npos) << entry.path();
    EXPECT_EQ(text.find("Subject: scan"), std::string::npos) << entry.path();
  }
  EXPECT_GT(looked_at, 400'000U);
}

TEST_F(AcceptingTest, SpoolsABodyTooLargeForARowAndGivesItBackUnchanged) {
  start();
  Client& client = log_in(dial(Port::implicit));
  std::string body = make_lines(3'000'000);
  EXPECT_TRUE(send(client, make_content(body)).starts_with("250"));
  const OpenedMessage message = open_message(queue().at(0).id);
  EXPECT_TRUE(message.stored.content.spooled);
  EXPECT_TRUE(message.body == body);
  EXPECT_EQ(message.stored.summary.bytes, message.header.size() + body.size());
}

TEST_F(AcceptingTest, TakesBodiesOfEverySizeAroundTheRowsLimit) {
  // Of 91 sizes only the last sealed chunk made the body too large for its row; they were refused.
  start();
  Client& client = log_in(dial(Port::implicit));
  constexpr std::size_t first_refused = 4 * crypto::seal_chunk_bytes - 91;
  for (const std::size_t size : {first_refused - 1, first_refused, first_refused + 45,
                                 first_refused + 90, first_refused + 91, first_refused + 92}) {
    const std::string body = make_lines(size);
    const std::string reply = send(client, make_content(body));
    EXPECT_TRUE(reply.starts_with("250")) << size << ": " << reply;
    const auto stored = queue();
    ASSERT_FALSE(stored.empty());
    EXPECT_TRUE(open_message(stored.back().id).body == body) << size;
  }
  EXPECT_EQ(messages_stored(), 6U);
}

TEST_F(AcceptingTest, RemovesTheDotsOfTransparency) {  // RFC 5321 §4.5.2
  start();
  Client& client = log_in(dial(Port::implicit));
  EXPECT_TRUE(send(client, make_content("..\r\n..one\r\n")).starts_with("250"));
  EXPECT_EQ(open_message(queue().at(0).id).body, ".\r\n.one\r\n");
}

TEST_F(AcceptingTest, TakesManyMessagesOfManyClientsAtOnce) {
  start();
  constexpr int clients_count = 8;
  for (int i = 0; i < clients_count; ++i) open_data(log_in(dial(Port::implicit)));
  for (auto& client : clients) client->write(make_content() + ".\r\n");
  for (auto& client : clients) EXPECT_TRUE(client->reply().starts_with("250"));
  EXPECT_EQ(messages_stored(), 8U);
  EXPECT_EQ(queued, clients_count);
}

TEST_F(AcceptingTest, AClientThatVanishesInDataLeavesNothingStored) {  // RFC 5321 §4.1.1.4
  start();
  Client& client = log_in(dial(Port::implicit));
  open_data(client);
  client.write(make_content(make_lines(600'000)));
  ASSERT_TRUE(until([this] { return files_in_spool() == 1; })) << "the body begins to be spooled";
  client.vanish();
  EXPECT_TRUE(until([this] { return files_in_spool() == 0; })) << "its file goes with it";
  EXPECT_TRUE(until([this] { return open_connections() == 0; }));
  EXPECT_EQ(messages_stored(), 0U);
  EXPECT_EQ(queued, 0);
  EXPECT_NE(log_text().find("user=copier-2 reason=\"client-lost: "), std::string::npos)
      << log_text();
}

}  // namespace
}  // namespace postern::submission
