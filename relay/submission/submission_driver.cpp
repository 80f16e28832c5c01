// The driver's pump, its timers and its end. What it does for each of the session's wishes stands
// in submission_actions.cpp.
#include "relay/submission/submission_driver.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "crypto/tls.hpp"
#include "relay/base/secret.hpp"

namespace postern::submission {
namespace {

smtp::SubmissionSettings session_settings(const SubmissionPolicy& policy, bool implicit_tls) {
  smtp::SubmissionSettings settings;
  settings.hostname = policy.hostname;
  settings.message_bytes_max = policy.message_bytes_max;
  settings.recipients_max = policy.recipients_max;
  settings.idle_timeout = policy.idle_timeout;
  settings.implicit_tls = implicit_tls;
  return settings;
}

}  // namespace

SubmissionDriver::SubmissionDriver(net::Loop& loop, SubmissionServices& services,
                                   Gatekeeper& gatekeeper, PolicySnapshot policy,
                                   std::unique_ptr<net::Connection> connection, bool implicit_tls,
                                   Callback<> ended)
    : loop_(loop),
      services_(services),
      gatekeeper_(gatekeeper),
      policy_(std::move(policy)),
      connection_(std::move(connection)),
      implicit_tls_(implicit_tls),
      ended_(std::move(ended)),
      session_(session_settings(*policy_, implicit_tls)),
      session_end_(read_clocks().monotonic + policy_->session_timeout),
      authentication_end_(read_clocks().monotonic + policy_->authentication_timeout),
      timer_(loop),
      hold_back_timer_(loop) {}

SubmissionDriver::~SubmissionDriver() {
  wipe(input_);
  *alive_ = false;
}

void SubmissionDriver::start() {
  connection_->set_events({
      .on_data = [this](ByteView octets) { received(octets); },
      .on_tls = [this](const crypto::TlsFacts& facts) { tls_done(facts); },
      .on_closed = [this](const std::optional<Error>& error) { connection_closed(error); },
      .on_drained = [this] { pump(); },
  });
  if (implicit_tls_) {
    tls_running_ = true;
    connection_->start_tls_server(policy_->tls);
  } else {
    session_.start();
  }
  connection_->start();
  pump();
}

void SubmissionDriver::tls_done(const crypto::TlsFacts& facts) {
  tls_running_ = false;
  services_.log.event(LogLevel::debug, "tls-started")
      .field("client_address", connection_->peer().address.text())
      .field("tls", facts.version)
      .field("cipher", facts.cipher)
      .field("resumed", facts.resumed);
  if (implicit_tls_) {
    session_.start();
  } else {
    session_.tls_started();
  }
  pump();
}

void SubmissionDriver::received(ByteView octets) {
  if (closing_) return;
  if (std::exchange(first_octets_, false)) recognise_wrong_port(octets);
  if (content_open_) content_bytes_ += octets.size();
  append_wiping(input_, octets);
  pump();
}

// RFC 8314 §3: the two ports are often mixed up; the log then names the setting to change at the
// device. (Plain text on the implicit-TLS port ends in the TLS engine, whose error says the same.)
void SubmissionDriver::recognise_wrong_port(ByteView first_octets) {
  if (implicit_tls_ || !crypto::looks_like_client_hello(first_octets)) return;
  services_.log.event(LogLevel::warning, "tls-on-starttls-port")
      .field("client_address", connection_->peer().address.text())
      .field(
          "advice",
          "the device speaks TLS at once where the listener wants STARTTLS: set it to STARTTLS, or "
          "to the port of a listener with tls = \"implicit\"");
}

// Lets the session work until it waits for somebody: the client, us, or the client's reading of our
// replies.
void SubmissionDriver::pump() {
  if (pumping_ || closing_) return;
  pumping_ = true;
  while (!closing_) {
    if (auto action = session_.next_action()) {
      perform(std::move(*action));
      continue;
    }
    const bool held = tls_running_ || connection_->pending_bytes() > unread_replies_bytes_max ||
                      (intake_ && intake_->window_full());
    if (held || input_taken_ == input_.size()) break;
    const std::size_t taken = session_.receive(ByteView(input_).subspan(input_taken_));
    input_taken_ += taken;
    if (taken == 0) {
      auto action = session_.next_action();
      if (!action) break;  // an answer of ours is awaited
      perform(std::move(*action));
    }
  }
  pumping_ = false;
  if (closing_) {
    end();
    return;
  }
  drop_front_wiping(input_, std::exchange(input_taken_, 0));  // it may hold a password
  // What is left waits for an answer: hold the client back by its own socket.
  const bool pause = !input_.empty() && !tls_running_;
  if (pause != paused_) {
    paused_ = pause;
    pause ? connection_->pause() : connection_->resume();
  }
  if (finish_soon_ && session_.idle_between_transactions()) {
    session_.close_with(smtp::make_reply(421, {4, 3, 2}, policy_->hostname + " is shutting down"),
                        "shutdown");
    finish_soon_ = false;
    pump();
    return;
  }
  arm_timer();
}

void SubmissionDriver::arm_timer() {
  const MonotonicTime now = read_clocks().monotonic;
  Duration wait =
      tls_running_ ? policy_->tls_handshake_timeout : session_.timeout().value_or(answer_timeout);
  // Never while we work: a commit that is cut off may still be durable, and would be sent again.
  if (client_must_speak()) wait = std::min(wait, std::max(Duration(0), patience_end() - now));
  // While content streams the timer is a floor on the rate: it is not pushed back by every octet.
  const bool was_open = content_open_;
  content_open_ = intake_ != nullptr && session_.timeout().has_value();
  if (content_open_ && was_open) return;
  content_bytes_ = 0;
  timer_.start(wait, [this] { timer_fired(); });
}

bool SubmissionDriver::client_must_speak() const {
  return tls_running_ || session_.timeout().has_value();
}

MonotonicTime SubmissionDriver::patience_end() const {
  return session_.user() != nullptr ? session_end_ : std::min(session_end_, authentication_end_);
}

void SubmissionDriver::timer_fired() {
  const bool held_by_us = intake_ && intake_->window_full();
  const MonotonicTime now = read_clocks().monotonic;
  const bool patience_over = client_must_speak() && now >= patience_end();
  if (content_open_ && (held_by_us || content_bytes_ >= content_bytes_per_timeout_min) &&
      !patience_over) {
    content_open_ = false;
    arm_timer();
    return;
  }
  if (tls_running_) return end_because("tls-handshake-timeout");
  if (!client_must_speak()) {
    session_.close_with(
        smtp::make_reply(421, {4, 3, 0}, policy_->hostname + " could not answer in time"),
        "own-answer-timeout");
  } else if (patience_over && now < session_end_) {
    session_.close_with(
        smtp::make_reply(421, {4, 7, 0}, policy_->hostname + " waited too long for your AUTH"),
        "authentication-timeout");
  } else if (patience_over) {
    session_.close_with(
        smtp::make_reply(421, {4, 4, 2}, policy_->hostname + " keeps no session open for so long"),
        "session-timeout");
  } else {
    session_.close_with(
        smtp::make_reply(421, {4, 4, 2}, policy_->hostname + " waited too long for you"),
        "client-timeout");
  }
  pump();
}

// Without a word to the client: no reply can be read inside a handshake.
void SubmissionDriver::end_because(std::string reason) {
  end_reason_ = std::move(reason);
  closing_ = true;
  end();
}

void SubmissionDriver::finish_soon() {
  finish_soon_ = true;
  if (tls_running_) {
    orderly_ = true;
    return end_because("shutdown");
  }
  pump();
}

void SubmissionDriver::connection_closed(const std::optional<Error>& error) {
  if (closing_) return;
  closing_ = true;
  orderly_ = !error && !tls_running_ && session_.idle_between_transactions();
  end_reason_ = tls_running_ ? "tls-handshake-failed: " : "client-lost: ";
  if (orderly_) end_reason_.clear();
  end_reason_ += error ? error->detail : "closed by the client";
  connection_->close();
  if (!pumping_) end();
}

void SubmissionDriver::end() {
  timer_.stop();
  hold_back_timer_.stop();
  intake_.reset();
  if (!ended_) return;
  log_end();
  std::exchange(ended_, {})();
}

void SubmissionDriver::log_end() {
  LogLine line(services_.log, orderly_ ? LogLevel::debug : LogLevel::notice, "session-ended");
  line.field("client_address", connection_->peer().address.text())
      .field("user", user_name())
      .field("reason", end_reason_);
  if (refusals_ > 0) line.field("refusals", refusals_);
}

}  // namespace postern::submission
