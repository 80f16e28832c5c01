// See the header.
#include "tests/unit/delivery/scripted_upstream.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "crypto/random.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::delivery {
namespace {

TestTls make_test_tls() {
  EXPECT_TRUE(crypto::initialise());
  const testing::TestAuthority authority;
  const auto serve = [&](const testing::TestCertificateOptions& options) {
    const auto certificate = authority.issue("x", options);
    auto context = crypto::TlsServerContext::create(
        {certificate.certificate_pem, certificate.private_key_pem.clone()});
    EXPECT_TRUE(context);
    return context ? *context : nullptr;
  };
  TestTls made;
  made.good = serve(
      {.dns_names = {"upstream.example"}, .address_octets = {std::string("\x7f\x00\x00\x01", 4)}});
  made.wrong_name = serve({.dns_names = {"some-other.example"}});
  auto client = crypto::TlsClientContext::create({authority.root_pem()});
  EXPECT_TRUE(client);
  if (client) made.client = *client;
  return made;
}

std::string polite_answer(const Dialogue& dialogue, std::string_view command) {
  if (command == greeting_moment) return "220 upstream.example ESMTP";
  if (command == final_dot) return "250 2.0.0 taken";
  if (command.starts_with("EHLO")) {
    return std::string("250-upstream.example\r\n") + (dialogue.tls ? "" : "250-STARTTLS\r\n") +
           "250-AUTH PLAIN\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 50000000";
  }
  if (command == "STARTTLS") return "220 2.0.0 go on";
  if (command.starts_with("AUTH")) return "235 2.7.0 welcome";
  if (command == "DATA") return "354 go on";
  if (command == "QUIT") return "221 2.0.0 goodbye";
  return "250 2.1.0 fine";
}

}  // namespace

const TestTls& test_tls() {
  static const TestTls shared = make_test_tls();
  return shared;
}

ScriptedUpstream::ScriptedUpstream(net::Loop& loop,
                                   std::shared_ptr<const crypto::TlsServerContext> context,
                                   smtp::DeliveryTls tls)
    : context_(std::move(context)), tls_(tls) {
  auto listening = net::TcpListener::listen(
      loop, net::address_of("127.0.0.1:0"), false,
      [this](std::unique_ptr<net::Connection> made) { accept(std::move(made)); });
  EXPECT_TRUE(listening) << listening.error().text();
  if (listening) listener_ = std::move(*listening);
}

std::size_t ScriptedUpstream::heard(std::string_view words) const {
  std::size_t count = 0;
  for (const auto& dialogue : dialogues_) {
    count += static_cast<std::size_t>(std::ranges::count_if(
        dialogue->commands, [&](const std::string& line) { return line.starts_with(words); }));
  }
  return count;
}

void ScriptedUpstream::hang_up() {
  script = nullptr;
  listener_.reset();
  for (auto& dialogue : dialogues_) say(*dialogue, hang_up_words);
}

void ScriptedUpstream::accept(std::unique_ptr<net::Connection> connection) {
  dialogues_.push_back(std::make_unique<Dialogue>());
  Dialogue& dialogue = *dialogues_.back();
  dialogue.number = dialogues_.size() - 1;
  dialogue.connection = std::move(connection);
  dialogue.connection->set_events({
      .on_data = [this, &dialogue](ByteView octets) { take(dialogue, as_text(octets)); },
      .on_tls =
          [this, &dialogue](const crypto::TlsFacts&) {
            dialogue.tls = true;
            if (tls_ == smtp::DeliveryTls::implicit) answer(dialogue, std::string(greeting_moment));
          },
      .on_closed = [&dialogue](const std::optional<Error>&) { dialogue.closed = true; },
      .on_drained = nullptr,
  });
  if (tls_ == smtp::DeliveryTls::implicit) dialogue.connection->start_tls_server(context_);
  dialogue.connection->start();
  if (tls_ == smtp::DeliveryTls::starttls) answer(dialogue, std::string(greeting_moment));
}

void ScriptedUpstream::take(Dialogue& dialogue, std::string_view octets) {
  dialogue.unread += octets;
  std::size_t begin = 0;
  while (!dialogue.closed) {
    const std::size_t end = dialogue.unread.find("\r\n", begin);
    if (end == std::string::npos) break;
    take_line(dialogue, dialogue.unread.substr(begin, end - begin));
    begin = end + 2;
  }
  dialogue.unread.erase(0, begin);
}

void ScriptedUpstream::take_line(Dialogue& dialogue, std::string line) {
  if (dialogue.in_content && line != final_dot) {
    dialogue.content += line + "\r\n";
    return;
  }
  if (std::exchange(dialogue.in_content, false)) {
    messages.push_back(std::exchange(dialogue.content, {}));
  } else {
    dialogue.commands.push_back(line);
    if (!dialogue.tls) dialogue.clear_commands.push_back(line);
  }
  answer(dialogue, line);
}

void ScriptedUpstream::answer(Dialogue& dialogue, const std::string& command) {
  const Answer scripted = script ? script(dialogue, command) : Answer(polite);
  const std::string reply = scripted ? *scripted : polite_answer(dialogue, command);
  say(dialogue, reply);
  if (command == "STARTTLS" && reply.starts_with("220")) {
    dialogue.connection->start_tls_server(context_);
  }
  if (command == "DATA" && reply.starts_with("354")) dialogue.in_content = true;
}

void ScriptedUpstream::say(Dialogue& dialogue, std::string_view reply) {
  if (dialogue.closed || reply == silence) return;
  if (reply == hang_up_words) {
    dialogue.closed = true;
    dialogue.connection->close();
    return;
  }
  dialogue.connection->write(as_bytes(std::string(reply) + "\r\n"));
  if (reply.starts_with("221") || reply.starts_with("421")) {
    dialogue.closed = true;
    dialogue.connection->close_after_writing();
  }
}

}  // namespace postern::delivery
