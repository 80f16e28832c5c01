// A small upstream for tests of DeliverySession: feeds lines, collects actions, walks to any state.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "relay/smtp/delivery_session.hpp"
#include "relay/smtp/delivery_states.hpp"

namespace postern::smtp {

struct UpstreamOptions {
  DeliveryTls tls = DeliveryTls::implicit;
  std::string user_name;
  std::string capabilities = "250 8BITMIME\r\n";  // the lines after the first
};

class DeliveryDialogue {
 public:
  explicit DeliveryDialogue(const UpstreamOptions& options = {})
      : session(DeliverySettings{"relay.office.example", options.tls, options.user_name,
                                 Secret(std::string_view("pass word"))}),
        options_(options) {}

  // Feeds octets and returns what the session sent because of them.
  std::string say(std::string_view octets) {
    session.receive(as_bytes(octets));
    return drain();
  }

  std::string drain() {
    std::string sent;
    while (auto action = session.next_action()) {
      if (auto* bytes = std::get_if<SendBytes>(&*action)) {
        sent += bytes->octets;
        confidential = confidential || bytes->confidential;
      }
      if (std::holds_alternative<StartTlsHandshake>(*action)) ++handshakes;
      if (std::holds_alternative<ReadyForTransaction>(*action)) ++ready;
      if (std::holds_alternative<SendContent>(*action)) ++content_wanted;
      if (std::holds_alternative<CloseConnection>(*action)) ++closes;
      if (auto* done = std::get_if<TransactionDone>(&*action)) {
        EXPECT_FALSE(failure) << "nothing follows SessionFailed";
        results = std::move(done->results);
        ++transactions;
      }
      if (auto* failed = std::get_if<SessionFailed>(&*action)) {
        EXPECT_FALSE(failure) << "one SessionFailed at most";
        failure = std::move(*failed);
      }
    }
    return sent;
  }

  std::string greet() {
    session.connected();
    say("220 upstream.example ESMTP\r\n");
    return say("250-upstream.example\r\n" + options_.capabilities);
  }

  std::string begin(std::size_t recipients = 2) { return begin_with(envelope(recipients)); }
  std::string begin_with(Envelope given, std::uint64_t content_bytes = 1000) {
    session.begin(std::move(given), content_bytes);
    return drain();
  }

  static Envelope envelope(std::size_t recipients) {
    Envelope envelope;
    envelope.sender.reverse_path.mailbox = Mailbox{"scan", "office.example"};
    for (std::size_t i = 0; i < recipients; ++i) {
      envelope.recipients.push_back({.mailbox = {"r" + std::to_string(i), "far.example"},
                                     .notify = {},
                                     .original_recipient = {}});
    }
    return envelope;
  }

  std::string send_message(std::string_view content = "Subject: x\r\n\r\n.hidden\r\n") {
    session.send_content(as_bytes(content));
    session.end_content();
    return drain();
  }

  DeliverySession session;
  std::vector<RecipientResult> results;
  std::optional<SessionFailed> failure;
  int handshakes = 0;
  int ready = 0;
  int content_wanted = 0;
  int closes = 0;
  int transactions = 0;
  bool confidential = false;

 private:
  UpstreamOptions options_;
};

}  // namespace postern::smtp
