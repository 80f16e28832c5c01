// Paths (RFC 5321 §4.1.2) and parameters of MAIL and RCPT.
#include "relay/smtp/envelope_parameters.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "relay/base/text.hpp"

namespace postern::smtp {
namespace {

using Fault = std::unexpected<Reply>;

Fault bad_parameter(std::string_view text) { return Fault(make_reply(501, {5, 5, 4}, text)); }

// The path's inside; `text` is left behind its '>'. A '>' or '<' within a quoted string does not
// count.
std::optional<std::string_view> take_path(std::string_view& text) {
  if (!text.starts_with('<')) return std::nullopt;
  bool quoted = false;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == '>' && !quoted) {
      const std::string_view inside = text.substr(1, i - 1);
      text.remove_prefix(i + 1);
      return inside;
    }
  }
  return std::nullopt;
}

// RFC 5321 §4.1.1.3, appendix C: "@one,@two:user@domain" is read, and the route ignored.
std::string_view without_source_route(std::string_view path) {
  if (!path.starts_with('@')) return path;
  const std::size_t colon = path.find(':');
  if (colon == std::string_view::npos) return path;
  std::string_view route = path.substr(0, colon);
  while (!route.empty()) {
    const std::size_t comma = route.find(',');
    const std::string_view hop = route.substr(0, comma);
    if (!hop.starts_with('@') || !is_valid_domain(hop.substr(1), true)) return path;
    if (comma == std::string_view::npos) return path.substr(colon + 1);
    route.remove_prefix(comma + 1);
  }
  return path;
}

// "FROM:" or "TO:", and the blanks that many devices put behind it although no standard has them.
bool take_keyword(std::string_view& text, std::string_view keyword) {
  if (!starts_with_ignoring_case(text, keyword)) return false;
  text = trim(text.substr(keyword.size()));
  return true;
}

struct Parameter {
  std::string_view keyword;
  std::optional<std::string_view> value;
};

// The next parameter; nothing at the end. RFC 5321 §4.1.2: values hold no '=', space or control.
std::optional<Parameter> take_parameter(std::string_view& text) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view whole = text.substr(0, end);
  text.remove_prefix(end);
  const std::size_t equals = whole.find('=');
  if (equals == std::string_view::npos) return Parameter{whole, std::nullopt};
  return Parameter{whole.substr(0, equals), whole.substr(equals + 1)};
}

// Which of the known keywords this is, each taken once.
template <std::size_t count>
ParsedOrReply<std::size_t> recognise(const Parameter& parameter,
                                     const std::array<std::string_view, count>& keywords,
                                     std::array<bool, count>& seen) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!equals_ignoring_case(parameter.keyword, keywords[i])) continue;
    if (std::exchange(seen[i], true)) {
      return bad_parameter("the parameter " + std::string(keywords[i]) + " is given twice");
    }
    return i;
  }
  return Fault(make_reply(555, {5, 5, 4}, "unknown parameter"));  // RFC 5321 §4.1.1.11
}

ParsedOrReply<std::uint64_t> parse_size(std::string_view value) {
  constexpr std::size_t digits_max = 20;  // RFC 1870 §3
  if (value.empty() || value.size() > digits_max ||
      !std::all_of(value.begin(), value.end(), is_digit)) {
    return bad_parameter("SIZE wants 1 to 20 digits");
  }
  // Twenty digits can be more than 64 bits; either way it is more than anybody's limit.
  return parse_decimal<std::uint64_t>(value).value_or(std::numeric_limits<std::uint64_t>::max());
}

ParsedOrReply<std::string> parse_envelope_id(std::string_view value) {
  if (value.size() > envelope_id_bytes_max) return bad_parameter("ENVID is too long");
  auto decoded = decode_xtext(value);
  if (!decoded || !is_ascii(*decoded) || holds_control(*decoded)) {
    return bad_parameter("ENVID is no xtext of printable characters (RFC 3461)");
  }
  return std::move(*decoded);
}

