// The SMTP server of one connection, without a socket, a clock or a file.
//
// Bytes go in by receive(), actions come out of next_action(), answers to questions come back as
// events. The driver owns everything real: TLS, passwords, policy, storage, timers.
//
// Promise: replies leave in the order of the commands (RFC 2920 §3.1); while an answer is awaited
// receive() consumes nothing, so a client that pipelines is held back by its own socket. All
// transaction state is reset in one function. After StartTls everything but the connection's
// counters is as new (RFC 3207 §4.2). A mail transaction can only be built from an
// AuthenticatedUser, and only credential_checked() makes one. Sharp edge: after Close is handed out
// the session takes no more input; the driver flushes, then closes.
//
// Parts: submission_session.cpp (connection and dispatch), authentication.*, transaction.*,
// content.*, each with its own state; the table state × verb stands in submission_states.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/secret.hpp"
#include "relay/smtp/envelope.hpp"
#include "relay/smtp/reply.hpp"

namespace postern::smtp {

// What the content may hold where it is not CRLF (RFC 5321 §2.3.8: only that ends a line). A NUL is
// always refused.
enum class BareNewline { reject, normalize };

// Commands of a client that has not said who it is, STARTTLS included. A device needs four to
// eight; the rest of the 50 is room for odd ones. Without it a client holds its place by NOOPs.
inline constexpr unsigned commands_before_auth_max = 50;

struct SubmissionSettings {
  std::string hostname;  // banner, EHLO
  std::uint64_t message_bytes_max = 52'428'800;
  std::size_t recipients_max = 100;                 // RFC 5321 §4.5.3.1.8: at least 100
  Duration idle_timeout = std::chrono::minutes(5);  // RFC 5321 §4.5.3.2.7
  bool implicit_tls = false;                        // the connection is TLS already (465)
};

// --- What the session asks of its driver.

// For the log: which command was refused (4yz or 5yz), and how.
struct RefusedCommand {
  std::string_view verb;  // as verb_names has it; DATA for the message itself
  Reply reply;
};
struct SendReply {
  std::string wire;  // whole lines with CRLF
  std::optional<RefusedCommand> refused = {};
};
// Do the TLS handshake as the server now. Input that came before is already thrown away. Answer:
// tls_started().
struct StartTls {};
// Check this user name and password. Answer: credential_checked().
struct CheckCredential {
  std::string user_name;  // UTF-8, 1..255 octets
  Secret password;
};
// May the user open this transaction? Answer: sender_checked().
struct CheckSender {
  Sender sender;
};
// Answer: recipient_checked().
struct CheckRecipient {
  Recipient recipient;
};
// The transaction's content begins: 354 goes out after content_ready() accepts (RFC 5321 §4.1.1.4).
struct BeginContent {};
// Octets of the message, dot-unstuffed, every line ended by CRLF. In order, as many as come; the
// view is valid until the next call into the session.
struct AppendContent {
  ByteView octets;
};
// The final CRLF.CRLF came and the content was clean. Answer: message_committed().
struct CommitMessage {};
// The transaction ends without a message: throw away what was appended. No answer.
struct DiscardMessage {};
struct Close {
  std::string reason;  // for the log: "quit", "http-client", "bare-newline", "too-many-errors" …
};

using SubmissionAction =
    std::variant<SendReply, StartTls, CheckCredential, CheckSender, CheckRecipient, BeginContent,
                 AppendContent, CommitMessage, DiscardMessage, Close>;

// --- What the driver answers.

struct CredentialVerdict {
  enum class Kind {
    accepted,
    refused,      // 535 5.7.8, always the same words
    unavailable,  // our own trouble: 454 4.7.0
    locked,       // this address failed too often: 454 4.7.0 and close, whoever the user is
  };
  Kind kind = Kind::refused;
  BareNewline bare_newline = BareNewline::reject;  // the accepted user's setting
};
// A policy answer: nothing means yes; otherwise the reply to give (4yz or 5yz).
using PolicyVerdict = std::optional<Reply>;

// Proof of a checked credential; only the authentication part can make one.
class AuthenticatedUser {
 public:
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] BareNewline bare_newline() const { return bare_newline_; }

 private:
  friend class Authentication;
  AuthenticatedUser(std::string name, BareNewline bare_newline)
      : name_(std::move(name)), bare_newline_(bare_newline) {}
  std::string name_;
  BareNewline bare_newline_;
};

class SubmissionSession {
 public:
  explicit SubmissionSession(SubmissionSettings settings);
  ~SubmissionSession();
  SubmissionSession(SubmissionSession&&) noexcept;
  SubmissionSession& operator=(SubmissionSession&&) noexcept;

  // Consumes what it can and returns how many octets that was; stops early while an answer is
  // awaited, an action waits to be fetched, or the session is closed. Call again with the rest
  // after next_action() returned nothing and the answer was given.
  std::size_t receive(ByteView input);
  [[nodiscard]] std::optional<SubmissionAction> next_action();

  void start();  // once, when the connection is ready for the banner (for implicit TLS: after the
                 // handshake)
  void tls_started();
  void credential_checked(CredentialVerdict verdict);
  void sender_checked(PolicyVerdict verdict);
  void recipient_checked(PolicyVerdict verdict);
  void content_ready(PolicyVerdict verdict);
  // The reply to the dot: the driver makes it ("250 2.0.0 queued as …", or 4yz/5yz), it is sent as
  // it is.
  void message_committed(const Reply& reply);
  // Something outside ended it: "421 4.4.2 idle too long", shutdown, overload. Sends the reply and
  // closes.
  void close_with(const Reply& reply, const std::string& reason);
  // While content streams in, the driver may decide that it must be refused (header too long,
  // policy on From, storage full): the rest is read and thrown away (up to the size limit) and this
  // is the reply to the dot. DiscardMessage follows.
  void refuse_content(Reply reply);

  // How long the client may be silent now; nothing while an answer of ours is awaited.
  [[nodiscard]] std::optional<Duration> timeout() const;
  [[nodiscard]] bool idle_between_transactions()
      const;                                            // may be closed for a shutdown without harm
  [[nodiscard]] const AuthenticatedUser* user() const;  // null before AUTH
  [[nodiscard]] const Envelope* envelope() const;       // null outside a transaction
  [[nodiscard]] const std::string& client_name()
      const;                                          // what EHLO/HELO said, checked; for Received
  [[nodiscard]] std::string_view state_name() const;  // for logs, tests and the diagram

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::smtp
