// Plays one dialogue: the file's lines are the peer and the driver, the session is the real one.
//
// Promise: a directive nobody knows, a reply nobody read, a line the relay said unasked, a result
// nobody looked at and an unforeseen end of a session are failures, named by file and line; the
// first one ends the dialogue. Sharp edge: a session's questions are answered at once (with yes,
// unless the dialogue said otherwise); only the commit and the TLS handshake wait for their line.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "relay/queue/outcome.hpp"
#include "relay/smtp/delivery_session.hpp"
#include "relay/smtp/submission_session.hpp"
#include "tests/scenario/dialogue_text.hpp"

namespace postern::smtp {

inline std::string_view failure_name(SessionFailed::Kind kind) {
  constexpr std::array<std::string_view, 6> names = {"tls-not-offered", "authentication-refused",
                                                     "protocol-error",  "upstream-refused",
                                                     "timeout",         "lost"};
  return names[std::size_t(kind)];
}

inline const std::string hostname = "relay.office.example";

class DialogueRunner {
 public:
  explicit DialogueRunner(std::string path) : path_(std::move(path)) {}

  void run() {
    std::ifstream file(path_);
    std::string line;
    while (std::getline(file, line)) {
      ++line_number_;
      const std::size_t start = line.find_first_not_of(' ');
      if (start == std::string::npos || line[start] == '#') continue;
      if (!obey(std::string_view(line).substr(start))) return;
    }
    if (!submission_ && !delivery_) {
      wrong("a session", "a file without one");
      return;
    }
    finish();
  }

 private:
  bool wrong(std::string_view expected, std::string_view got) {
    ADD_FAILURE_AT(path_.c_str(), line_number_) << "expected: " << escape(expected) << "\n"
                                                << "got:      " << escape(got);
    return false;
  }
  bool same(std::string_view expected, std::string_view got) {
    return expected == got || wrong(expected, got);
  }

  bool obey(std::string_view line) {
    std::string_view rest = line;
    if (take(rest, "submission")) return begin_submission(rest);
    if (take(rest, "delivery")) return begin_delivery(rest);
    if (take(rest, "tls")) return start_tls();
    if (submission_) return obey_in_submission(line);
    if (delivery_) return obey_in_delivery(line);
    return wrong("\"submission\" or \"delivery\" first", line);
  }

  bool obey_in_submission(std::string_view line) {
    std::string_view rest = line;
    if (take(rest, "client")) return obey_client(rest);
    if (take(rest, "password is right")) return answer_password(CredentialVerdict::Kind::accepted);
    if (take(rest, "password is wrong")) return answer_password(CredentialVerdict::Kind::refused);
    if (take(rest, "sender refused")) return answer_policy(sender_refusal_, rest);
    if (take(rest, "recipient refused")) return answer_policy(recipient_refusal_, rest);
    if (take(rest, "stored")) return answer_commit(make_reply(250, {2, 0, 0}, "queued"));
    if (take(rest, "not stored")) {
      const auto reply = parse_reply(rest);
      return reply ? answer_commit(*reply) : wrong("a reply", rest);
    }
    if (take(rest, "expect message")) return same(unescape(unquote(rest)), content_);
    if (take(rest, "expect login")) return same(rest, login_);
    if (take(rest, "closed because")) {
      if (!closed_) return wrong("closed because " + std::string(rest), "still open");
      end_was_read_ = true;
      return same(rest, close_reason_);
    }
    return wrong("a directive of a submission", line);
  }

  bool obey_in_delivery(std::string_view line) {
    std::string_view rest = line;
    if (take(rest, "relay -> upstream")) {
      if (output_.empty()) return wrong(rest, "the relay says nothing");
      return same(rest, take_line(output_));
    }
    if (take(rest, "upstream ->")) return say_as_upstream(std::string(rest) + "\r\n");
    if (take(rest, "upstream raw")) return say_as_upstream(unescape(rest));
    if (take(rest, "message")) {
      message_ = unescape(unquote(rest));
      return true;
    }
    if (take(rest, "transaction from")) return begin_transaction(rest);
    if (take(rest, "outcome")) return check_outcome(rest);
    if (take(rest, "connection lost")) {
      delivery_->connection_lost("reset by peer");
      drain_delivery();
      return true;
    }
    if (take(rest, "session failed")) {
      if (!failure_) return wrong("session failed " + std::string(rest), "no failure");
      end_was_read_ = true;
      return same(rest, failure_name(failure_->kind));
    }
    return wrong("a directive of a delivery", line);
  }

  // --- Submission: the relay is the server.

