// Text tools of delivery reports. Promise: see report_text.hpp.
#include "relay/message/report_text.hpp"

#include <algorithm>
#include <cstdint>

#include "relay/base/text.hpp"

namespace postern::message {
namespace {

constexpr std::size_t text_columns_max = 72;
constexpr std::size_t field_columns_max = 76;
constexpr std::size_t encoded_columns_max = 76;  // RFC 2045 §6.7 (5), soft line break included
constexpr std::string_view digits = "0123456789ABCDEF";

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

}  // namespace

std::string clean_text(std::string_view text) {
  std::string clean(text.substr(0, quoted_text_bytes_max));
  if (clean.size() < text.size()) {  // do not cut a character of several octets in two
    std::size_t end = clean.size();
    while (end > 0 && is_continuation(text[end])) --end;
    clean.resize(end);
  }
  const bool utf8 = is_valid_utf8(clean);
  for (char& c : clean) {
    if (is_control(c)) c = ' ';
    if (!utf8 && static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return clean;
}

std::string clean_ascii(std::string_view text) {
  std::string clean = clean_text(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return clean;
}

std::string wrap(std::string_view text, std::string_view indent) {
  std::string lines;
  std::string line(indent);
  while (true) {
    const std::string_view word = take_word(text);
    const bool empty_line = line.size() == indent.size();
    if (word.empty()) return empty_line ? lines : lines + line + "\r\n";
    if (!empty_line && line.size() + 1 + word.size() > text_columns_max) {
      lines += line + "\r\n";
      line = indent;
    } else if (!empty_line) {
      line += ' ';
    }
    line += word;
  }
}

std::string folded_field(std::string_view name, std::string_view value) {
  std::string field = std::string(name) + ":";
  std::size_t columns = field.size();
  while (true) {
    const std::string_view word = take_word(value);
    if (word.empty()) return field + "\r\n";
    if (columns + 1 + word.size() > field_columns_max && columns > name.size() + 1) {
      field += "\r\n";
      columns = 0;
    }
    field += ' ';
    field += word;
    columns += 1 + word.size();
  }
}

std::string encode_quoted_printable(std::string_view text) {
  std::string encoded;
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
      encoded += "\r\n";
      columns = 0;
      ++i;
      continue;
    }
    const bool before_line_end = i + 1 == text.size() || text[i + 1] == '\r';
    const bool blank = c == ' ' || c == '\t';
    // A dash at the line's start is encoded too, so that no text can look like a MIME boundary.
    const bool plain = (c > ' ' && c <= '~' && c != '=' && !(c == '-' && columns == 0)) ||
                       (blank && !before_line_end);
    const std::size_t width = plain ? 1 : 3;
    if (columns + width > encoded_columns_max - 1) {
      encoded += "=\r\n";
      columns = 0;
    }
    if (plain) {
      encoded += c;
    } else {
      const auto octet = static_cast<unsigned char>(c);
      encoded += '=';
      encoded += digits[octet >> 4U];
      encoded += digits[octet & 0x0FU];
    }
    columns += width;
  }
  return encoded;
}

}  // namespace postern::message
