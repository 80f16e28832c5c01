// The server's connection: lines to the table, steps to actions, the driver's answers to replies.
#include "relay/smtp/submission_session.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/smtp/authentication.hpp"
#include "relay/smtp/command.hpp"
#include "relay/smtp/command_line_reader.hpp"
#include "relay/smtp/content.hpp"
#include "relay/smtp/submission_replies.hpp"
#include "relay/smtp/submission_states.hpp"
#include "relay/smtp/transaction.hpp"

namespace postern::smtp {
namespace {

using State = SubmissionState;
using Step = SubmissionStep;

// A client that has sent this many bad commands is no mail client, or too broken to be served.
constexpr unsigned bad_commands_max = 20;

// The first octet of a TLS record with a handshake in it (RFC 8446 §5.1); no command begins so.
constexpr char tls_handshake_octet = '\x16';

}  // namespace

struct SubmissionSession::Parts {
  explicit Parts(SubmissionSettings given) : settings(std::move(given)) {}

  SubmissionSettings settings;
  State state = State::banner;
  bool tls = false;
  bool content_open =
      false;  // BeginContent went out and neither CommitMessage nor DiscardMessage did
  unsigned bad_commands = 0;
  unsigned commands_before_auth = 0;
  Verb verb = Verb::unknown;  // of the command that is answered now
  std::string client_name;
  CommandLineReader reader;
  Authentication authentication;
  std::optional<Sender> proposed_sender;
  std::optional<Transaction> transaction;
  std::deque<SubmissionAction> actions;

  void act(SubmissionAction action) { actions.push_back(std::move(action)); }
  void send(const Reply& reply);
  void answer(const Reply& reply);
  void answer_fault(const Reply& reply);
  void close(std::string_view reason);
  void reset_transaction();
  void discard_content();
  [[nodiscard]] State command_state() const;

