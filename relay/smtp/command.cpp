// From a line to a command (RFC 5321 §4.1.1, RFC 4954 §4, RFC 3207 §4).
#include "relay/smtp/command.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/smtp/envelope_parameters.hpp"

namespace postern::smtp {
namespace {

// What a browser says first, HTTP/2's preface included: a web page can send a mail server anything
// behind it, so nothing that follows may be read as commands.
constexpr std::array<std::string_view, 10> http_verbs = {
    "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI"};

std::string_view first_word(std::string_view line) {
  return line.substr(0, std::min(line.find_first_of(" \t"), line.size()));
}

CommandFault fault(std::uint16_t code, EnhancedStatus enhanced, std::string_view text) {
  return {make_reply(code, enhanced, text)};
}

// Devices greet with all sorts of names; a name is only ever shown, so what matters is that it can
// do no harm in a Received field or a log: no space, no control, no parenthesis, bracket of a path,
// or quote.
bool is_harmless_client_name(std::string_view name) {
  return !name.empty() && name.size() <= client_name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return is_letter(c) || is_digit(c) ||
                  std::string_view("-._:[]").find(c) != std::string_view::npos;
         });
}

decltype(Command::arguments) parse_greeting(std::string_view arguments) {
  if (!is_harmless_client_name(arguments)) {
    return fault(501, {5, 5, 4}, "give your host name of letters, digits, hyphens and dots");
  }
  return GreetingCommand{std::string(arguments)};
}

decltype(Command::arguments) parse_auth(std::string_view arguments) {
  const std::string_view mechanism = first_word(arguments);
  constexpr std::size_t mechanism_bytes_max = 20;  // RFC 4422 §3.1
  if (mechanism.empty() || mechanism.size() > mechanism_bytes_max) {
    return fault(501, {5, 5, 4}, "write it as AUTH mechanism");
  }
  AuthCommand command;
  for (const char c : mechanism) {
    command.mechanism += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  const std::string_view rest = trim(arguments.substr(mechanism.size()));
  if (!rest.empty()) command.initial_response = rest;
  return command;
}

}  // namespace

Verb recognise_verb(std::string_view line) {
  const std::string_view word = first_word(line);
  constexpr std::size_t named_verbs = 14;  // http and unknown have no word of their own
  for (std::size_t i = 0; i < named_verbs; ++i) {
    if (equals_ignoring_case(word, verb_names[i])) return static_cast<Verb>(i);
  }
  const bool http =
      std::any_of(http_verbs.begin(), http_verbs.end(),
                  [word](std::string_view verb) { return equals_ignoring_case(word, verb); });
  return http ? Verb::http : Verb::unknown;
}

Command parse_command(std::string_view line) {
  Command command;
  command.verb = recognise_verb(line);
  const std::string_view arguments = trim(line.substr(first_word(line).size()));
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
  };
  if (std::any_of(line.begin(), line.end(), is_control)) {
    command.arguments = fault(500, {5, 5, 2}, "a command holds no control characters");
    return command;
  }
  switch (command.verb) {
    case Verb::ehlo:
    case Verb::helo:
      command.arguments = parse_greeting(arguments);
      break;
    case Verb::auth:
      command.arguments = parse_auth(arguments);
      break;
    case Verb::mail:
      if (auto sender = parse_mail_arguments(arguments)) {
        command.arguments = MailCommand{std::move(*sender)};
      } else {
        command.arguments = CommandFault{std::move(sender).error()};
      }
      break;
    case Verb::rcpt:
      if (auto recipient = parse_rcpt_arguments(arguments)) {
        command.arguments = RcptCommand{std::move(*recipient)};
      } else {
        command.arguments = CommandFault{std::move(recipient).error()};
      }
      break;
    case Verb::data:
    case Verb::rset:
    case Verb::starttls:
      // RFC 5321 §4.1.1, RFC 3207 §4: these take none. QUIT is let go whatever it says.
      if (!arguments.empty())
        command.arguments = fault(501, {5, 5, 4}, "this command takes no arguments");
      break;
    case Verb::vrfy:
    case Verb::expn:
    case Verb::noop:
    case Verb::quit:
    case Verb::help:
    case Verb::bdat:
    case Verb::http:
    case Verb::unknown:
      break;
  }
  return command;
}

}  // namespace postern::smtp
