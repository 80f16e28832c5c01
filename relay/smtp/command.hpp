// One command line of a client, without its CRLF, as a value.
//
// Promise: the verb is always known, also of a malformed line, so that the state × verb table
// decides first and the arguments second (a device before TLS learns that it must start TLS, not
// that its MAIL is odd). Sharp edge: AuthCommand::initial_response points into the line; it may be
// a password and is not copied.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "relay/smtp/envelope.hpp"
#include "relay/smtp/reply.hpp"

namespace postern::smtp {

enum class Verb : std::uint8_t {
  ehlo,
  helo,
  starttls,
  auth,
  mail,
  rcpt,
  data,
  rset,
  noop,
  quit,
  help,
  vrfy,
  expn,
  bdat,
  http,  // a browser, or a page in one, that was pointed at our port
  unknown,
};
inline constexpr std::size_t verb_count = 16;
inline constexpr std::array<std::string_view, verb_count> verb_names = {
    "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET",
    "NOOP", "QUIT", "HELP",     "VRFY", "EXPN", "BDAT", "http", "unknown"};

inline constexpr std::size_t client_name_bytes_max = 255;  // a domain, RFC 5321 §4.5.3.1.2

struct BareCommand {};  // the verb says it all
struct GreetingCommand {
  std::string client_name;  // printable, without spaces, brackets, quotes: safe in a Received field
};
struct AuthCommand {
  std::string mechanism;                             // upper case
  std::optional<std::string_view> initial_response;  // base64, or "=" for an empty one
};
struct MailCommand {
  Sender sender;
};
struct RcptCommand {
  Recipient recipient;
};
struct CommandFault {
  Reply reply;  // what is wrong with the arguments
};

struct Command {
  Verb verb = Verb::unknown;
  std::variant<BareCommand, GreetingCommand, AuthCommand, MailCommand, RcptCommand, CommandFault>
      arguments;
};

[[nodiscard]] Verb recognise_verb(std::string_view line);
[[nodiscard]] Command parse_command(std::string_view line);

}  // namespace postern::smtp
