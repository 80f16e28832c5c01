// The walk over a file's text before toml++ sees it; see the header.
#include "relay/config/toml_text.hpp"

namespace postern::config {

namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";  // toml++ skips it at the start

bool is_ascii_octet(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Columns count characters, as toml++ does.
TextFlaw flaw_at(std::string_view text, std::size_t at, std::string message) {
  TextFlaw flaw;
  for (std::size_t i = 0; i < at; ++i) {
    if (text[i] == '\n') {
      ++flaw.line;
      flaw.column = 1;
    } else if (!continues_character(text[i])) {
      ++flaw.column;
    }
  }
  flaw.message = std::move(message);
  return flaw;
}

// Where a text may open: at the start, or behind one of these. Elsewhere (`5"ä"`) toml++ would take
// it for the rest of a number and look for white space in it.
bool may_open_quote(std::string_view text, std::size_t at) {
  constexpr std::string_view before = " \t\r\n=[{,.";
  return at == 0 || before.find(text[at - 1]) != std::string_view::npos ||
         text.substr(0, at) == byte_order_mark;
}

// The place behind the text that opens at `at`; its own place when it is flawed, npos when the line
// ends first, which toml++ tells well.
std::size_t end_of_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (std::size_t i = at + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == quote) return i + 1;
    if (quote == '"' && text[i] == '\\') {
      ++i;
      if (i < text.size() && !is_ascii_octet(text[i])) return at;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<TextFlaw> find_text_flaw(std::string_view text) {
  std::size_t at = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '#') {
      at = text.find('\n', at);
      if (at == std::string_view::npos) return std::nullopt;
    } else if (c == '"' || c == '\'') {
      if (text.substr(at, 3) == std::string(3, c)) {
        return flaw_at(
            text, at,
            "a text over several lines is not allowed; texts stand between \"…\" on one line");
      }
      if (!may_open_quote(text, at)) {
        return flaw_at(
            text, at,
            "a quote stands directly behind another value; a text stands alone between \"…\"");
      }
      const std::size_t end = end_of_quoted(text, at);
      if (end == std::string_view::npos) return std::nullopt;
      if (end == at)
        return flaw_at(text, at,
                       "in this text a backslash stands before a letter it cannot escape");
      at = end;
    } else if (!is_ascii_octet(c)) {
      return flaw_at(text, at,
                     "a character that is not ASCII stands outside quotes; texts stand between "
                     "plain quotes \"…\", "
                     "not typographic ones");
    } else {
      ++at;
    }
  }
  return std::nullopt;
}

}  // namespace postern::config
