// The one place where what an upstream said (or did not say) becomes an outcome for a recipient.
//
// Promise: 2yz relayed; 4yz, 552 at RCPT (which the session hands on as 452), the wishes for
// authentication or TLS (530, 534, 535, 538), nonsense, silence, TLS, DNS and authentication
// trouble: delayed (mail is never bounced because of our own configuration or the upstream's key);
// other 5yz to MAIL, RCPT or the dot: failed; expired: failed with 4.4.7. Lost after the final dot:
// delayed, because a duplicate is better than a loss. Reports follow RFC 3461 §4.1 and RFC 3834:
// never for a null reverse-path, never with NOTIFY=NEVER.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay/queue/retry.hpp"
#include "relay/smtp/delivery_session.hpp"
#include "relay/smtp/envelope.hpp"

namespace postern::queue {

struct Outcome {
  enum class Kind { relayed, delayed, failed };
  Kind kind = Kind::delayed;
  std::string status;      // enhanced status code: "2.0.0", "4.4.1", "5.1.1"
  std::string diagnostic;  // the reply or our sentence
};

[[nodiscard]] Outcome decide_outcome(const smtp::RecipientResult& result);
// No session could be had (DNS, connect, TLS, authentication, no route): delayed with this reason.
[[nodiscard]] Outcome delayed_by_trouble(std::string status, std::string reason);
[[nodiscard]] Outcome expired(const RetrySettings& settings, const std::string& last_reason);

// Whether the recipient's outcome is reported to the sender.
[[nodiscard]] bool wants_failure_report(const smtp::ReversePath& sender,
                                        const smtp::NotifyWishes& notify);
[[nodiscard]] bool wants_delay_report(const smtp::ReversePath& sender,
                                      const smtp::NotifyWishes& notify);
[[nodiscard]] bool wants_success_report(const smtp::ReversePath& sender,
                                        const smtp::NotifyWishes& notify);

}  // namespace postern::queue