ParsedOrReply<std::string> parse_original_recipient(std::string_view value) {
  const Fault fault =
      bad_parameter("ORCPT wants an address type, a semicolon and xtext (RFC 3461)");
  const std::size_t semicolon = value.find(';');
  if (value.size() > original_recipient_bytes_max || semicolon == std::string_view::npos) {
    return fault;
  }
  const std::string_view type = value.substr(0, semicolon);
  const bool type_is_atom = !type.empty() && std::all_of(type.begin(), type.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-';
  });
  const auto address = decode_xtext(value.substr(semicolon + 1));
  if (!type_is_atom || !address || address->empty() || !is_valid_utf8(*address) ||
      holds_control(*address)) {
    return fault;
  }
  return std::string(type) + ";" + *address;
}

ParsedOrReply<NotifyWishes> parse_notify(std::string_view value) {
  NotifyWishes wishes{.given = true};
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view word = value.substr(0, comma);
    if (equals_ignoring_case(word, "NEVER")) {
      wishes.never = true;
    } else if (equals_ignoring_case(word, "SUCCESS")) {
      wishes.success = true;
    } else if (equals_ignoring_case(word, "FAILURE")) {
      wishes.failure = true;
    } else if (equals_ignoring_case(word, "DELAY")) {
      wishes.delay = true;
    } else {
      return bad_parameter("NOTIFY knows NEVER, SUCCESS, FAILURE and DELAY");
    }
    if (comma == std::string_view::npos) break;
    value.remove_prefix(comma + 1);
  }
  // RFC 3461 §4.1: NEVER stands alone.
  if (wishes.never && (wishes.success || wishes.failure || wishes.delay)) {
    return bad_parameter("NOTIFY=NEVER stands alone");
  }
  return wishes;
}

// RFC 4954 §5: xtext of a mailbox, or "<>". Checked and not passed on: we vouch for our users
// ourselves.
bool is_valid_auth_parameter(std::string_view value) {
  const auto decoded = decode_xtext(value);
  return decoded && (*decoded == "<>" || parse_mailbox(*decoded, true));
}

constexpr std::array<std::string_view, 7> mail_keywords = {"SIZE",  "BODY",       "SMTPUTF8", "RET",
                                                           "ENVID", "REQUIRETLS", "AUTH"};
enum MailKeyword : std::size_t { size, body, smtputf8, ret, envid, requiretls, auth };

ParsedOrReply<void> apply_mail_parameter(Sender& sender, std::size_t keyword,
                                         std::optional<std::string_view> given) {
  const bool wants_value = keyword != smtputf8 && keyword != requiretls;
  if (wants_value != given.has_value()) {
    return bad_parameter("the parameter " + std::string(mail_keywords[keyword]) +
                         (wants_value ? " wants a value" : " takes no value"));
  }
  const std::string_view value = given.value_or(std::string_view());
  if (keyword == size) {
    const auto bytes = parse_size(value);
    if (!bytes) return Fault(bytes.error());
    sender.declared_bytes = *bytes;
  } else if (keyword == body) {
    if (equals_ignoring_case(value, "8BITMIME")) {
      sender.body = BodyType::eight_bit_mime;
    } else if (!equals_ignoring_case(value, "7BIT")) {
      return bad_parameter("BODY knows 7BIT and 8BITMIME");  // RFC 6152; BINARYMIME is not offered
    }
  } else if (keyword == smtputf8) {
    sender.smtputf8 = true;
  } else if (keyword == ret) {
    if (equals_ignoring_case(value, "FULL")) {
      sender.dsn_return = DsnReturn::full;
    } else if (equals_ignoring_case(value, "HDRS")) {
      sender.dsn_return = DsnReturn::headers;
    } else {
      return bad_parameter("RET knows FULL and HDRS");
    }
  } else if (keyword == envid) {
    auto id = parse_envelope_id(value);
    if (!id) return Fault(id.error());
    sender.envelope_id = std::move(*id);
  } else if (keyword == requiretls) {
    sender.require_tls = true;
  } else if (!is_valid_auth_parameter(value)) {
    return bad_parameter("AUTH wants xtext of a mailbox, or <> (RFC 4954)");
  }
  return {};
}

}  // namespace

