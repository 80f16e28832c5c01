// An upstream inside the test program: SMTP over TLS on 127.0.0.1, polite unless a script says
// otherwise, and a record of everything it was told.
//
//   upstream.script = [](const Dialogue&, std::string_view command) -> Answer {
//     if (command.starts_with("RCPT")) return "451 4.7.1 come back later";
//     return polite;
//   };
//
// Sharp edge: it lives on the test's loop, so it answers only while the test lets that loop turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/net/connection.hpp"
#include "relay/smtp/delivery_session.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::delivery {

// What all tests of the program share, made once: an authority and the contexts of both sides.
struct TestTls {
  std::shared_ptr<const crypto::TlsServerContext> good;        // 127.0.0.1 and upstream.example
  std::shared_ptr<const crypto::TlsServerContext> wrong_name;  // some-other.example alone
  std::shared_ptr<const crypto::TlsClientContext> client;
};
[[nodiscard]] const TestTls& test_tls();

// One connection as the upstream saw it.
struct Dialogue {
  std::size_t number = 0;  // of the connection, the first is 0
  std::unique_ptr<net::Connection> connection;
  std::vector<std::string> commands;        // all of them, without their line ends
  std::vector<std::string> clear_commands;  // those that came before TLS
  std::string content;                      // of the message that is being sent
  std::string unread;
  bool tls = false;
  bool in_content = false;
  bool closed = false;
};

// Nothing: the polite answer. An empty text: silence.
using Answer = std::optional<std::string>;
inline constexpr std::nullopt_t polite = std::nullopt;
inline constexpr std::string_view silence = "";
inline constexpr std::string_view hang_up_words = "(hangs up)";
// What a script is asked besides commands.
inline constexpr std::string_view greeting_moment = "(greeting)";
inline constexpr std::string_view final_dot = ".";

class ScriptedUpstream {
 public:
  using Script = std::function<Answer(const Dialogue&, std::string_view command)>;
  explicit ScriptedUpstream(
      net::Loop& loop, std::shared_ptr<const crypto::TlsServerContext> context = test_tls().good,
      smtp::DeliveryTls tls = smtp::DeliveryTls::starttls);

  Script script;
  std::vector<std::string> messages;  // as they came (dots still stuffed), without the final dot

  [[nodiscard]] std::uint16_t port() const { return listener_->address().port; }
  [[nodiscard]] smtp::DeliveryTls tls() const { return tls_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Dialogue>>& dialogues() const {
    return dialogues_;
  }
  // How many commands of all connections begin with `words`.
  [[nodiscard]] std::size_t heard(std::string_view words) const;
  // What silence kept back.
  void say(std::size_t dialogue, std::string_view reply) { say(*dialogues_.at(dialogue), reply); }
  // Ends all connections, takes no new one and forgets the script.
  void hang_up();

 private:
  void accept(std::unique_ptr<net::Connection> connection);
  void take(Dialogue& dialogue, std::string_view octets);
  void take_line(Dialogue& dialogue, std::string line);
  void answer(Dialogue& dialogue, const std::string& command);
  void say(Dialogue& dialogue, std::string_view reply);

  std::shared_ptr<const crypto::TlsServerContext> context_;
  smtp::DeliveryTls tls_;
  std::unique_ptr<net::TcpListener> listener_;
  std::vector<std::unique_ptr<Dialogue>> dialogues_;
};

}  // namespace postern::delivery
