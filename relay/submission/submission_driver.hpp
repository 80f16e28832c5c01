// The driver of one client's connection: joins the SMTP session with TLS, the gatekeeper, policy
// and the queue.
//
// Promise: the session sees no octet while a question of its is open, and the client's socket is
// paused when it sends more than we take; every wait has an end (idle_timeout, session_timeout,
// authentication_timeout, answer_timeout, and a floor on the rate at which content may drip). Late
// answers check that this connection still lives. Sharp edge: everything runs on the worker's loop;
// `ended` may destroy the driver, so it is always the last thing a function does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "relay/base/callback.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/loop.hpp"
#include "relay/smtp/submission_session.hpp"
#include "relay/submission/gatekeeper.hpp"
#include "relay/submission/message_intake.hpp"
#include "relay/submission/submission_policy.hpp"

namespace postern::submission {

// Our own parts must answer within this; a session stuck on us is told 421 and may come back.
inline constexpr Duration answer_timeout = std::chrono::minutes(2);
// RFC 5321 §4.5.3.2 gives clients minutes; a slow-loris client gets them only while it really
// sends: in each idle_timeout of content at least this many octets must come.
inline constexpr std::uint64_t content_bytes_per_timeout_min = 4'096;
// Replies a client does not read; beyond it we stop taking commands.
inline constexpr std::size_t unread_replies_bytes_max = 65'536;
// Refusals of one connection that the log tells one by one: a client that is refused on and on must
// not fill the disk with it.
inline constexpr std::uint64_t refusals_logged_max = 20;

class SubmissionDriver {
 public:
  SubmissionDriver(net::Loop& loop, SubmissionServices& services, Gatekeeper& gatekeeper,
                   PolicySnapshot policy, std::unique_ptr<net::Connection> connection,
                   bool implicit_tls, Callback<> ended);
  ~SubmissionDriver();
  SubmissionDriver(const SubmissionDriver&) = delete;
  SubmissionDriver& operator=(const SubmissionDriver&) = delete;

  void start();
  // A shutdown began: leave at once when nothing is in flight, else when the transaction has ended.
  void finish_soon();

 private:
  void received(ByteView octets);
  void pump();
  void perform(smtp::SubmissionAction action);
  void perform(smtp::SendReply action);
  void perform(smtp::StartTls action);
  void perform(smtp::CheckCredential action);
  void perform(const smtp::CheckSender& action);
  void perform(const smtp::CheckRecipient& action);
  void perform(smtp::BeginContent action);
  void perform(smtp::AppendContent action);
  void perform(smtp::CommitMessage action);
  void perform(smtp::DiscardMessage action);
  void perform(smtp::Close action);
  [[nodiscard]] std::optional<smtp::Reply> storage_refusal(std::uint64_t declared_bytes) const;
  void tls_done(const crypto::TlsFacts& facts);
  void connection_closed(const std::optional<Error>& error);
  void log_refusal(const smtp::RefusedCommand& refused);
  [[nodiscard]] bool client_must_speak() const;
  // When this connection ends unless the client has sent all it wants or, before AUTH, said who it
  // is.
  [[nodiscard]] MonotonicTime patience_end() const;
  void arm_timer();
  void timer_fired();
  void end_because(std::string reason);
  void recognise_wrong_port(ByteView first_octets);
  void end();
  void log_end();
  [[nodiscard]] std::string_view user_name() const;  // empty before AUTH
  // Wraps an answer so that it does nothing when this driver is gone, and pumps afterwards.
  template <class Value, class Then>
  [[nodiscard]] Callback<Value> when_alive(Then then) {
    return [this, alive = alive_, then = std::move(then)](Value value) mutable {
      if (!*alive) return;
      then(std::move(value));
      if (*alive) pump();  // `then` may have ended this driver
    };
  }

  net::Loop& loop_;
  SubmissionServices& services_;
  Gatekeeper& gatekeeper_;
  PolicySnapshot policy_;
  std::unique_ptr<net::Connection> connection_;
  const bool implicit_tls_;
  Callback<> ended_;
  smtp::SubmissionSession session_;
  std::unique_ptr<MessageIntake> intake_;
  Bytes input_;  // received and not yet taken by the session
  std::size_t input_taken_ = 0;
  std::uint64_t content_bytes_ = 0;  // since the timer was armed last
  bool content_open_ = false;
  bool tls_running_ = false;
  bool pumping_ = false;
  bool paused_ = false;
  bool first_octets_ = true;
  bool finish_soon_ = false;
  bool closing_ = false;
  std::string end_reason_;  // for the log
  bool orderly_ = false;    // nobody needs to look why it ended
  std::uint64_t refusals_ = 0;
  MonotonicTime session_end_;
  MonotonicTime authentication_end_;
  net::Timer timer_;
  net::Timer hold_back_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::submission
