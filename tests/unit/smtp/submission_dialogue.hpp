// A driver for tests: feeds a SubmissionSession octets, answers its questions as told, keeps what
// came out.
//
// Promise: views of content are copied at once, as a driver must; replies are kept in order. Sharp
// edge: with `answer_at_once` off, questions stay open until the test answers them.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "relay/base/encoding.hpp"
#include "relay/smtp/submission_session.hpp"

namespace postern::smtp {

inline const std::string test_password = "correct horse";

inline std::string plain_message(const std::string& user, const std::string& password) {
  const std::string message = '\0' + user + '\0' + password;
  return encode_base64(as_bytes(message));
}

class SubmissionDialogue {
 public:
  explicit SubmissionDialogue(SubmissionSettings settings = {.hostname = "relay.example",
                                                             .implicit_tls = true},
                              std::size_t piece_bytes = 1'000'000)
      : session(std::move(settings)), piece_bytes_(piece_bytes) {
    session.start();
    drain();
  }

  // Sends the octets, in pieces, as long as the session takes them; returns the replies that came.
  std::string send(std::string_view octets) {
    const std::size_t before = replies.size();
    pending_ += octets;
    pump();
    return replies.substr(before);
  }
  // The same with the CRLF put behind it.
  std::string say(const std::string& line) { return send(line + "\r\n"); }
  // After a test answered by hand.
  std::string pump() {
    const std::size_t before = replies.size();
    drain();
    while (!pending_.empty() && !closed) {
      const auto piece = std::string_view(pending_).substr(0, piece_bytes_);
      const std::size_t taken = session.receive(as_bytes(piece));
      pending_.erase(0, taken);
      if (!drain() && taken == 0) break;
    }
    return replies.substr(before);
  }

  void log_in() {
    EXPECT_EQ(say("EHLO client.example").substr(0, 3), "250");
    EXPECT_EQ(say("AUTH PLAIN " + plain_message("scan", test_password)).substr(0, 3), "235");
  }
  void open_content() {
    say("MAIL FROM:<scan@office.example>");
    say("RCPT TO:<anna@far.example>");
    EXPECT_EQ(say("DATA").substr(0, 3), "354");
  }

  [[nodiscard]] const std::string& unsent() const { return pending_; }

  SubmissionSession session;
  std::string replies;
  std::string content;  // of the message that is open or was committed last
  std::vector<std::string>
      events;  // "credential", "sender", "recipient", "begin", "commit", "discard", "tls"
  std::vector<std::string> refused;  // "MAIL 530": the verb and the code
  std::optional<CheckCredential> credential;
  std::vector<Sender> senders;
  std::vector<Recipient> recipients;
  bool closed = false;
  std::string close_reason;

  bool answer_at_once = true;
  BareNewline bare_newline = BareNewline::reject;
  CredentialVerdict::Kind credential_kind_otherwise = CredentialVerdict::Kind::refused;
  PolicyVerdict sender_verdict;
  PolicyVerdict recipient_verdict;
  PolicyVerdict content_verdict;
  Reply commit_reply = make_reply(250, {2, 0, 0}, "queued");

 private:
  bool drain() {
    bool any = false;
    while (auto action = session.next_action()) {
      any = true;
      EXPECT_FALSE(closed) << "an action after Close";
      std::visit([this](auto& wish) { perform(wish); }, *action);
    }
    return any;
  }
  void perform(SendReply& reply) {
    replies += reply.wire;
    if (!reply.refused) return;
    refused.push_back(std::string(reply.refused->verb) + " " +
                      std::to_string(reply.refused->reply.code));
  }
  void perform(StartTls&) {
    events.emplace_back("tls");
    if (answer_at_once) session.tls_started();
  }
  void perform(CheckCredential& check) {
    events.emplace_back("credential");
    credential = std::move(check);
    if (!answer_at_once) return;
    const bool right =
        credential->user_name == "scan" && credential->password.text() == test_password;
    session.credential_checked(
        {.kind = right ? CredentialVerdict::Kind::accepted : credential_kind_otherwise,
         .bare_newline = bare_newline});
  }
  void perform(CheckSender& check) {
    events.emplace_back("sender");
    senders.push_back(std::move(check.sender));
    if (answer_at_once) session.sender_checked(sender_verdict);
  }
  void perform(CheckRecipient& check) {
    events.emplace_back("recipient");
    recipients.push_back(std::move(check.recipient));
    if (answer_at_once) session.recipient_checked(recipient_verdict);
  }
  void perform(BeginContent&) {
    events.emplace_back("begin");
    content.clear();
    if (answer_at_once) session.content_ready(content_verdict);
  }
  void perform(AppendContent& append) {
    EXPECT_FALSE(events.empty());
    content += as_text(append.octets);
  }
  void perform(CommitMessage&) {
    events.emplace_back("commit");
    if (answer_at_once) session.message_committed(commit_reply);
  }
  void perform(DiscardMessage&) {
    events.emplace_back("discard");
    content.clear();
  }
  void perform(Close& close) {
    closed = true;
    close_reason = close.reason;
  }

  std::string pending_;
  std::size_t piece_bytes_;
};

}  // namespace postern::smtp
