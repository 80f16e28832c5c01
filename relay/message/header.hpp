// The header of a message as fields, and the fix-ups a submission server owes (RFC 6409 §8).
//
// HeaderCollector takes content octets as they stream in and splits them at the empty line; what
// follows is the body, which nobody rewrites. Promise: bounded by header_bytes_max and
// header_fields_max; a field keeps its exact octets (folding included), so signing and sending see
// the same thing. Sharp edge: a message may have no body and no empty line, and a "header" may
// start with a line that is no field; both are told apart here, once.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/error.hpp"

namespace postern::message {

inline constexpr std::size_t header_bytes_max =
    262'144;  // larger headers are an attack on our memory
inline constexpr std::size_t header_fields_max = 1'000;
inline constexpr std::size_t received_fields_max = 100;  // RFC 5321 §6.3: more is a loop

struct HeaderField {
  std::string octets;      // "Subject: hello\r\n\tworld\r\n", exactly
  std::size_t name_bytes;  // length of the name
  [[nodiscard]] std::string_view name() const {
    return std::string_view(octets).substr(0, name_bytes);
  }
  [[nodiscard]] bool is(std::string_view field_name) const;
  // After the colon, unfolded and trimmed.
  [[nodiscard]] std::string value() const;
};

class Header {
 public:
  // `block` is everything before the empty line, whole CRLF lines. A first line that is no field
  // makes the header empty (the caller treats all octets as body); a later one is an Error.
  [[nodiscard]] static Result<Header> parse(std::string_view block);
  [[nodiscard]] std::span<const HeaderField> fields() const { return fields_; }
  [[nodiscard]] const HeaderField* find(std::string_view name) const;  // the first one
  [[nodiscard]] std::size_t count(std::string_view name) const;
  void remove(std::string_view name);
  template <class Predicate>  // of const HeaderField&
  void remove_if(Predicate predicate) {
    std::erase_if(fields_, predicate);
  }
  void prepend(std::string field_octets);  // "Name: value\r\n"
  void append(std::string field_octets);
  [[nodiscard]] std::string octets() const;  // all fields, without the empty line
 private:
  std::vector<HeaderField> fields_;
};

class HeaderCollector {
 public:
  enum class Status { collecting, complete, too_long };
  // Takes octets until the empty line was seen; `rest` is then what follows it (the body's
  // beginning).
  Status feed(ByteView octets, ByteView& rest);
  // No more octets will come: whatever was collected is the header.
  void finish();
  [[nodiscard]] bool complete() const { return complete_; }
  // Fields only, without the empty line; empty when the first line is no field.
  [[nodiscard]] std::string_view block() const { return block_; }
  // Octets that were collected but belong to the body: content whose first line is no field is all
  // body. The body is then body_prefix(), `rest` of the completing feed(), and what comes later.
  [[nodiscard]] std::string_view body_prefix() const { return body_prefix_; }

 private:
  std::string block_;
  std::string body_prefix_;
  std::size_t scanned_ = 0;  // no empty line begins before here
  bool first_line_checked_ = false;
  bool complete_ = false;
  bool too_long_ = false;
  void all_is_body();
};

// What fix_up() needs to know besides the header.
struct SubmissionFacts {
  std::string hostname;  // ours
  std::string queue_id;
  std::string client_name;     // EHLO argument
  std::string client_address;  // "192.168.10.7" or "2001:db8::7"
  std::string user_name;
  std::string tls_version;  // "TLSv1.3"
  std::string tls_cipher;   // "TLS_AES_256_GCM_SHA384"
  bool utf8 = false;        // RFC 6531: "with UTF8SMTPSA"
  bool show_user = true;    // whether Received tells the user's name and address
  std::optional<std::string> single_recipient;  // for "for <…>": only with exactly one recipient
  WallTime now;
  std::string random_token;  // for Message-ID, 16 lower-case hexadecimal digits or more
};

// Removes Bcc, Return-Path and an Authentication-Results in our name (RFC 8601 §5), adds Date and
// Message-ID where missing, prepends Received (RFC 5321 §4.4, RFC 3848). An Error's detail is fit
// for a 554 reply: ErrorKind::unsupported is a loop, more than received_fields_max Received fields
// ("554 5.4.6"); ErrorKind::invalid is no From field or several, or several Sender fields
// ("554 5.6.0").
[[nodiscard]] Result<> fix_up(Header& header, const SubmissionFacts& facts);

// Mailboxes in the From (or Sender) field as "local@domain" texts (RFC 5322 §3.4): groups, quoted
// names, comments and encoded words are handled; nothing when the field cannot be understood.
[[nodiscard]] std::optional<std::vector<std::string>> addresses_in(const HeaderField& field);

}  // namespace postern::message
