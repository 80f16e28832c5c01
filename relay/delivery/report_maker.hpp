// Turns failures and delays of a message into a delivery status notification ready for the queue.
//
// Promise: addressed to the user's owner, else to the sender; a report that itself fails goes to
// the postmaster once, and a report about that one never exists (RFC 5321 §6.1: no bounce of a
// bounce). Signed where a key of the postmaster's domain exists. Sharp edge: signing and sealing
// take milliseconds: on the pool.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/delivery/delivery_settings.hpp"
#include "relay/message/delivery_report.hpp"
#include "storage/stored_message.hpp"

namespace postern::delivery {

// What a report tells of recipients; more of them go into the next report. With the original's
// header (at most 32 KiB, three times that when it must be encoded) and the fixed words this stays
// below storage::body_in_row_bytes_max.
inline constexpr std::size_t reported_bytes_in_letter_max = 128UZ * 1024;

// Who is told of this message's fate; nothing when nobody may be. Of a sender that is not known to
// be the one that was taken, an owner or the postmaster is told, who stand in the configuration.
[[nodiscard]] std::optional<smtp::Mailbox> report_addressee(const DeliverySnapshot& settings,
                                                            const storage::StoredMessage& message,
                                                            bool sender_known);

[[nodiscard]] Result<storage::NewMessage> make_report(
    const DeliverySnapshot& settings, const crypto::QueueKey& queue_key,
    const storage::StoredMessage& message, const smtp::Mailbox& addressee,
    std::vector<message::ReportedRecipient> recipients, WallTime now);

}  // namespace postern::delivery
