// MAIL and RCPT as the client writes them, with the parameters the upstream understands.
//
// Promise: a parameter leaves only where its extension was offered; free text travels as xtext
// (RFC 3461 §4), so nothing in an envelope can add a parameter or a command. Sharp edge: a message
// that needs an extension the upstream lacks must not be sent at all; missing_extension() says so
// first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relay/smtp/delivery_capabilities.hpp"
#include "relay/smtp/envelope.hpp"

namespace postern::smtp {

// RFC 3461 §4: printable ASCII but "+" and "=" as itself, all else as +HH.
[[nodiscard]] std::string encode_xtext(std::string_view text);

// Whole lines with CRLF.
[[nodiscard]] std::string mail_command(const Sender& sender, std::uint64_t content_bytes,
                                       const DeliveryCapabilities& upstream, bool needs_smtputf8);
[[nodiscard]] std::string rcpt_command(const Recipient& recipient,
                                       const DeliveryCapabilities& upstream);

[[nodiscard]] bool needs_smtputf8(const Envelope& envelope);

// The permanent reply we make up when this upstream can never take this message; nothing when it
// may.
[[nodiscard]] std::optional<Reply> missing_extension(const Envelope& envelope,
                                                     std::uint64_t content_bytes,
                                                     const DeliveryCapabilities& upstream);

}  // namespace postern::smtp
