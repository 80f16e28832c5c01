// The two SASL exchanges a password device knows, seen from the server: PLAIN (RFC 4616) and LOGIN.
//
// Promise: base64 is strict, the decoded octets are wiped, and what comes out is bounded: a user
// name of 1..255 octets of UTF-8 without controls. Sharp edge: a refused identity is not an error
// of syntax; it is answered like a wrong password, so that nothing is learnt from it.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "relay/base/secret.hpp"

namespace postern::smtp {

inline constexpr std::size_t user_name_bytes_max = 255;  // CheckCredential's promise
inline constexpr std::size_t password_bytes_max =
    1024;  // longer ones cost hashing time and help nobody

// Devices compare these prompts octet by octet: "Username:" and "Password:", in base64.
inline constexpr std::string_view login_user_name_prompt = "VXNlcm5hbWU6";
inline constexpr std::string_view login_password_prompt = "UGFzc3dvcmQ6";

enum class SaslFault {
  syntax,     // no base64, or no message of the mechanism: 501
  credential  // well-formed, and certainly no credential of ours: 535
};

struct PlainCredential {
  std::string user_name;
  Secret password;
};

// RFC 4954 §4: "=" alone stands for an empty initial response.
[[nodiscard]] std::expected<Secret, SaslFault> decode_initial_response(std::string_view text);
[[nodiscard]] std::expected<Secret, SaslFault> decode_response(std::string_view text);
// authzid NUL authcid NUL password; the authorisation identity is empty or equals the user.
[[nodiscard]] std::expected<PlainCredential, SaslFault> parse_plain(const Secret& message);
[[nodiscard]] std::expected<std::string, SaslFault> parse_login_user_name(const Secret& message);
[[nodiscard]] std::expected<Secret, SaslFault> parse_login_password(Secret message);

}  // namespace postern::smtp