  bool begin_submission(std::string_view rest) {
    if (!finish()) return false;
    SubmissionSettings settings{.hostname = hostname};
    settings.implicit_tls = take(rest, "implicit");
    if (!settings.implicit_tls && !take(rest, "starttls")) return wrong("starttls|implicit", rest);
    if (take(rest, "recipients")) settings.recipients_max = take_number(rest);
    if (take(rest, "bytes")) settings.message_bytes_max = take_number(rest);
    if (!rest.empty()) return wrong("recipients <n> bytes <n>", rest);
    submission_.emplace(std::move(settings));
    submission_->start();
    pump();
    return true;
  }

  bool obey_client(std::string_view rest) {
    const std::string name = take_word(rest);
    if (client_name_.empty()) client_name_ = name;
    if (name != client_name_) return wrong("client " + client_name_, "client " + name);
    if (take(rest, "<-")) return read_reply(rest);
    if (take(rest, "is offered")) return is_offered(rest) || wrong(rest, last_reply_);
    if (take(rest, "is not offered")) {
      return !is_offered(rest) || wrong("no " + std::string(rest), last_reply_);
    }
    const bool raw = take(rest, "raw");
    if (!raw && !take(rest, "->")) return wrong("-> or <- or raw or is [not] offered", rest);
    if (closed_) return wrong("an open session", "closed because " + close_reason_);
    input_ += raw ? unescape(rest) : std::string(rest) + "\r\n";
    pump();
    return true;
  }

  bool read_reply(std::string_view expected) {
    if (replies_.empty()) return wrong(expected, "no reply");
    last_reply_.clear();
    std::string line;
    do {
      line = take_line(replies_);
      last_reply_ += line + "\r\n";
    } while (line.size() > 3 && line[3] == '-');
    return last_reply_.starts_with(expected) || wrong(expected, last_reply_);
  }

  // Whether the last reply, an answer to EHLO, has a line with this extension.
  [[nodiscard]] bool is_offered(std::string_view extension) const {
    const std::string text(extension);
    return last_reply_.contains("-" + text + "\r\n") || last_reply_.contains(" " + text + "\r\n");
  }

  bool answer_password(CredentialVerdict::Kind kind) {
    password_verdict_ = kind;
    return true;
  }
  bool answer_policy(PolicyVerdict& verdict, std::string_view text) {
    verdict = parse_reply(text);
    return verdict.has_value() || wrong("a reply", text);
  }
  bool answer_commit(Reply reply) {
    if (!commit_waits_) return wrong("a message to store", "none came");
    commit_waits_ = false;
    submission_->message_committed(std::move(reply));
    pump();
    return true;
  }

  void pump() {
    while (auto action = submission_->next_action()) {
      std::visit([this](auto& wish) { perform(wish); }, *action);
    }
    while (!input_.empty() && !closed_) {
      const std::size_t taken = submission_->receive(as_bytes(input_));
      input_.erase(0, taken);
      bool any = false;
      while (auto action = submission_->next_action()) {
        any = true;
        std::visit([this](auto& wish) { perform(wish); }, *action);
      }
      if (!any && taken == 0) break;
    }
    if (closed_) input_.clear();  // what a closed session does not read is lost with the connection
  }
  void perform(SendReply& reply) { replies_ += reply.wire; }
  void perform(StartTls&) { handshake_waits_ = true; }
  void perform(CheckCredential& check) {
    login_ = check.user_name + " " + std::string(check.password.text());
    const auto accepted = CredentialVerdict::Kind::accepted;
    submission_->credential_checked(
        {.kind = std::exchange(password_verdict_, std::nullopt).value_or(accepted)});
  }
  void perform(CheckSender&) {
    submission_->sender_checked(std::exchange(sender_refusal_, std::nullopt));
  }
  void perform(CheckRecipient&) {
    submission_->recipient_checked(std::exchange(recipient_refusal_, std::nullopt));
  }
  void perform(BeginContent&) {
    content_.clear();
    submission_->content_ready(std::nullopt);
  }
  void perform(AppendContent& append) { content_ += as_text(append.octets); }
  void perform(CommitMessage&) { commit_waits_ = true; }
  void perform(DiscardMessage&) { content_.clear(); }
  void perform(Close& close) {
    closed_ = true;
    close_reason_ = close.reason;
  }

  // --- Delivery: the relay is the client.

  bool begin_delivery(std::string_view rest) {
    if (!finish()) return false;
    const bool implicit = take(rest, "implicit");
    if (!implicit && !take(rest, "starttls")) return wrong("starttls|implicit", rest);
    const std::string user = take_word(rest);
    delivery_.emplace(DeliverySettings{
        hostname, implicit ? DeliveryTls::implicit : DeliveryTls::starttls, user, Secret(rest)});
    delivery_->connected();
    drain_delivery();
    return true;
  }

