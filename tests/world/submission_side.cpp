// Taking mail: the driver of the real submission sessions; see relay.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"
#include "tests/world/relay.hpp"

namespace postern::world {

bool Relay::accept(const WireHandle& wire) {
  if (store_ == nullptr) return false;
  auto submission = std::make_shared<Submission>(
      Submission{smtp::SubmissionSession({.hostname = "relay.office.example"}), wire, {}, {}});
  submissions_.insert(submission);
  wire->attach(End::server, {[this, submission](std::string_view octets) {
                               if (submission->over) return;
                               submission->input += octets;
                               pump(*submission);
                             },
                             [this, submission] {
                               submission->over = true;
                               submissions_.erase(submission);
                             }});
  submission->session.start();
  pump(*submission);
  return true;
}

void Relay::pump(Submission& submission) {
  while (!submission.over) {
    while (auto action = submission.session.next_action()) {
      perform(submission, *action);
      if (submission.over) return;
    }
    const std::size_t taken = submission.session.receive(as_bytes(submission.input));
    submission.input.erase(0, taken);
    auto action = submission.session.next_action();
    if (action) {
      perform(submission, *action);
    } else if (taken == 0) {
      return;
    }
  }
}

void Relay::perform(Submission& submission, smtp::SubmissionAction& action) {
  auto& session = submission.session;
  const policy::User& user = users_.begin()->second;
  if (auto* reply = std::get_if<smtp::SendReply>(&action)) {
    submission.wire->send(End::server, reply->wire);
  } else if (std::holds_alternative<smtp::StartTls>(action)) {
    session.tls_started();
  } else if (auto* check = std::get_if<smtp::CheckCredential>(&action)) {
    const bool good = check->user_name == user.name && check->password.text() == device_password;
    session.credential_checked({.kind = good ? smtp::CredentialVerdict::Kind::accepted
                                             : smtp::CredentialVerdict::Kind::refused});
  } else if (auto* sender = std::get_if<smtp::CheckSender>(&action)) {
    auto verdict = policy::check_sender(user, sender->sender.reverse_path);
    if (!verdict) verdict = rates_.take_message(user.name, 0, timeline_.monotonic());
    session.sender_checked(verdict);
  } else if (auto* recipient = std::get_if<smtp::CheckRecipient>(&action)) {
    session.recipient_checked(policy::check_recipient(user, recipient->recipient.mailbox));
  } else if (std::holds_alternative<smtp::BeginContent>(action)) {
    submission.content.clear();
    session.content_ready(std::nullopt);
  } else if (auto* append = std::get_if<smtp::AppendContent>(&action)) {
    submission.content += as_text(append->octets);
  } else if (std::holds_alternative<smtp::CommitMessage>(action)) {
    store_message(submission);
  } else if (std::holds_alternative<smtp::DiscardMessage>(action)) {
    submission.content.clear();
  } else if (std::holds_alternative<smtp::Close>(action)) {
    submission.wire->close(End::server);
  }
}

// Its envelope stands in it already.
void Relay::seal(storage::NewMessage& message, std::string_view content, Bytes& spool_octets) {
  const std::size_t header_bytes = content.find("\r\n\r\n") + 4;
  const crypto::QueueKey::MessageKey key =
      key_.make_message_key(message.id, storage::envelope_binding(message));
  message.content.wrapped_key = key.wrapped;
  message.content.sealed_header =
      crypto::seal_small(key.key, as_bytes(content.substr(0, header_bytes)), "header");
  message.content.header_bytes = header_bytes;
  message.content.body_bytes = content.size() - header_bytes;
  crypto::SealWriter writer(key.key);
  Bytes& sealed = message.content.spooled ? spool_octets : message.content.sealed_body;
  writer.write(as_bytes(content.substr(header_bytes)), sealed);
  writer.finish(sealed);
  message.received = message.next_attempt = timeline_.now().wall;
}

void Relay::store_message(Submission& submission) {
  const QueueId id = QueueId::make(timeline_.now().wall, static_cast<std::uint32_t>(++ids_));
  const bool spooled = submission.content.size() > storage::body_in_row_bytes_max;
  Bytes spool_octets;
  storage::NewMessage message;
  message.id = id;
  message.user_name = device_user;
  message.sender = queue::to_stored(submission.session.envelope()->sender);
  message.recipients = queue::to_stored(submission.session.envelope()->recipients);
  message.content.spooled = spooled;
  seal(message, fmt::format("Received: id {}\r\n{}", id.text(), submission.content), spool_octets);
  std::optional<std::uint64_t> token;
  if (spooled) {
    token = ++tokens_;
    const Result<> appended = store_->append_to_spool(*token, spool_octets);
    if (died_meanwhile()) return;
    if (!appended) ledger_.complain("the spool took nothing: " + appended.error().text());
  }
  // The device may hang up meanwhile; its message is stored all the same.
  auto self = *std::ranges::find_if(submissions_,
                                    [&](const auto& open) { return open.get() == &submission; });
  const smtp::Reply taken = smtp::make_reply(250, {2, 0, 0}, "queued as " + id.text());
  if (mistake_ == Mistake::answer_before_commit) submission.session.message_committed(taken);
  change({[this, message, token] { return store_->insert(message, token); },
          [this, message, self, taken](const Result<>& done) {
            if (done) scheduler_->add(storage::summary_of(message), next_hop, timeline_.now());
            if (done) arm();
            if (self->over || mistake_ == Mistake::answer_before_commit) return;
            self->session.message_committed(
                done ? taken : smtp::make_reply(451, {4, 3, 0}, "not stored; try again"));
            pump(*self);
          }});
}

}  // namespace postern::world
