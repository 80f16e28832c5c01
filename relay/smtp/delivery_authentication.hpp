// The client's lines of AUTH PLAIN (RFC 4616) and AUTH LOGIN, built without a stray copy of the
// password.
//
// Promise: every line here lives in a Secret until the session hands it to the driver.
#pragma once

#include <cstddef>
#include <string_view>

#include "relay/base/secret.hpp"

namespace postern::smtp {

// RFC 4954 §4: an AUTH command is still a command line of 512 octets with CRLF (RFC 5321
// §4.5.3.1.4); a longer initial response waits for the 334.
inline constexpr std::size_t auth_command_bytes_max = 512;

// base64 of NUL user NUL password, without CRLF. The authorisation identity stays empty: it is the
// user.
[[nodiscard]] Secret plain_response(std::string_view user_name, const Secret& password);
// base64 of one answer of AUTH LOGIN, without CRLF.
[[nodiscard]] Secret login_response(std::string_view answer);
// `prefix` + `response` + CRLF.
[[nodiscard]] Secret credential_line(std::string_view prefix, const Secret& response);

}  // namespace postern::smtp