  bool say_as_upstream(const std::string& octets) {
    if (failure_) return wrong("an open session", failure_->detail);
    // An answer to what the dialogue has not read would hide a line said unasked.
    if (!output_.empty()) return wrong("all lines of the relay read", output_);
    delivery_->receive(as_bytes(octets));
    drain_delivery();
    return true;
  }

  bool begin_transaction(std::string_view rest) {
    if (!ready_) return wrong("a session ready for a transaction", delivery_->state_name());
    if (!outcomes_.empty()) return wrong("every outcome read", outcomes_.begin()->first);
    ready_ = false;
    Envelope envelope;
    envelope.sender.reverse_path.mailbox = parse_mailbox(take_word(rest), false);
    if (!take(rest, "to")) return wrong("to", rest);
    recipients_.clear();
    while (!rest.empty()) {
      std::string address = take_word(rest);
      if (address.ends_with(',')) address.pop_back();
      const auto mailbox = parse_mailbox(address, false);
      if (!mailbox) return wrong("an address", address);
      envelope.recipients.push_back(
          {.mailbox = *mailbox, .notify = {}, .original_recipient = std::nullopt});
      recipients_.push_back(address);
    }
    delivery_->begin(std::move(envelope), message_.size());
    drain_delivery();
    return true;
  }

  bool check_outcome(std::string_view rest) {
    const auto found = outcomes_.find(take_word(rest));
    if (found == outcomes_.end()) return wrong(rest, "no outcome yet");
    const queue::Outcome outcome = found->second;
    outcomes_.erase(found);
    constexpr std::array<std::string_view, 3> kinds = {"relayed", "delayed", "failed"};
    const std::string kind(kinds[std::size_t(outcome.kind)]);
    if (rest == kind) return true;
    return same(rest, kind + " " + outcome.status);
  }

  void drain_delivery() {
    while (auto action = delivery_->next_action()) {
      std::visit([this](auto& wish) { perform(wish); }, *action);
    }
  }
  void perform(SendBytes& bytes) { output_ += bytes.octets; }
  void perform(StartTlsHandshake&) { handshake_waits_ = true; }
  void perform(ReadyForTransaction&) { ready_ = true; }
  void perform(SendContent&) {
    delivery_->send_content(as_bytes(message_));
    delivery_->end_content();
  }
  void perform(TransactionDone& done) {
    for (std::size_t i = 0; i < done.results.size(); ++i) {
      outcomes_[recipients_[i]] = queue::decide_outcome(done.results[i]);
    }
  }
  void perform(SessionFailed& failed) {
    ready_ = false;
    failure_ = std::move(failed);
  }
  void perform(CloseConnection&) { closed_ = end_was_read_ = true; }

  // --- Both.

  bool start_tls() {
    if (!handshake_waits_) return wrong("a handshake asked for", "none");
    handshake_waits_ = false;
    if (submission_) {
      submission_->tls_started();
      pump();
    } else {
      delivery_->tls_started();
      drain_delivery();
    }
    return true;
  }

  // Ends the session that runs: nothing may be left over.
  bool finish() {
    if (!submission_ && !delivery_) return true;
    if (!replies_.empty()) return wrong("every reply read", replies_);
    if (!output_.empty()) return wrong("every line of the relay read", output_);
    if (!input_.empty()) return wrong("all input consumed", input_);
    if (commit_waits_) return wrong("\"stored\" or \"not stored\"", "a commit without answer");
    if (password_verdict_ || sender_refusal_ || recipient_refusal_) {
      return wrong("every given answer asked for", "one was never needed");
    }
    if (handshake_waits_) return wrong("\"tls\"", "a handshake that was never done");
    if (!outcomes_.empty()) return wrong("every outcome read", outcomes_.begin()->first);
    if (closed_ && !end_was_read_) return wrong("\"closed because\"", close_reason_);
    if (failure_ && !end_was_read_) return wrong("\"session failed\"", failure_->detail);
    const int line_number = line_number_;
    *this = DialogueRunner(path_);
    line_number_ = line_number;
    return true;
  }

  std::string path_;
  int line_number_ = 0;
  std::optional<SubmissionSession> submission_;
  std::optional<DeliverySession> delivery_;
  bool handshake_waits_ = false;
  bool closed_ = false;
  bool end_was_read_ = false;
  // Submission
  std::string client_name_, input_, replies_, last_reply_, content_, login_, close_reason_;
  bool commit_waits_ = false;
  std::optional<CredentialVerdict::Kind> password_verdict_;
  PolicyVerdict sender_refusal_, recipient_refusal_;
  // Delivery
  std::string output_;
  std::string message_ = "Subject: scan\r\n\r\nHello\r\n";
  std::vector<std::string> recipients_;
  std::map<std::string, queue::Outcome> outcomes_;
  std::optional<SessionFailed> failure_;
  bool ready_ = false;
};

}  // namespace postern::smtp
