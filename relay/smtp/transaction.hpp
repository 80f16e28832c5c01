// One mail transaction: the envelope as it grows from MAIL to the final dot.
//
// Promise: it cannot be built without an AuthenticatedUser, so that relaying for a stranger does
// not compile; and everything a transaction holds is in here, so that ending it is destroying it.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "relay/smtp/content.hpp"
#include "relay/smtp/submission_session.hpp"

namespace postern::smtp {

class Transaction {
 public:
  Transaction(const AuthenticatedUser& user, Sender sender);

  // What must be refused before the driver is asked; nothing means: ask.
  [[nodiscard]] std::optional<Reply> refuse_recipient(const Recipient& recipient,
                                                      std::size_t recipients_max) const;
  void propose_recipient(Recipient recipient) { proposed_ = std::move(recipient); }
  void accept_recipient();
  void decline_recipient() { proposed_.reset(); }
  [[nodiscard]] bool has_recipients() const { return !envelope_.recipients.empty(); }
  [[nodiscard]] const Envelope& envelope() const { return envelope_; }

  Content& open_content(std::uint64_t message_bytes_max);
  [[nodiscard]] Content& content() { return *content_; }

 private:
  BareNewline bare_newline_;
  Envelope envelope_;
  std::optional<Recipient> proposed_;
  std::optional<Content> content_;
};

}  // namespace postern::smtp
