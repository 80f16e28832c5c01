// The envelope as octets that a message's key is bound to (crypto::QueueKey), so that the mail
// opens only with the very envelope that was taken: an address in which the medium turned a bit is
// found, and the mail goes to nobody else.
//
// Promise: two envelopes never give the same octets (each text stands with its length). It holds
// what never changes while the message waits: user, reverse-path, recipients and their parameters.
// Sharp edge: what changes (a recipient's state, attempts, times) cannot be bound and is not.
#pragma once

#include <string_view>
#include <vector>

#include "relay/base/bytes.hpp"
#include "storage/stored_message.hpp"

namespace postern::storage {

[[nodiscard]] Bytes envelope_binding(std::string_view user_name, const StoredSender& sender,
                                     const std::vector<StoredRecipient>& recipients);
[[nodiscard]] Bytes envelope_binding(const NewMessage& message);
[[nodiscard]] Bytes envelope_binding(const StoredMessage& message);

}  // namespace postern::storage
