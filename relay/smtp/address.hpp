// Mail addresses as RFC 5321 §4.1.2 writes them, parsed once into a type that is kept.
//
// Promise: a Mailbox holds a local part of 1..64 octets and a domain of 1..255 octets, the local
// part without its quoting, the domain in lower case; UTF-8 is accepted only where allow_utf8 says
// so (RFC 6531 §3.3). Source routes are parsed and dropped (RFC 5321 §4.1.1.3); '%' and '!' are
// plain characters of a local part and never routed (RFC 5321 §5.1 is not for a submission server).
// Sharp edge: the local part is case-sensitive on the wire; compare with `same_mailbox`, which is
// not.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace postern::smtp {

inline constexpr std::size_t local_part_bytes_max = 64;  // RFC 5321 §4.5.3.1.1
inline constexpr std::size_t domain_bytes_max = 255;     // RFC 5321 §4.5.3.1.2
inline constexpr std::size_t path_bytes_max = 256;       // RFC 5321 §4.5.3.1.3, with "<" and ">"

struct Mailbox {
  std::string local_part;  // unquoted
  std::string domain;      // lower case; an address literal keeps its brackets

  // "local@domain", the local part quoted again where it must be.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool needs_smtputf8() const;
  // A name with a dot, or an address literal. RFC 6409 §4.2 wants nothing else from a submission
  // server: "anna@copier" means somebody else at every hop that completes it (RFC 5321 §2.3.5).
  [[nodiscard]] bool is_fully_qualified() const;
  bool operator==(const Mailbox&) const = default;
};

[[nodiscard]] bool same_mailbox(const Mailbox& a, const Mailbox& b);  // ASCII case ignored

// `text` is exactly a mailbox, without angle brackets.
[[nodiscard]] std::optional<Mailbox> parse_mailbox(std::string_view text, bool allow_utf8);
[[nodiscard]] bool is_valid_domain(std::string_view text, bool allow_utf8);  // RFC 5321 §4.1.2
[[nodiscard]] bool is_address_literal(std::string_view text);                // RFC 5321 §4.1.3

// A reverse-path: a mailbox, or nothing for "<>" (RFC 5321 §4.5.5).
struct ReversePath {
  std::optional<Mailbox> mailbox;
  [[nodiscard]] bool is_null() const { return !mailbox; }
  [[nodiscard]] std::string text() const { return mailbox ? mailbox->text() : std::string(); }
  bool operator==(const ReversePath&) const = default;
};

}  // namespace postern::smtp
