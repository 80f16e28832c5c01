// The grammar of mailboxes and domains (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3).
#include "relay/smtp/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "relay/base/text.hpp"

namespace postern::smtp {
namespace {

constexpr std::size_t label_bytes_max = 63;  // RFC 1035 §2.3.4

bool is_eight_bit(char c) { return static_cast<unsigned char>(c) >= 0x80; }

bool is_atom_octet(char c) {  // atext of RFC 5322 §3.2.3
  return is_letter(c) || is_digit(c) ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool is_dot_string(std::string_view text) {
  char previous = '.';
  for (const char c : text) {
    if (c == '.' ? previous == '.' : !is_atom_octet(c) && !is_eight_bit(c)) return false;
    previous = c;
  }
  return previous != '.';
}

bool is_acceptable_utf8(std::string_view text, bool allow_utf8) {
  return is_ascii(text) || (allow_utf8 && is_valid_utf8(text) && !holds_control(text));
}

// A quoted string at the start of `text`, unquoted; `text` is left behind its closing quote.
std::optional<std::string> take_quoted_string(std::string_view& text) {
  std::string unquoted;
  for (std::size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      text.remove_prefix(i + 1);
      return unquoted;
    }
    if (c == '\\') {
      if (++i == text.size()) return std::nullopt;
      c = text[i];
      if (is_eight_bit(c)) return std::nullopt;  // quoted-pairSMTP is ASCII
    }
    // RFC 5321 §4.1.2: printable octets and space only, so that no path can hold a control.
    if (!is_eight_bit(c) && (c < ' ' || c > '~')) return std::nullopt;
    unquoted += c;
  }
  return std::nullopt;
}

}  // namespace

std::string Mailbox::text() const {
  std::string text;
  if (is_dot_string(local_part)) {
    text = local_part;
  } else {
    text = "\"";
    for (const char c : local_part) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text + "@" + domain;
}

bool Mailbox::needs_smtputf8() const { return !is_ascii(local_part) || !is_ascii(domain); }

bool Mailbox::is_fully_qualified() const {
  return domain.starts_with('[') || domain.find('.') != std::string::npos;
}

bool same_mailbox(const Mailbox& a, const Mailbox& b) {
  return equals_ignoring_case(a.local_part, b.local_part) &&
         equals_ignoring_case(a.domain, b.domain);
}

bool is_address_literal(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  std::string inner(text.substr(1, text.size() - 2));
  if (inner.find('\0') != std::string::npos) return false;  // inet_pton would stop there
  std::array<unsigned char, sizeof(in6_addr)> address{};
  constexpr std::string_view ipv6_tag = "IPv6:";
  if (starts_with_ignoring_case(inner, ipv6_tag)) {
    return inet_pton(AF_INET6, inner.c_str() + ipv6_tag.size(), address.data()) == 1;
  }
  return inet_pton(AF_INET, inner.c_str(), address.data()) == 1;
}

bool is_valid_domain(std::string_view text, bool allow_utf8) {
  if (text.empty() || text.size() > domain_bytes_max) return false;
  if (!is_acceptable_utf8(text, allow_utf8)) return false;
  const auto let_dig = [](char c) { return is_letter(c) || is_digit(c) || is_eight_bit(c); };
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.size() > label_bytes_max) return false;
    if (!let_dig(label.front()) || !let_dig(label.back())) return false;
    if (!std::all_of(label.begin(), label.end(), [&](char c) { return let_dig(c) || c == '-'; })) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

std::optional<Mailbox> parse_mailbox(std::string_view text, bool allow_utf8) {
  // The path's bound counts its angle brackets (RFC 5321 §4.5.3.1.3).
  if (text.size() > path_bytes_max - 2 || !is_acceptable_utf8(text, allow_utf8)) {
    return std::nullopt;
  }
  Mailbox mailbox;
  if (text.starts_with('"')) {
    auto local_part = take_quoted_string(text);
    if (!local_part) return std::nullopt;
    mailbox.local_part = std::move(*local_part);
    if (!text.starts_with('@')) return std::nullopt;
    text.remove_prefix(1);
  } else {
    const std::size_t at = text.find('@');
    if (at == std::string_view::npos || !is_dot_string(text.substr(0, at))) return std::nullopt;
    mailbox.local_part = text.substr(0, at);
    text.remove_prefix(at + 1);
  }
  if (mailbox.local_part.empty() || mailbox.local_part.size() > local_part_bytes_max) {
    return std::nullopt;
  }
  if (!is_valid_domain(text, allow_utf8) && !is_address_literal(text)) return std::nullopt;
  mailbox.domain = to_lower(text);
  return mailbox;
}

}  // namespace postern::smtp
