// What the driver does for each wish of the session: a reply on the wire, a handshake, a question
// to the gatekeeper, content to the intake.
#include <utility>
#include <variant>

#include "relay/base/secret.hpp"
#include "relay/submission/submission_driver.hpp"

namespace postern::submission {
namespace {

smtp::Reply too_busy() {
  return smtp::make_reply(451, {4, 3, 2}, "the relay is too busy; try again later");
}

}  // namespace

void SubmissionDriver::perform(smtp::SubmissionAction action) {
  std::visit([this](auto&& wish) { perform(std::forward<decltype(wish)>(wish)); },
             std::move(action));
}

void SubmissionDriver::perform(smtp::SendReply action) {
  if (action.refused) log_refusal(*action.refused);
  connection_->write(as_bytes(action.wire));
}

std::string_view SubmissionDriver::user_name() const {
  return session_.user() != nullptr ? std::string_view(session_.user()->name()) : "";
}

void SubmissionDriver::log_refusal(const smtp::RefusedCommand& refused) {
  if (++refusals_ > refusals_logged_max + 1) return;
  const std::string address = connection_->peer().address.text();
  if (refusals_ > refusals_logged_max) {
    services_.log.event(LogLevel::notice, "more-refusals-not-shown")
        .field("client_address", address)
        .field("user", user_name());
    return;
  }
  services_.log.event(LogLevel::notice, "command-refused")
      .field("client_address", address)
      .field("user", user_name())
      .field("command", refused.verb)
      .field("code", refused.reply.code)
      .field("status", refused.reply.enhanced ? refused.reply.enhanced->text() : "")
      .field("reason", refused.reply.lines.front());
}

// RFC 3207 §4.2: what came in clear is thrown away, here and in the connection.
void SubmissionDriver::perform(smtp::StartTls) {
  drop_front_wiping(input_, input_.size());
  input_taken_ = 0;
  tls_running_ = true;
  connection_->start_tls_server(policy_->tls);
}

void SubmissionDriver::perform(smtp::CheckCredential action) {
  const std::string user_name = action.user_name;
  auto answered = when_alive<CredentialAnswer>([this, user_name](CredentialAnswer answer) {
    // A user that a reload added after this connection began: it is not in our snapshot.
    if (answer.verdict.kind == smtp::CredentialVerdict::Kind::accepted &&
        !policy_->users.contains(user_name)) {
      answer = {{.kind = smtp::CredentialVerdict::Kind::unavailable}, Duration(0)};
    }
    const bool accepted = answer.verdict.kind == smtp::CredentialVerdict::Kind::accepted;
    if (accepted) {
      services_.log.event(LogLevel::info, "login-accepted")
          .field("client_address", connection_->peer().address.text())
          .field("user", user_name);
    }
    if (answer.hold_back > Duration(0)) {
      hold_back_timer_.start(answer.hold_back, [this, verdict = answer.verdict] {
        session_.credential_checked(verdict);
        pump();
      });
      return;
    }
    session_.credential_checked(answer.verdict);
  });
  if (!gatekeeper_.ask_credential(loop_,
                                  {connection_->peer().address, std::move(action.user_name),
                                   std::move(action.password), connection_->local().address},
                                  std::move(answered))) {
    session_.credential_checked({.kind = smtp::CredentialVerdict::Kind::unavailable});
  }
}

std::optional<smtp::Reply> SubmissionDriver::storage_refusal(std::uint64_t declared_bytes) const {
  const std::uint64_t room = services_.storage.room_bytes();
  if (room == 0 || room < declared_bytes) {
    return smtp::make_reply(452, {4, 3, 1}, "the relay's storage is full; try again later");
  }
  if (services_.storage.queued_bytes() + declared_bytes > policy_->queue_bytes_max) {
    return smtp::make_reply(452, {4, 3, 1}, "the relay's queue is full; try again later");
  }
  return std::nullopt;
}

void SubmissionDriver::perform(const smtp::CheckSender& action) {
  const auto user = policy_->users.find(session_.user()->name());
  const std::uint64_t declared_bytes = action.sender.declared_bytes.value_or(0);
  auto refusal = policy::check_sender(user->second, action.sender.reverse_path);
  if (!refusal) refusal = storage_refusal(declared_bytes);
  if (refusal) {
    session_.sender_checked(std::move(refusal));
    return;
  }
  if (!gatekeeper_.ask_message(
          loop_, user->first, policy_, declared_bytes,
          when_alive<std::optional<smtp::Reply>>([this](std::optional<smtp::Reply> reply) {
            session_.sender_checked(std::move(reply));
          }))) {
    session_.sender_checked(too_busy());
  }
}

void SubmissionDriver::perform(const smtp::CheckRecipient& action) {
  const auto user = policy_->users.find(session_.user()->name());
  if (auto refusal = policy::check_recipient(user->second, action.recipient.mailbox)) {
    session_.recipient_checked(std::move(refusal));
    return;
  }
  if (!gatekeeper_.ask_recipient(
          loop_, user->first,
          when_alive<std::optional<smtp::Reply>>([this](std::optional<smtp::Reply> reply) {
            session_.recipient_checked(std::move(reply));
          }))) {
    session_.recipient_checked(too_busy());
  }
}

void SubmissionDriver::perform(smtp::BeginContent) {
  const auto& tls = connection_->tls_facts();
  IntakeFacts facts{
      .user_name = session_.user()->name(),
      .client_name = session_.client_name(),
      .client_address = connection_->peer().address.text(),
      .tls_version = tls ? tls->version : "",
      .tls_cipher = tls ? tls->cipher : "",
  };
  intake_ = std::make_unique<MessageIntake>(
      loop_, services_, policy_, std::move(facts), *session_.envelope(),
      MessageIntake::Events{.refuse =
                                [this](smtp::Reply reply) {
                                  session_.refuse_content(std::move(reply));
                                  pump();
                                },
                            .window_open = [this] { pump(); }});
  session_.content_ready(std::nullopt);
}

void SubmissionDriver::perform(smtp::AppendContent action) { intake_->append(action.octets); }

void SubmissionDriver::perform(smtp::CommitMessage) {
  // Again, with the true size: SIZE may have been left out, and other sessions filled the queue
  // meanwhile.
  if (auto refusal = storage_refusal(intake_->bytes())) {
    intake_.reset();
    session_.message_committed(*refusal);
    return;
  }
  auto committed = [this](smtp::Reply reply) {
    intake_.reset();
    session_.message_committed(reply);
    pump();
  };
  auto charged = when_alive<std::optional<smtp::Reply>>(
      [this, committed = std::move(committed)](std::optional<smtp::Reply> refusal) mutable {
        if (!intake_) return;
        if (refusal) {
          committed(std::move(*refusal));
        } else {
          intake_->finish(std::move(committed));
        }
      });
  if (!gatekeeper_.ask_bytes(loop_, session_.user()->name(), intake_->bytes(),
                             std::move(charged))) {
    intake_.reset();
    session_.message_committed(too_busy());
  }
}

void SubmissionDriver::perform(smtp::DiscardMessage) { intake_.reset(); }

void SubmissionDriver::perform(smtp::Close action) {
  end_reason_ = std::move(action.reason);
  orderly_ = end_reason_ == "quit" || end_reason_ == "shutdown";
  closing_ = true;
  connection_->close_after_writing();
}

}  // namespace postern::submission
