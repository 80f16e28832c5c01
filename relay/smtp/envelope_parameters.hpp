// What stands behind MAIL FROM: and RCPT TO: -- the path and its parameters -- parsed into the
// envelope.
//
// Promise: every parameter is known, given once and well-formed, or the whole command is refused
// with the reply that says which one is wrong. Text decoded from xtext holds printable characters
// only, because it ends up in header fields of reports. Sharp edge: a path with UTF-8 is accepted
// here; whether SMTPUTF8 was asked for is checked here for MAIL and by the session for RCPT (RFC
// 6531 §3.5).
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "relay/smtp/envelope.hpp"
#include "relay/smtp/reply.hpp"

namespace postern::smtp {

inline constexpr std::size_t envelope_id_bytes_max = 100;         // RFC 3461 §4.4
inline constexpr std::size_t original_recipient_bytes_max = 500;  // RFC 3461 §4.2

template <class T>
using ParsedOrReply = std::expected<T, Reply>;

// `arguments` is what follows the verb: "FROM:<a@b.example> SIZE=1" and "TO:<a@b.example>
// NOTIFY=NEVER".
[[nodiscard]] ParsedOrReply<Sender> parse_mail_arguments(std::string_view arguments);
[[nodiscard]] ParsedOrReply<Recipient> parse_rcpt_arguments(std::string_view arguments);

// RFC 3461 §4; nothing when the text is no xtext.
[[nodiscard]] std::optional<std::string> decode_xtext(std::string_view text);

}  // namespace postern::smtp
