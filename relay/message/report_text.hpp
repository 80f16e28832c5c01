// Text tools of delivery reports: cleaning a peer's words, wrapping, folding, and the encodings
// reports need.
//
// Promise: what comes out of clean_text holds no control character and is valid UTF-8, so nothing
// in it can end a line, a field or a MIME part.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::message {

inline constexpr std::size_t quoted_text_bytes_max = 512;  // a peer's words in a report

// Controls become a space, octets that are no UTF-8 become '?', the rest is cut at
// quoted_text_bytes_max.
[[nodiscard]] std::string clean_text(std::string_view text);
// As clean_text, and '?' for every octet outside ASCII.
[[nodiscard]] std::string clean_ascii(std::string_view text);

// Words in lines of at most 72 columns that start with `indent`; CRLF lines.
[[nodiscard]] std::string wrap(std::string_view text, std::string_view indent);

// "Name: value" folded at blanks (RFC 5322 §2.2.3), with CRLF.
[[nodiscard]] std::string folded_field(std::string_view name, std::string_view value);

// RFC 2045 §6.7; `text` consists of CRLF lines.
[[nodiscard]] std::string encode_quoted_printable(std::string_view text);

}  // namespace postern::message
