// The envelope's rules that need no policy.
#include "relay/smtp/transaction.hpp"

#include "relay/base/assert.hpp"

namespace postern::smtp {

Transaction::Transaction(const AuthenticatedUser& user, Sender sender)
    : bare_newline_(user.bare_newline()), envelope_{std::move(sender), {}} {}

std::optional<Reply> Transaction::refuse_recipient(const Recipient& recipient,
                                                   std::size_t recipients_max) const {
  // RFC 5321 §4.5.3.1.10: the ones accepted so far stay, and the client sends the rest later.
  if (envelope_.recipients.size() >= recipients_max) {
    return make_reply(452, {4, 5, 3}, "too many recipients; send the rest in another message");
  }
  if (recipient.mailbox.needs_smtputf8() && !envelope_.sender.smtputf8) {  // RFC 6531 §3.5
    return make_reply(553, {5, 6, 7}, "an address beyond ASCII wants SMTPUTF8 at MAIL");
  }
  if (!recipient.mailbox.is_fully_qualified()) {
    return make_reply(554, {5, 1, 2},
                      "the domain of " + recipient.mailbox.text() +
                          " is not fully qualified; give the full mail address");
  }
  return std::nullopt;
}

void Transaction::accept_recipient() {
  POSTERN_ASSERT(proposed_.has_value());
  envelope_.recipients.push_back(std::move(*proposed_));
  proposed_.reset();
}

Content& Transaction::open_content(std::uint64_t message_bytes_max) {
  return content_.emplace(bare_newline_, message_bytes_max);
}

}  // namespace postern::smtp