  void receive(std::string_view& input);
  void receive_line(std::string_view& input);
  void receive_content(std::string_view& input);
  void line_too_long();
  void perform(Step step, Command command, std::string_view& input);
  void greet(const GreetingCommand& command);
  void start_tls(std::string_view& input);
  void proceed(Authentication::Step step);
  void refuse_authentication(const Authentication::Refusal& refusal);
  void open_transaction(Sender sender);
  void add_recipient(Recipient recipient);
  void open_content(std::string_view input);
};

// --- Replies and ends. ---------------------------------------------------------------------------

void SubmissionSession::Parts::send(const Reply& reply) {
  SendReply action{reply.wire()};
  if (reply.transient_failure() || reply.permanent_failure()) {
    action.refused = {verb_names[static_cast<std::size_t>(verb)], reply};
  }
  act(std::move(action));
}

void SubmissionSession::Parts::answer(const Reply& reply) {
  send(reply);
  if (reply.code == 421) close("refused-421");  // RFC 5321 §3.8: 421 says that we close, so we do
}

void SubmissionSession::Parts::answer_fault(const Reply& reply) {
  if (++bad_commands < bad_commands_max) return answer(reply);
  send(make_reply(421, {4, 7, 0}, "too many bad commands"));
  close("too-many-errors");
}

void SubmissionSession::Parts::close(std::string_view reason) {
  if (state == State::closed) return;
  reset_transaction();
  reader.clear();
  state = State::closed;
  act(Close{std::string(reason)});
}

// Every exit of a transaction comes through here; what it held dies with it.
void SubmissionSession::Parts::reset_transaction() {
  discard_content();
  proposed_sender.reset();
  transaction.reset();
}

void SubmissionSession::Parts::discard_content() {
  // Views into the content's buffer must not be handed out once it is gone or worthless.
  std::erase_if(actions, [](const SubmissionAction& action) {
    return std::holds_alternative<AppendContent>(action);
  });
  if (std::exchange(content_open, false)) act(DiscardMessage{});
}

// Where the connection stands when no transaction and no question is open.
State SubmissionSession::Parts::command_state() const {
  if (authentication.user() != nullptr) return State::authenticated;
  return tls ? State::secure : State::clear;
}

// --- Octets in. ----------------------------------------------------------------------------------

void SubmissionSession::Parts::receive(std::string_view& input) {
  // One step at a time: an action that waits is fetched before more is read, which keeps replies in
  // order (RFC 2920 §3.1) and memory constant.
  while (!input.empty() && actions.empty()) {
    const Step step = submission_step(state, Verb::unknown);
    if (step == Step::wait) return;
    if (step == Step::refuse_early) {
      answer(reply_of_step(Step::refuse_early));
      return close("early-content");
    }
    if (step == Step::throw_away) {
      input = {};
    } else if (step == Step::take_as_content) {
      receive_content(input);
    } else {
      receive_line(input);
    }
  }
}

void SubmissionSession::Parts::receive_line(std::string_view& input) {
  const bool in_exchange = state == State::auth_response;
  if (state == State::clear && reader.empty() && input.front() == tls_handshake_octet) {
    return close(
        "tls-on-starttls-port");  // a banner and a reply are noise to it; the driver logs advice
  }
  switch (reader.read(input, in_exchange)) {
    case CommandLineReader::Status::need_more:
      return;
    case CommandLineReader::Status::bare_newline:
      // Two readers that disagree on where a command ends is how mail is smuggled: stop reading.
      verb = Verb::unknown;
      answer(make_reply(500, {5, 5, 2}, "a line ends in CR LF and nothing else; closing"));
      return close("bare-newline");
    case CommandLineReader::Status::too_long:
      line_too_long();
      break;
    case CommandLineReader::Status::line:
      if (in_exchange) {
        proceed(authentication.respond(reader.line()));
      } else {
        Command command = parse_command(reader.line());
        verb = command.verb;
        if (authentication.user() == nullptr && ++commands_before_auth > commands_before_auth_max) {
          send(make_reply(421, {4, 7, 0}, "too many commands before AUTH"));
          return close("too-many-commands-before-auth");
        }
        const Step step = submission_step(state, command.verb);
        perform(step, std::move(command), input);
      }
      break;
  }
  reader.clear();
}

void SubmissionSession::Parts::line_too_long() {
  if (state == State::auth_response) {
    authentication.cancel();
    state = State::greeted;
  } else {
    // A browser's first line may be any length, and a BDAT's payload follows whatever its line was.
    verb = recognise_verb(reader.line());
    const Step step = submission_step(state, verb);
    if (step == Step::close_on_http) return close("http-client");
    if (step == Step::close_on_bdat) {
      answer(reply_of_step(step));
      return close("bdat");
    }
  }
  answer_fault(make_reply(500, {5, 5, 6}, "the line is too long"));  // RFC 4954 §4
}

void SubmissionSession::Parts::receive_content(std::string_view& input) {
  Content& content = transaction->content();
  const Content::Progress progress = content.read(input);
  if (progress == Content::Progress::poisoned) {
    const Reply reply = content.poison();
    discard_content();
    answer(reply);
    return close("bare-newline");
  }
  if (content.refusal()) {
    discard_content();
  } else if (!content.output().empty()) {
    act(AppendContent{content.output()});
  }
  if (progress == Content::Progress::more) return;
  if (progress == Content::Progress::endless) {
    answer(*content.refusal());
    return close("endless-content");
  }
  if (content.refusal()) {
    const Reply reply = *content.refusal();
    reset_transaction();
    state = command_state();
    return answer(reply);
  }
  content_open = false;  // from here on it is the driver's to commit or to drop
  state = State::committing;
  act(CommitMessage{});
}

// --- Commands. -----------------------------------------------------------------------------------

void SubmissionSession::Parts::perform(Step step, Command command, std::string_view& input) {
  switch (step) {
    case Step::answer_noop:
    case Step::answer_help:
    case Step::answer_vrfy:
    case Step::want_recipient:  // an honest pipelining client whose recipients were all refused
      return answer(reply_of_step(step));
    case Step::quit:
      answer(make_reply(221, {2, 0, 0}, "goodbye"));
      return close("quit");
    case Step::close_on_http:
      return close("http-client");
    case Step::close_on_bdat:
      answer(reply_of_step(step));
      return close("bdat");
    default:
      break;
  }
  const bool acts = step < Step::want_tls;
  if (!acts) return answer_fault(reply_of_step(step));
  if (const auto* fault = std::get_if<CommandFault>(&command.arguments)) {
    return answer_fault(fault->reply);
  }
  if (step == Step::greet_ehlo || step == Step::greet_helo) {
    greet(std::get<GreetingCommand>(command.arguments));
  } else if (step == Step::start_tls) {
    start_tls(input);
  } else if (step == Step::authenticate) {
    proceed(authentication.begin(std::get<AuthCommand>(command.arguments)));
  } else if (step == Step::open_transaction) {
    open_transaction(std::move(std::get<MailCommand>(command.arguments).sender));
  } else if (step == Step::add_recipient) {
    add_recipient(std::move(std::get<RcptCommand>(command.arguments).recipient));
  } else if (step == Step::open_content) {
    open_content(input);
  } else {
    POSTERN_ASSERT(step == Step::reset);
    // RSET forgets the transaction, not the greeting or the user (RFC 5321 §4.1.1.5).
    if (transaction) state = command_state();
    reset_transaction();
    answer(make_reply(250, {2, 0, 0}, "reset"));
  }
}

void SubmissionSession::Parts::greet(const GreetingCommand& command) {
  reset_transaction();  // RFC 5321 §4.1.4: EHLO is also an RSET
  client_name = command.client_name;
  state = command_state();
  const bool authenticated = authentication.user() != nullptr;
  if (verb == Verb::helo) return answer(make_reply(250, settings.hostname));
  if (state == State::secure) state = State::greeted;
  answer(announce_extensions(settings, {.tls = tls, .authenticated = authenticated}));
}

void SubmissionSession::Parts::start_tls(std::string_view& input) {
  // RFC 3207 §4.2, §5: what was pipelined behind STARTTLS came in clear, from anybody; it is not
  // read, now or inside TLS, and what the client said so far is forgotten.
  input = {};
  client_name.clear();
  state = State::handshake;
  answer(make_reply(220, {2, 0, 0}, "start TLS now"));
  act(StartTls{});
}

void SubmissionSession::Parts::proceed(Authentication::Step step) {
  if (auto* challenge = std::get_if<Authentication::Challenge>(&step)) {
    state = State::auth_response;
    answer(challenge->reply);
  } else if (auto* check = std::get_if<CheckCredential>(&step)) {
    state = State::checking_credential;
    act(std::move(*check));
  } else {
    refuse_authentication(std::get<Authentication::Refusal>(step));
  }
}

void SubmissionSession::Parts::refuse_authentication(const Authentication::Refusal& refusal) {
  state = State::greeted;
  if (refusal.is_fault) return answer_fault(refusal.reply);
  answer(refusal.reply);
  if (!refusal.close) return;
  if (refusal.reply.code == 535) send(make_reply(421, {4, 7, 0}, "too many failed logins"));
  close(refusal.reason);
}

void SubmissionSession::Parts::open_transaction(Sender sender) {
  if (sender.declared_bytes.value_or(0) > settings.message_bytes_max) {  // RFC 1870 §6.1
    return answer(make_reply(552, {5, 3, 4}, "the message is longer than this relay takes"));
  }
  if (sender.reverse_path.mailbox && !sender.reverse_path.mailbox->is_fully_qualified()) {
    return answer(make_reply(554, {5, 1, 8},
                             "the domain of " + sender.reverse_path.text() +
                                 " is not fully qualified; set the device's sender to a full mail "
                                 "address such as scan@office.example"));
  }
  proposed_sender = sender;
  state = State::checking_sender;
  act(CheckSender{std::move(sender)});
}

void SubmissionSession::Parts::add_recipient(Recipient recipient) {
  if (const auto refusal = transaction->refuse_recipient(recipient, settings.recipients_max)) {
    return answer(*refusal);
  }
  transaction->propose_recipient(recipient);
  state = State::checking_recipient;
  act(CheckRecipient{std::move(recipient)});
}

void SubmissionSession::Parts::open_content(std::string_view input) {
  // RFC 2920 §3.1: DATA ends a group of commands. Who sends the message before our 354 does not
  // know whether it is wanted, and a refusal would make commands of it.
  if (!input.empty()) {
    answer(reply_of_step(Step::refuse_early));
    return close("early-content");
  }
  state = State::opening_content;
  content_open = true;
  act(BeginContent{});
}

// --- The session's face.

SubmissionSession::SubmissionSession(SubmissionSettings settings)
    : parts_(std::make_unique<Parts>(std::move(settings))) {}
SubmissionSession::~SubmissionSession() = default;
SubmissionSession::SubmissionSession(SubmissionSession&&) noexcept = default;
SubmissionSession& SubmissionSession::operator=(SubmissionSession&&) noexcept = default;

std::size_t SubmissionSession::receive(ByteView input) {
  std::string_view rest = as_text(input);
  parts_->receive(rest);
  return input.size() - rest.size();
}

std::optional<SubmissionAction> SubmissionSession::next_action() {
  if (parts_->actions.empty()) return std::nullopt;
  std::optional<SubmissionAction> action(std::move(parts_->actions.front()));
  parts_->actions.pop_front();
  return action;
}

void SubmissionSession::start() {
  POSTERN_ASSERT(parts_->state == State::banner);
  parts_->tls = parts_->settings.implicit_tls;
  parts_->state = parts_->command_state();
  parts_->answer(make_reply(220, parts_->settings.hostname + " ESMTP"));
}

void SubmissionSession::tls_started() {
  if (parts_->state == State::closed) return;
  POSTERN_ASSERT(parts_->state == State::handshake);
  parts_->tls = true;
  parts_->state = State::secure;
}

// An answer may come after the session was closed under it (a timeout, a shutdown): it finds nobody
// home.

void SubmissionSession::credential_checked(CredentialVerdict verdict) {
  Parts& parts = *parts_;
  if (parts.state == State::closed) return;
  POSTERN_ASSERT(parts.state == State::checking_credential);
  if (const auto refusal = parts.authentication.decide(verdict)) {
    return parts.refuse_authentication(*refusal);
  }
  parts.state = State::authenticated;
  parts.answer(make_reply(235, {2, 7, 0}, "welcome"));
}

void SubmissionSession::sender_checked(PolicyVerdict verdict) {
  Parts& parts = *parts_;
  if (parts.state == State::closed) return;
  POSTERN_ASSERT(parts.state == State::checking_sender);
  if (verdict) {
    parts.reset_transaction();
    parts.state = State::authenticated;
    return parts.answer(*verdict);
  }
  parts.transaction.emplace(*parts.authentication.user(), std::move(*parts.proposed_sender));
  parts.proposed_sender.reset();
  parts.state = State::sender_given;
  parts.answer(make_reply(250, {2, 1, 0}, "sender accepted"));
}

void SubmissionSession::recipient_checked(PolicyVerdict verdict) {
  Parts& parts = *parts_;
  if (parts.state == State::closed) return;
  POSTERN_ASSERT(parts.state == State::checking_recipient);
  Transaction& transaction = *parts.transaction;
  verdict ? transaction.decline_recipient() : transaction.accept_recipient();
  parts.state = transaction.has_recipients() ? State::recipients_given : State::sender_given;
  parts.answer(verdict ? *verdict : make_reply(250, {2, 1, 5}, "recipient accepted"));
}

void SubmissionSession::content_ready(PolicyVerdict verdict) {
  Parts& parts = *parts_;
  if (parts.state == State::closed) return;
  POSTERN_ASSERT(parts.state == State::opening_content);
  if (verdict) {
    parts.reset_transaction();
    parts.state = State::authenticated;
    return parts.answer(*verdict);
  }
  parts.transaction->open_content(parts.settings.message_bytes_max);
  parts.state = State::content;
  parts.answer(make_reply(354, "send the message, end it by a dot on a line of its own"));
}

void SubmissionSession::message_committed(const Reply& reply) {
  Parts& parts = *parts_;
  if (parts.state == State::closed) return;
  POSTERN_ASSERT(parts.state == State::committing);
  parts.reset_transaction();
  parts.state = State::authenticated;
  parts.answer(reply);
}

void SubmissionSession::close_with(const Reply& reply, const std::string& reason) {
  if (parts_->state == State::closed) return;
  parts_->discard_content();
  parts_->act(SendReply{reply.wire()});
  parts_->close(reason);
}

void SubmissionSession::refuse_content(Reply reply) {
  // The driver may find out while the dot is on its way or after it; then message_committed()
  // tells.
  if (parts_->state != State::content) return;
  parts_->transaction->content().refuse(std::move(reply));
  parts_->discard_content();
}

std::optional<Duration> SubmissionSession::timeout() const {
  const State state = parts_->state;
  const bool client_speaks = reads_commands(state) || state == State::auth_response ||
                             state == State::content || state == State::handshake;
  if (!client_speaks) return std::nullopt;
  return parts_->settings.idle_timeout;
}

bool SubmissionSession::idle_between_transactions() const {
  return reads_commands(parts_->state) && !parts_->transaction && parts_->actions.empty() &&
         parts_->reader.empty();
}

const AuthenticatedUser* SubmissionSession::user() const { return parts_->authentication.user(); }

const Envelope* SubmissionSession::envelope() const {
  return parts_->transaction ? &parts_->transaction->envelope() : nullptr;
}

const std::string& SubmissionSession::client_name() const { return parts_->client_name; }

std::string_view SubmissionSession::state_name() const {
  return submission_state_names[static_cast<std::size_t>(parts_->state)];
}

}  // namespace postern::smtp
