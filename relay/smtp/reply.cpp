// Replies written, read and told to people (RFC 5321 §4.2, RFC 3463 §2, RFC 2034 §4).
//
// Promise: what we write is ASCII lines of at most 512 octets; what we read is bounded and cleaned
// of control characters at once, so that no later quotation of it can forge a line. Sharp edge:
// after `malformed` the byte stream has no meaning any more and the connection must go.
#include "relay/smtp/reply.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/text.hpp"

namespace postern::smtp {
namespace {

constexpr std::size_t written_line_bytes_max = 510;  // RFC 5321 §4.5.3.1.5: 512 with CRLF

// RFC 5321 §4.2: textstring is HT and the printable ASCII characters.
bool may_stand_in_reply(char c) { return c == '\t' || (c >= ' ' && c <= '~'); }

// Controls become '?'; octets that are no UTF-8 (RFC 6531 §3.7.1 allows UTF-8) too.
void clean(std::string& line) {
  const bool utf8 = is_valid_utf8(line);
  for (char& c : line) {
    const bool eight_bit = static_cast<unsigned char>(c) >= 0x80;
    if (!may_stand_in_reply(c) && !(eight_bit && utf8)) c = '?';
  }
}

// One to three digits without a leading zero (RFC 3463 §2), taken from the front of `text`.
std::optional<std::uint16_t> take_number(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  if (digits == 0 || digits > 3 || (digits > 1 && text[0] == '0')) return std::nullopt;
  const auto number = parse_decimal<std::uint16_t>(text.substr(0, digits));
  text.remove_prefix(digits);
  return number;
}

bool take_dot(std::string_view& text) {
  if (text.empty() || text[0] != '.') return false;
  text.remove_prefix(1);
  return true;
}

// Takes an enhanced status code that fits `code` (RFC 2034 §4: same class) off the front of a line.
std::optional<EnhancedStatus> take_enhanced(std::string_view& line, std::uint16_t code) {
  const auto enhanced = EnhancedStatus::parse_prefix(line);
  if (!enhanced || enhanced->status_class != code / 100) return std::nullopt;
  const std::size_t space = line.find(' ');
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return enhanced;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (true) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::string EnhancedStatus::text() const {
  return std::to_string(status_class) + "." + std::to_string(subject) + "." +
         std::to_string(detail);
}

std::optional<EnhancedStatus> EnhancedStatus::parse_prefix(std::string_view text) {
  const auto status_class = take_number(text);
  if (!status_class || (*status_class != 2 && *status_class != 4 && *status_class != 5)) {
    return std::nullopt;
  }
  if (!take_dot(text)) return std::nullopt;
  const auto subject = take_number(text);
  if (!subject || !take_dot(text)) return std::nullopt;
  const auto detail = take_number(text);
  if (!detail || (!text.empty() && text[0] != ' ')) return std::nullopt;
  return EnhancedStatus{static_cast<std::uint8_t>(*status_class), *subject, *detail};
}

std::string Reply::wire() const {
  std::string wire;
  const std::size_t count = std::max<std::size_t>(lines.size(), 1);
  for (std::size_t i = 0; i < count; ++i) {
    std::string line = std::to_string(code);
    line += i + 1 < count ? '-' : ' ';
    if (enhanced) line += enhanced->text() + " ";
    if (i < lines.size()) line += lines[i];
    if (line.size() > written_line_bytes_max) line.resize(written_line_bytes_max);
    for (char& c : line) {
      if (!may_stand_in_reply(c)) c = '?';
    }
    wire += line + "\r\n";
  }
  return wire;
}

std::string Reply::text() const {
  std::string text = std::to_string(code);
  if (enhanced) text += " " + enhanced->text();
  std::string_view separator = " ";
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    text += separator;
    text += line;
    separator = " / ";
    if (text.size() > reply_text_bytes_max) break;
  }
  if (text.size() > reply_text_bytes_max) {
    std::size_t end = reply_text_bytes_max - 3;  // room for "…"
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text.resize(end);
    text += "…";
  }
  return text;
}

Reply shortened(const Reply& reply) {
  Reply kept{reply.code, reply.enhanced, {}};
  std::size_t left = reply_text_bytes_max;
  for (const std::string& line : reply.lines) {
    kept.lines.push_back(line.substr(0, left));
    left -= kept.lines.back().size();
    if (left == 0) break;
  }
  return kept;
}

Reply make_reply(std::uint16_t code, EnhancedStatus enhanced, std::string_view text) {
  return Reply{code, enhanced, split_lines(text)};
}

Reply make_reply(std::uint16_t code, std::string_view text) {
  return Reply{code, std::nullopt, split_lines(text)};
}

ReplyParser::Status ReplyParser::feed(std::string_view& input) {
  while (!input.empty()) {
    const std::size_t end = input.find('\n');
    const std::string_view piece = input.substr(0, end);
    if (line_.size() + piece.size() > reply_line_bytes_max) return Status::malformed;
    line_ += piece;
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    if (end == std::string_view::npos) break;
    // A bare LF is taken as an end of line here: upstreams that write it exist, and a reply holds
    // nothing that could be smuggled past somebody else.
    std::string line = std::exchange(line_, {});
    if (line.ends_with('\r')) line.pop_back();
    bool last = false;
    if (!parse_line(line, last)) return Status::malformed;
    if (last) return Status::complete;
  }
  return Status::need_more;
}

bool ReplyParser::parse_line(std::string_view line, bool& last) {
  if (line.size() < 3 || line[0] < '2' || line[0] > '5') return false;
  const auto code = parse_decimal<std::uint16_t>(line.substr(0, 3));
  if (!code) return false;
  last = line.size() == 3 || line[3] == ' ';  // RFC 5321 §4.2: the code alone is a reply too
  if (!last && line[3] != '-') return false;
  std::string cleaned(line.substr(std::min<std::size_t>(line.size(), 4)));
  clean(cleaned);
  std::string_view text = cleaned;
  if (first_line_) {
    reply_ = Reply{*code, std::nullopt, {}};
    reply_.enhanced = take_enhanced(text, *code);
  } else if (*code != reply_.code || reply_.lines.size() >= reply_lines_max) {
    return false;
  } else if (std::string_view rest = text;
             reply_.enhanced && take_enhanced(rest, *code) == reply_.enhanced) {
    text = rest;
  }
  reply_.lines.emplace_back(text);
  first_line_ = last;
  return true;
}

Reply ReplyParser::take() { return std::exchange(reply_, Reply{}); }

}  // namespace postern::smtp
