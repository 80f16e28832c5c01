// The small text work of the dialogues: words, escapes, replies.
//
// Promise: \0, \r, \n and \\ stand for one octet each, there and back. Sharp edge: take() wants a
// whole word, so "sender" does not match "sender-x".
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "relay/smtp/reply.hpp"

namespace postern::smtp {

// Takes `word` and the space behind it off the front of `rest`.
inline bool take(std::string_view& rest, std::string_view word) {
  if (!rest.starts_with(word)) return false;
  if (rest.size() > word.size() && rest[word.size()] != ' ') return false;
  rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  return true;
}

inline std::string take_word(std::string_view& rest) {
  const std::string word(rest.substr(0, rest.find(' ')));
  rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  return word;
}

inline std::size_t take_number(std::string_view& rest) {
  std::size_t number = 0;
  for (const char digit : take_word(rest)) number = number * 10 + std::size_t(digit - '0');
  return number;
}

inline std::string unescape(std::string_view text) {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      octets += text[i];
      continue;
    }
    const char c = text[++i];
    octets += c == '0' ? '\0' : c == 'r' ? '\r' : c == 'n' ? '\n' : c;
  }
  return octets;
}

inline std::string escape(std::string_view octets) {
  std::string text;
  for (const char c : octets) {
    if (c == '\0') {
      text += "\\0";
    } else if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else {
      text += c;
    }
  }
  return text;
}

inline std::string_view unquote(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

inline std::optional<Reply> parse_reply(std::string_view text) {
  const std::string line = std::string(text) + "\r\n";
  std::string_view input = line;
  ReplyParser parser;
  if (parser.feed(input) != ReplyParser::Status::complete) return std::nullopt;
  return parser.take();
}

inline std::string take_line(std::string& text) {
  const std::size_t end = text.find("\r\n");
  std::string line = text.substr(0, end);
  text.erase(0, end == std::string::npos ? end : end + 2);
  return line;
}

}  // namespace postern::smtp
