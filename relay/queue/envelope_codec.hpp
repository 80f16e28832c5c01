// Envelopes to the store's text form and back: the words MAIL and RCPT would use (RFC 3461, RFC
// 6152, RFC 6531).
//
// Promise: from_stored(to_stored(e)) == e for every envelope the grammar can make; text the grammar
// refuses is an Error (corrupt), never half an envelope.
#pragma once

#include <vector>

#include "relay/base/error.hpp"
#include "relay/smtp/envelope.hpp"
#include "storage/stored_message.hpp"

namespace postern::queue {

[[nodiscard]] storage::StoredSender to_stored(const smtp::Sender& sender);
[[nodiscard]] std::vector<storage::StoredRecipient> to_stored(
    const std::vector<smtp::Recipient>& recipients);
[[nodiscard]] Result<smtp::Sender> from_stored(const storage::StoredSender& stored);
[[nodiscard]] Result<smtp::Recipient> from_stored(const storage::StoredRecipient& stored);

}  // namespace postern::queue
