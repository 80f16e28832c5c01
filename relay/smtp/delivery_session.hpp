// The SMTP client of one upstream connection, without a socket, a clock or a file.
//
// Entering a state sends its command; a reply chooses the next state (the table stands in
// delivery_states.hpp). One session carries many transactions, one after the other.
//
// Promise: with DeliveryTls::starttls nothing but EHLO and STARTTLS leaves before the handshake,
// whatever the upstream says (RFC 3207 §4, §5); octets after the "220" of STARTTLS and before the
// handshake are fatal; after the handshake capabilities are forgotten and EHLO is said again. AUTH
// is only sent inside TLS. The final dot is sent only when the whole content was handed in, and a
// connection lost after it is reported as such: delayed, never failed. Sharp edge: content is fed
// by send_content() in pieces; dot-stuffing is done here, nobody else may.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/secret.hpp"
#include "relay/smtp/envelope.hpp"
#include "relay/smtp/reply.hpp"

namespace postern::smtp {

enum class DeliveryTls { implicit, starttls };

struct DeliverySettings {
  std::string hostname;  // for EHLO
  DeliveryTls tls = DeliveryTls::starttls;
  std::string user_name;  // empty: no authentication
  Secret password;
};

// The life of one transaction, reported per recipient.
struct RecipientResult {
  enum class Kind {
    accepted,   // 250 to the final dot
    refused,    // a reply refused it (RCPT, MAIL or the dot): `reply` says 4yz or 5yz
    unfinished  // no final reply: connection lost or nonsense; to be tried again
  };
  Kind kind = Kind::unfinished;
  std::optional<Reply> reply{};
  std::string detail{};            // for `unfinished`: "connection lost after the final dot" …
  bool perhaps_delivered = false;  // lost after the final dot: a duplicate is possible
};

// What the session asks of its driver.
struct SendBytes {
  std::string octets;
  bool confidential = false;  // holds a credential: wipe it once written, never log it
};
struct StartTlsHandshake {
};  // answer: tls_started(); a failed handshake ends the session (driver's words)
struct ReadyForTransaction {
};  // greeting, TLS and AUTH are through (or a transaction ended): begin() may be called
struct SendContent {};  // 354 came: feed the message by send_content(), then end_content()
struct TransactionDone {
  std::vector<RecipientResult> results;  // one per recipient, in the envelope's order
};
// The session is unusable: no further action follows. If a transaction was open, TransactionDone
// came first.
struct SessionFailed {
  enum class Kind {
    tls_not_offered,
    authentication_refused,
    protocol_error,
    upstream_refused,
    timeout,
    lost
  };
  Kind kind = Kind::protocol_error;
  std::optional<Reply> reply;
  std::string detail;  // one clear sentence for the log and `postern queue show`
};
struct CloseConnection {};

using DeliveryAction = std::variant<SendBytes, StartTlsHandshake, ReadyForTransaction, SendContent,
                                    TransactionDone, SessionFailed, CloseConnection>;

class DeliverySession {
 public:
  explicit DeliverySession(DeliverySettings settings);
  ~DeliverySession();
  DeliverySession(DeliverySession&&) noexcept;
  DeliverySession& operator=(DeliverySession&&) noexcept;

  void connected();              // TCP is up; for implicit TLS: the handshake is done
  void tls_started();            // the answer to StartTlsHandshake
  void receive(ByteView input);  // consumes all of it; bounded by the reply limits
  [[nodiscard]] std::optional<DeliveryAction> next_action();

  // Opens a transaction; only after ReadyForTransaction. `content_bytes` is sent as SIZE where
  // offered. Where the upstream lacks an extension the message needs (SMTPUTF8; 8BITMIME for 8-bit
  // content is sent anyway as every current server takes it; REQUIRETLS), the results refuse every
  // recipient at once with a made-up permanent reply (RFC 6531 §3.4: 5.6.7; RFC 8689
  // §4.2.1: 5.7.30).
  void begin(Envelope envelope, std::uint64_t content_bytes);
  void send_content(ByteView octets);
  void end_content();
  void quit();       // polite end when idle; CloseConnection follows
  void timed_out();  // the driver's timer fired
  void connection_lost(std::string_view why);

  // How long the upstream may be silent in this state (RFC 5321 §4.5.3.2); nothing when idle.
  [[nodiscard]] std::optional<Duration> timeout() const;
  // Whole replies so far. Only they are progress: octets that trickle in must not put the timeout
  // off for ever.
  [[nodiscard]] std::uint64_t replies_taken() const;
  // Of EHLO's answer: the wishes for reports were passed on, so the upstream reports success
  // (RFC 3461 §5.2.1); transactions that one connection may carry (RFC 9422 MAILMAX).
  [[nodiscard]] bool passes_on_report_wishes() const;
  [[nodiscard]] std::optional<std::size_t> transactions_max() const;
  [[nodiscard]] std::string_view state_name() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::smtp
