// The client machine: runs the steps that delivery_states.hpp chooses.
// Promise and sharp edge: see delivery_session.hpp.
#include "relay/smtp/delivery_session.hpp"

#include <algorithm>
#include <deque>
#include <span>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/secret.hpp"
#include "relay/smtp/delivery_authentication.hpp"
#include "relay/smtp/delivery_capabilities.hpp"
#include "relay/smtp/delivery_commands.hpp"
#include "relay/smtp/delivery_states.hpp"
#include "relay/smtp/delivery_transaction.hpp"

namespace postern::smtp {
namespace {

constexpr std::size_t reason_bytes_max = 512;  // the driver's or the system's words in a detail

using Failure = SessionFailed::Kind;

std::string upstream_words(const Reply& reply) {
  return "the upstream said \"" + reply.text() + "\"";
}

RecipientResult refused_with(const Reply& reply) {
  return {.kind = RecipientResult::Kind::refused, .reply = shortened(reply), .detail = {}};
}

}  // namespace

struct DeliverySession::Parts {
  explicit Parts(DeliverySettings given) : settings(std::move(given)) {}
  ~Parts() {
    for (DeliveryAction& action : actions) {
      auto* const unsent = std::get_if<SendBytes>(&action);
      if (unsent != nullptr && unsent->confidential) {
        wipe(std::as_writable_bytes(std::span(unsent->octets)));
      }
    }
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  DeliverySettings settings;
  DeliveryState state = DeliveryState::unconnected;
  DeliveryCapabilities upstream;
  ReplyParser parser;
  std::deque<DeliveryAction> actions;
  std::optional<DeliveryTransaction> transaction;
  std::size_t replies_owed = 0;  // commands sent (and the greeting) minus replies received
  std::uint64_t replies_taken = 0;
  bool tls_active = false;

  void enter(DeliveryState next) { state = next; }
  void send(std::string command);
  void send_secret(const Secret& line);

  void receive(ByteView input);
  void on_event(DeliveryEvent event, const Reply* reply, std::string_view why);
  void run(DeliveryStep step, const Reply& reply);
  void run_failure(DeliveryStep step, const Reply* reply, std::string_view why);

  void say_ehlo();
  void take_capabilities(const Reply& reply);
  void authenticate();
  void become_ready();

  void begin(Envelope envelope, std::uint64_t content_bytes);
  void start_mail();
  void next_recipient();
  void next_after_recipients();
  void accept_data();
  void finish_transaction(bool needs_reset);

  void fail(Failure kind, const Reply* reply, std::string detail);
};

void DeliverySession::Parts::send(std::string command) {
  ++replies_owed;
  actions.emplace_back(SendBytes{std::move(command)});
}

void DeliverySession::Parts::send_secret(const Secret& line) {
  ++replies_owed;
  std::string octets;
  // Never so short that it lies inside the string itself: moved from there, it would leave a copy.
  octets.reserve(std::max(line.size(), sizeof octets));
  octets = line.text();
  actions.emplace_back(SendBytes{std::move(octets), true});
}

void DeliverySession::Parts::receive(ByteView input) {
  std::string_view rest = as_text(input);
  if (state == DeliveryState::handshake && !rest.empty()) {
    on_event(DeliveryEvent::malformed, nullptr, "octets in clear before the TLS handshake");
    return;
  }
  // A reply to a command that was not sent when these octets arrived answers nothing of ours;
  // taking it would shift all later replies by one (the response injection of CVE-2021-33515 and
  // its relatives).
  std::size_t owed = replies_owed;
  while (!rest.empty() && state != DeliveryState::closed) {
    const ReplyParser::Status status = parser.feed(rest);
    if (status == ReplyParser::Status::need_more) return;
    if (status == ReplyParser::Status::malformed) {
      on_event(DeliveryEvent::malformed, nullptr, "octets that are no SMTP reply");
      return;
    }
    const Reply reply = parser.take();
    ++replies_taken;
    const bool early = owed == 0 && replies_owed > 0 && reply.code != 421;
    if (owed > 0) --owed;
    if (replies_owed > 0) --replies_owed;
    if (early) {
      on_event(DeliveryEvent::malformed, &reply, "a reply to a command that was not yet sent");
      return;
    }
    on_event(delivery_event(reply.code), &reply, {});
    if (state == DeliveryState::handshake && !rest.empty()) {
      on_event(DeliveryEvent::malformed, nullptr, "octets in clear before the TLS handshake");
      return;
    }
  }
}

void DeliverySession::Parts::on_event(DeliveryEvent event, const Reply* reply,
                                      std::string_view why) {
  const DeliveryStep step = delivery_step(state, event);
  if (step >= DeliveryStep::close) {
    run_failure(step, reply, why);
  } else {
    POSTERN_ASSERT(reply != nullptr);
    run(step, *reply);
  }
}

void DeliverySession::Parts::run(DeliveryStep step, const Reply& reply) {
  switch (step) {
    case DeliveryStep::say_ehlo:
      return say_ehlo();
    case DeliveryStep::take_capabilities:
      return take_capabilities(reply);
    case DeliveryStep::begin_handshake:
      enter(DeliveryState::handshake);
      actions.emplace_back(StartTlsHandshake{});
      return;
    case DeliveryStep::send_credential:
      enter(DeliveryState::auth_credential);
      return send_secret(
          credential_line("", plain_response(settings.user_name, settings.password)));
    case DeliveryStep::send_login_user:
      enter(DeliveryState::auth_login_user);
      return send_secret(credential_line("", login_response(settings.user_name)));
    case DeliveryStep::send_login_password:
      enter(DeliveryState::auth_credential);
      return send_secret(credential_line("", login_response(settings.password.text())));
    case DeliveryStep::become_ready:
      return become_ready();
    case DeliveryStep::accept_mail:
      transaction->accept_mail();
      enter(DeliveryState::rcpt);
      return next_recipient();
    case DeliveryStep::refuse_mail:
      transaction->settle(refused_with(reply));
      if (!transaction->pipelined) return finish_transaction(false);
      enter(DeliveryState::rcpt);  // the replies to RCPT and DATA are under way
      return;
    case DeliveryStep::accept_recipient:
      transaction->accept_current();
      transaction->advance();
      return next_recipient();
    case DeliveryStep::refuse_recipient:
      transaction->refuse_current(reply);
      transaction->advance();
      return next_recipient();
    case DeliveryStep::accept_data:
      return accept_data();
    case DeliveryStep::refuse_data:
      transaction->settle(refused_with(reply));
      return finish_transaction(transaction->mail_accepted());
    case DeliveryStep::refuse_content_early:
      transaction->settle(refused_with(reply));
      return fail(Failure::upstream_refused, &reply,
                  "the upstream refused the message while it was being sent: " + reply.text());
    case DeliveryStep::accept_message:
      transaction->settle(
          {.kind = RecipientResult::Kind::accepted, .reply = shortened(reply), .detail = {}});
      return finish_transaction(false);
    case DeliveryStep::refuse_message:
      transaction->settle(refused_with(reply));
      return finish_transaction(false);  // RFC 5321 §4.1.1.4: the buffers are cleared all the same
    case DeliveryStep::finish_empty_transaction:
      return finish_transaction(false);
    default:
      POSTERN_ASSERT(step < DeliveryStep::close);
  }
}

void DeliverySession::Parts::run_failure(DeliveryStep step, const Reply* reply,
                                         std::string_view why) {
  const std::string where(delivery_row(state).name);
  const std::string words = reply != nullptr ? upstream_words(*reply) : std::string(why);
  switch (step) {
    case DeliveryStep::ignore:
      return;
    case DeliveryStep::close:
      enter(DeliveryState::closed);
      actions.emplace_back(CloseConnection{});
      return;
    case DeliveryStep::fail_greeting:
      return fail(Failure::upstream_refused, reply, "the upstream does not serve us: " + words);
    case DeliveryStep::fail_ehlo:
      return fail(Failure::upstream_refused, reply,
                  "the upstream refused EHLO, and without it there is no " +
                      std::string(tls_active ? "extended SMTP" : "TLS") + ": " + words);
    case DeliveryStep::fail_tls:
      return fail(Failure::tls_not_offered, reply,
                  "the upstream refused STARTTLS, and mail leaves only over TLS: " + words);
    case DeliveryStep::fail_authentication:
      send("QUIT\r\n");
      return fail(Failure::authentication_refused, reply,
                  "the upstream did not take the user name and password (check both, and whether "
                  "the account may send by SMTP): " +
                      words);
    case DeliveryStep::fail_reset:
      return fail(Failure::upstream_refused, reply, "the upstream refused RSET: " + words);
    case DeliveryStep::fail_closing:
      // What was asked when the 421 came counts as refused for now; what has a result keeps it.
      if (transaction && reply) transaction->settle(refused_with(*reply));
      return fail(Failure::upstream_refused, reply, "the upstream ended the session: " + words);
    case DeliveryStep::fail_lost:
      return fail(Failure::lost, nullptr, "connection lost in state " + where + ": " + words);
    case DeliveryStep::fail_timeout:
      return fail(Failure::timeout, nullptr,
                  "the upstream did not answer in time in state " + where);
    default:
      return fail(Failure::protocol_error, reply,
                  "the upstream does not speak SMTP in state " + where + ": " +
                      (why.empty() ? words : std::string(why)));
  }
}

void DeliverySession::Parts::say_ehlo() {
  enter(DeliveryState::ehlo);
  send("EHLO " + settings.hostname + "\r\n");
}

void DeliverySession::Parts::take_capabilities(const Reply& reply) {
  upstream = DeliveryCapabilities::parse(reply);
  if (tls_active) {
    if (settings.user_name.empty()) return become_ready();
    return authenticate();
  }
  if (!upstream.starttls) {
    return fail(Failure::tls_not_offered, nullptr,
                "the upstream does not offer STARTTLS, and mail leaves only over TLS; use the port "
                "for implicit TLS (465) if it has one");
  }
  enter(DeliveryState::starttls);
  send("STARTTLS\r\n");
}

void DeliverySession::Parts::authenticate() {
  POSTERN_ASSERT(tls_active);
  if (upstream.auth_plain) {
    const Secret line =
        credential_line("AUTH PLAIN ", plain_response(settings.user_name, settings.password));
    if (line.size() <= auth_command_bytes_max) {
      enter(DeliveryState::auth_credential);
      return send_secret(line);
    }
    enter(DeliveryState::auth_plain);
    return send("AUTH PLAIN\r\n");
  }
  if (upstream.auth_login) {
    enter(DeliveryState::auth_login);
    return send("AUTH LOGIN\r\n");
  }
  send("QUIT\r\n");
  fail(Failure::authentication_refused, nullptr,
       upstream.auth ? "the upstream offers AUTH with neither PLAIN nor LOGIN"
                     : "the upstream offers no AUTH although a user name is set for it; it may "
                       "want another port (465 or 587)");
}

void DeliverySession::Parts::become_ready() {
  enter(DeliveryState::ready);
  actions.emplace_back(ReadyForTransaction{});
}

void DeliverySession::Parts::begin(Envelope envelope, std::uint64_t content_bytes) {
  std::optional<Reply> missing = missing_extension(envelope, content_bytes, upstream);
  transaction.emplace(std::move(envelope), upstream.recipients_max);
  if (state == DeliveryState::closed) {
    // It failed before the driver could know: SessionFailed still waits, and the result goes before
    // it.
    transaction->settle({.detail = "the session had ended before the transaction began"});
    actions.emplace_front(TransactionDone{transaction->take_results()});
    transaction.reset();
    return;
  }
  POSTERN_ASSERT(state == DeliveryState::ready);
  transaction->content_bytes = content_bytes;
  if (missing) {
    transaction->settle(refused_with(*missing));
    return finish_transaction(false);
  }
  if (transaction->recipients() == 0) return finish_transaction(false);
  start_mail();
}

void DeliverySession::Parts::start_mail() {
  const Envelope& envelope = transaction->envelope();
  std::string group =
      mail_command(envelope.sender, transaction->content_bytes, upstream, needs_smtputf8(envelope));
  transaction->pipelined = upstream.pipelining;
  if (transaction->pipelined) {  // RFC 2920 §3.1: DATA must be the last of a group
    for (std::size_t i = 0; i < transaction->recipients(); ++i) {
      group += rcpt_command(envelope.recipients[i], upstream);
    }
    group += "DATA\r\n";
    replies_owed += transaction->recipients() + 1;
  }
  enter(DeliveryState::mail);
  send(std::move(group));
}

void DeliverySession::Parts::next_recipient() {
  if (transaction->all_asked()) return next_after_recipients();
  if (!transaction->pipelined) {
    send(rcpt_command(transaction->envelope().recipients[transaction->current()], upstream));
  }
}

void DeliverySession::Parts::next_after_recipients() {
  if (!transaction->pipelined) {
    if (transaction->accepted() == 0) return finish_transaction(true);
    send("DATA\r\n");
  }
  enter(DeliveryState::data);
}

void DeliverySession::Parts::accept_data() {
  if (transaction->accepted() == 0) {  // RFC 2920 §3.1: end it with a single dot, believe nothing
    enter(DeliveryState::empty_dot);
    return send(".\r\n");
  }
  enter(DeliveryState::content);
  actions.emplace_back(SendContent{});
}

void DeliverySession::Parts::finish_transaction(bool needs_reset) {
  actions.emplace_back(TransactionDone{transaction->take_results()});
  transaction.reset();
  if (!needs_reset) return become_ready();
  enter(DeliveryState::reset);
  send("RSET\r\n");
}

void DeliverySession::Parts::fail(Failure kind, const Reply* reply, std::string detail) {
  if (transaction) {
    const bool after_dot = state == DeliveryState::dot;
    RecipientResult result{.detail = detail, .perhaps_delivered = after_dot};
    if (after_dot) result.detail += "; this was after the final dot, it may arrive twice";
    if (reply != nullptr) result.reply = shortened(*reply);
    transaction->settle(result);
    actions.emplace_back(TransactionDone{transaction->take_results()});
    transaction.reset();
  }
  enter(DeliveryState::closed);
  settings.password = Secret();
  SessionFailed failed{kind, std::nullopt, std::move(detail)};
  if (reply != nullptr) failed.reply = shortened(*reply);
  actions.emplace_back(std::move(failed));
}

DeliverySession::DeliverySession(DeliverySettings settings)
    : parts_(std::make_unique<Parts>(std::move(settings))) {}
DeliverySession::~DeliverySession() = default;
DeliverySession::DeliverySession(DeliverySession&&) noexcept = default;
DeliverySession& DeliverySession::operator=(DeliverySession&&) noexcept = default;

void DeliverySession::connected() {
  POSTERN_ASSERT(parts_->state == DeliveryState::unconnected);
  parts_->tls_active = parts_->settings.tls == DeliveryTls::implicit;
  parts_->replies_owed = 1;
  parts_->enter(DeliveryState::greeting);
}

void DeliverySession::tls_started() {
  if (parts_->state == DeliveryState::closed) return;  // it failed while the handshake ran
  POSTERN_ASSERT(parts_->state == DeliveryState::handshake);
  // RFC 3207 §4.2: everything learnt in clear is forgotten, half a reply included.
  parts_->upstream = DeliveryCapabilities();
  parts_->parser = ReplyParser();
  parts_->replies_owed = 0;
  parts_->tls_active = true;
  parts_->say_ehlo();
}

void DeliverySession::receive(ByteView input) { parts_->receive(input); }

std::optional<DeliveryAction> DeliverySession::next_action() {
  if (parts_->actions.empty()) return std::nullopt;
  DeliveryAction action = std::move(parts_->actions.front());
  parts_->actions.pop_front();
  return action;
}

void DeliverySession::begin(Envelope envelope, std::uint64_t content_bytes) {
  parts_->begin(std::move(envelope), content_bytes);
}

// In any other state than `content` the transaction has ended under the driver's hands (a 421 in
// the middle of the message): what still comes is dropped.
void DeliverySession::send_content(ByteView octets) {
  if (parts_->state != DeliveryState::content || octets.empty()) return;
  parts_->actions.emplace_back(SendBytes{parts_->transaction->stuffer.stuff(octets)});
}

void DeliverySession::end_content() {
  if (parts_->state != DeliveryState::content) return;
  parts_->enter(DeliveryState::dot);
  parts_->send(parts_->transaction->stuffer.finish());
}

void DeliverySession::quit() {
  if (parts_->state != DeliveryState::ready) return;
  parts_->enter(DeliveryState::quit);
  parts_->send("QUIT\r\n");
}

void DeliverySession::timed_out() { parts_->on_event(DeliveryEvent::silent, nullptr, {}); }

void DeliverySession::connection_lost(std::string_view why) {
  parts_->on_event(DeliveryEvent::lost, nullptr, why.substr(0, reason_bytes_max));
}

std::optional<Duration> DeliverySession::timeout() const {
  const Duration timeout = delivery_row(parts_->state).timeout;
  if (timeout == Duration::zero()) return std::nullopt;
  return timeout;
}

bool DeliverySession::passes_on_report_wishes() const { return parts_->upstream.dsn; }

std::optional<std::size_t> DeliverySession::transactions_max() const {
  return parts_->upstream.transactions_max;
}

std::uint64_t DeliverySession::replies_taken() const { return parts_->replies_taken; }
std::string_view DeliverySession::state_name() const { return delivery_row(parts_->state).name; }

}  // namespace postern::smtp