std::optional<std::string> decode_xtext(std::string_view text) {
  const auto hex_value = [](char c) -> int {  // RFC 3461 §4: upper case only
    if (is_digit(c)) return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high << 4 | low);
      i += 2;
    } else if (c == '=' || c == ' ' || static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      return std::nullopt;
    } else {
      decoded += c;  // octets above 127: RFC 6533 §3 lets "utf-8" addresses be written as they are
    }
  }
  return decoded;
}

ParsedOrReply<Sender> parse_mail_arguments(std::string_view arguments) {
  if (!take_keyword(arguments, "FROM:")) {
    return Fault(make_reply(501, {5, 5, 4}, "write it as MAIL FROM:<address>"));
  }
  const auto path = take_path(arguments);
  if (!path) return Fault(make_reply(501, {5, 1, 7}, "the sender wants angle brackets: <address>"));
  Sender sender;
  if (!path->empty()) {
    sender.reverse_path.mailbox = parse_mailbox(without_source_route(*path), true);
    if (!sender.reverse_path.mailbox) {
      return Fault(make_reply(501, {5, 1, 7}, "the sender's address is not well-formed"));
    }
  }
  if (!arguments.empty() && !arguments.starts_with(' ')) {
    return bad_parameter("there must be a space between the address and its parameters");
  }
  std::array<bool, mail_keywords.size()> seen{};
  while (const auto parameter = take_parameter(arguments)) {
    const auto keyword = recognise(*parameter, mail_keywords, seen);
    if (!keyword) return Fault(keyword.error());
    if (const auto applied = apply_mail_parameter(sender, *keyword, parameter->value); !applied) {
      return Fault(applied.error());
    }
  }
  if (!sender.smtputf8 && sender.reverse_path.mailbox &&
      sender.reverse_path.mailbox->needs_smtputf8()) {
    return Fault(make_reply(553, {5, 6, 7}, "an address beyond ASCII wants SMTPUTF8"));
  }
  return sender;
}

ParsedOrReply<Recipient> parse_rcpt_arguments(std::string_view arguments) {
  if (!take_keyword(arguments, "TO:")) {
    return Fault(make_reply(501, {5, 5, 4}, "write it as RCPT TO:<address>"));
  }
  const auto path = take_path(arguments);
  if (!path) {
    return Fault(make_reply(501, {5, 1, 3}, "the recipient wants angle brackets: <address>"));
  }
  if (equals_ignoring_case(*path, "postmaster")) {
    // RFC 5321 §4.1.1.3 has it without a domain for the server's own; a relay has no mailbox of its
    // own.
    return Fault(make_reply(550, {5, 1, 1}, "no mailbox here; give postmaster a domain"));
  }
  auto mailbox = parse_mailbox(without_source_route(*path), true);
  if (!mailbox) {
    return Fault(make_reply(501, {5, 1, 3}, "the recipient's address is not well-formed"));
  }
  if (mailbox->domain.starts_with('[')) {
    return Fault(make_reply(550, {5, 1, 2}, "address literals are not relayed to; give a domain"));
  }
  if (!arguments.empty() && !arguments.starts_with(' ')) {
    return bad_parameter("there must be a space between the address and its parameters");
  }
  Recipient recipient{.mailbox = std::move(*mailbox), .notify = {}, .original_recipient = {}};
  constexpr std::array<std::string_view, 2> keywords = {"NOTIFY", "ORCPT"};
  std::array<bool, keywords.size()> seen{};
  while (const auto parameter = take_parameter(arguments)) {
    const auto keyword = recognise(*parameter, keywords, seen);
    if (!keyword) return Fault(keyword.error());
    if (!parameter->value) {
      return bad_parameter("the parameter " + std::string(keywords[*keyword]) + " wants a value");
    }
    if (*keyword == 0) {
      const auto notify = parse_notify(*parameter->value);
      if (!notify) return Fault(notify.error());
      recipient.notify = *notify;
    } else {
      auto original = parse_original_recipient(*parameter->value);
      if (!original) return Fault(original.error());
      recipient.original_recipient = std::move(*original);
    }
  }
  return recipient;
}

}  // namespace postern::smtp
