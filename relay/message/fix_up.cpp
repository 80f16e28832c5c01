// What a submission server changes in a header (RFC 6409 §8, RFC 5321 §4.4). Promise: see
// header.hpp.
//
// Sharp edge: the EHLO name and the user's name are the client's words. They enter the Received
// field only as plain characters, so that no CRLF, comment or clause can be slipped in.
#include <algorithm>
#include <string>

#include "relay/base/text.hpp"
#include "relay/message/header.hpp"

namespace postern::message {
namespace {

constexpr std::size_t line_columns_max = 77;          // RFC 5322 §2.1.1: 78, less the ";"
constexpr std::size_t received_word_bytes_max = 255;  // a name longer than a domain is no name

bool is_eight_bit(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// What RFC 5321 §4.1.2 lets stand in a domain or an address literal, and "_" which devices use.
bool is_domain_octet(char c, bool utf8) {
  return is_letter(c) || is_digit(c) || std::string_view("-._[]:").contains(c) ||
         (utf8 && is_eight_bit(c));
}

std::string safe_domain(std::string_view name, bool utf8) {
  const bool safe = !name.empty() && name.size() <= received_word_bytes_max &&
                    (!utf8 || is_valid_utf8(name)) &&
                    std::ranges::all_of(name, [utf8](char c) { return is_domain_octet(c, utf8); });
  return safe ? std::string(name) : "unknown";
}

// Text for the inside of a comment (RFC 5322 §3.2.2), parentheses and backslashes quoted.
std::string comment_text(std::string_view text, bool utf8) {
  std::string safe;
  const bool keep_utf8 = utf8 && is_valid_utf8(text);
  for (const char c : text.substr(0, received_word_bytes_max)) {
    if (c == '(' || c == ')' || c == '\\') safe += '\\';
    const bool plain = c >= ' ' && c <= '~';
    safe += plain || (is_eight_bit(c) && keep_utf8) ? c : '?';
  }
  return safe;
}

bool is_safe_path(std::string_view path, bool utf8) {
  return path.size() <= 2 * received_word_bytes_max && is_valid_utf8(path) &&
         std::ranges::all_of(path, [utf8](char c) {
           return (c > ' ' && c <= '~' && c != '<' && c != '>') || (utf8 && is_eight_bit(c));
         });
}

// Puts clauses one after the other and starts a new line before the one that would pass the margin.
class FoldedField {
 public:
  explicit FoldedField(std::string start) : octets_(std::move(start)), columns_(octets_.size()) {}
  void add(const std::string& clause) {
    if (columns_ + 1 + clause.size() > line_columns_max) {
      octets_ += "\r\n\t" + clause;
      columns_ = 1 + clause.size();
    } else {
      octets_ += " " + clause;
      columns_ += 1 + clause.size();
    }
  }
  [[nodiscard]] std::string finish() const { return octets_ + "\r\n"; }

 private:
  std::string octets_;
  std::size_t columns_;
};

std::string address_literal(std::string_view address) {
  const bool ipv6 = address.contains(':');
  return safe_domain((ipv6 ? "[IPv6:" : "[") + std::string(address) + "]", false);
}

std::string received_field(const SubmissionFacts& facts) {
  FoldedField field("Received:");
  if (facts.show_user) {
    field.add("from " + safe_domain(facts.client_name, facts.utf8));
    field.add("(" + address_literal(facts.client_address) + ")");
    field.add("(authenticated as " + comment_text(facts.user_name, facts.utf8) + ")");
  } else {
    field.add("from unknown");
  }
  field.add("by " + safe_domain(facts.hostname, facts.utf8));
  field.add(facts.utf8 ? "with UTF8SMTPSA" : "with ESMTPSA");  // RFC 3848, RFC 6531 §4.3
  field.add("id " + safe_domain(facts.queue_id, false));
  if (facts.single_recipient && is_safe_path(*facts.single_recipient, facts.utf8)) {
    field.add("for <" + *facts.single_recipient + ">");
  }
  if (!facts.tls_cipher.empty()) {  // RFC 8314 §4.3: the "tls" clause stands last
    field.add("tls " + safe_domain(facts.tls_cipher, false));
    if (!facts.tls_version.empty()) {
      field.add("(" + comment_text(facts.tls_version, false) + ")");
    }
  }
  std::string octets = field.finish();
  octets.insert(octets.size() - 2, ";\r\n\t" + format_mail_date(facts.now));
  return octets;
}

// The authserv-id that opens an Authentication-Results value (RFC 8601 §2.2), comments before it
// skipped.
std::string authentication_service(std::string_view value) {
  std::size_t depth = 0;
  bool quoted = false;
  std::string id;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '\\' && i + 1 < value.size()) {
      ++i;
      if (depth == 0) id += value[i];
    } else if (!quoted && c == '(') {
      ++depth;
    } else if (!quoted && c == ')' && depth > 0) {
      --depth;
    } else if (depth > 0) {
      continue;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ';' || c == ' ' || c == '\t')) {
      if (c == ';' || !id.empty()) break;
    } else {
      id += c;
    }
  }
  return id;
}

void add_where_missing(Header& header, std::string_view name, const std::string& value) {
  // An empty field is as good as none: devices write one when their clock or name is not set.
  header.remove_if([name](const HeaderField& f) { return f.is(name) && f.value().empty(); });
  if (header.find(name) == nullptr) header.append(std::string(name) + ": " + value + "\r\n");
}

}  // namespace

Result<> fix_up(Header& header, const SubmissionFacts& facts) {
  constexpr std::string_view operation = "check the message header";
  if (header.count("Received") > received_fields_max) {  // RFC 5321 §6.3
    return fail(ErrorKind::unsupported, std::string(operation),
                "mail loop: the message has passed more than " +
                    std::to_string(received_fields_max) + " mail servers");
  }
  const std::size_t from = header.count("From");
  if (from == 0) {  // RFC 5322 §3.6
    return fail(ErrorKind::invalid, std::string(operation),
                "the message has no From field; set a sender address in the device or program");
  }
  if (from > 1) {
    return fail(ErrorKind::invalid, std::string(operation),
                "the message has more than one From field");
  }
  // RFC 5322 §3.6. Rights to send are judged by the one Sender; a reader may show the other.
  if (header.count("Sender") > 1) {
    return fail(ErrorKind::invalid, std::string(operation),
                "the message has more than one Sender field");
  }
  header.remove("Bcc");
  header.remove("Resent-Bcc");
  header.remove("Return-Path");
  header.remove_if([&facts](const HeaderField& field) {  // RFC 8601 §5
    return field.is("Authentication-Results") &&
           equals_ignoring_case(authentication_service(field.value()), facts.hostname);
  });
  add_where_missing(header, "Date", format_mail_date(facts.now));
  add_where_missing(header, "Message-ID",
                    "<" + facts.queue_id + "." + facts.random_token + "@" + facts.hostname + ">");
  header.prepend(received_field(facts));
  return {};
}

}  // namespace postern::message
