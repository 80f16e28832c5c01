// Mailboxes of an address field (RFC 5322 §3.4, obsolete forms of §4.4, UTF-8 of RFC 6532 §3.2).
//
// Promise: linear in the field's length, comments at most comment_depth_max deep, at most
// addresses_max addresses. Sharp edge: rights to send are decided on what comes out here, so
// whatever two readers could read in two ways gives nothing at all.
#include <algorithm>
#include <string>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/message/header.hpp"

namespace postern::message {
namespace {

constexpr std::size_t comment_depth_max = 32;  // deeper is an attack on readers that recurse
constexpr std::size_t addresses_max = 1'000;   // a From field with more is no From field

struct Token {
  enum class Kind { end, atom, quoted, literal, special, broken };
  Kind kind = Kind::end;
  std::string text;  // a quoted string without its quotes and escapes
  [[nodiscard]] bool is(char special) const {
    return kind == Kind::special && text.size() == 1 && text[0] == special;
  }
  [[nodiscard]] bool is_word() const { return kind == Kind::atom || kind == Kind::quoted; }
};

bool is_atom_octet(char c) {  // RFC 5322 §3.2.3 atext, and RFC 6532 §3.2
  return is_letter(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").contains(c);
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token next() {
    if (!skip_blanks_and_comments()) return broken();
    if (at_ >= text_.size()) return {};
    const char c = text_[at_];
    if (c == '"') return delimited('"', Token::Kind::quoted);
    if (c == '[') return delimited(']', Token::Kind::literal);
    if (is_atom_octet(c)) {
      const std::size_t start = at_;
      while (at_ < text_.size() && is_atom_octet(text_[at_])) ++at_;
      return {Token::Kind::atom, std::string(text_.substr(start, at_ - start))};
    }
    if (!std::string_view("<>@,;:.").contains(c)) return broken();
    ++at_;
    return {Token::Kind::special, std::string(1, c)};
  }

 private:
  static Token broken() { return {Token::Kind::broken, {}}; }

  bool skip_blanks_and_comments() {
    std::size_t depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (is_control(c)) return false;
      if (c == '(') {
        if (++depth > comment_depth_max) return false;
      } else if (depth == 0) {
        if (c != ' ' && c != '\t') return true;
      } else if (c == ')') {
        --depth;
      } else if (c == '\\') {
        if (++at_ >= text_.size()) return false;
      }
    }
    return depth == 0;
  }

  // A quoted string or a domain literal; the latter keeps its brackets.
  Token delimited(char close, Token::Kind kind) {
    std::string inner;
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == close) {
        ++at_;
        return {kind, kind == Token::Kind::literal ? "[" + inner + "]" : inner};
      }
      if (kind == Token::Kind::literal && (c == '[' || c == '\\')) return broken();
      if (c == '\\') {
        if (++at_ >= text_.size()) return broken();
        c = text_[at_];
      }
      if (is_control(c)) return broken();
      inner += c;
    }
    return broken();
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string quote_where_needed(const std::string& local_part) {
  bool dot_atom = !local_part.empty() && local_part.front() != '.' && local_part.back() != '.' &&
                  !local_part.contains("..");
  for (const char c : local_part) dot_atom = dot_atom && (c == '.' || is_atom_octet(c));
  if (dot_atom) return local_part;
  std::string quoted = "\"";
  for (const char c : local_part) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

class AddressListParser {
 public:
  explicit AddressListParser(std::string_view text) : lexer_(text), token_(lexer_.next()) {}

  std::optional<std::vector<std::string>> parse() {
    bool in_group = false;
    bool group_seen = false;
    while (token_.kind != Token::Kind::end) {
      if (token_.is(',')) {  // obs-addr-list: empty places
        advance();
        continue;
      }
      if (in_group && token_.is(';')) {
        in_group = false;
        advance();
        if (token_.kind != Token::Kind::end && !token_.is(',')) return std::nullopt;
        continue;
      }
      if (!take_phrase()) return std::nullopt;
      if (token_.is(':') && !in_group && !phrase_.empty()) {
        in_group = group_seen = true;
        advance();
        continue;
      }
      if (!take_mailbox() || addresses_.size() > addresses_max) return std::nullopt;
      const bool ends =
          token_.kind == Token::Kind::end || token_.is(',') || (in_group && token_.is(';'));
      if (!ends) return std::nullopt;
    }
    if (in_group || (addresses_.empty() && !group_seen)) return std::nullopt;
    return std::move(addresses_);
  }

 private:
  void advance() { token_ = lexer_.next(); }

  // Words and dots up to something else: a display name, a group's name or a local part.
  bool take_phrase() {
    phrase_.clear();
    while (token_.is_word() || token_.is('.')) {
      phrase_.push_back(std::move(token_));
      advance();
    }
    return token_.kind != Token::Kind::broken;
  }

  // The phrase as a local part: words with one dot between each two.
  std::optional<std::string> local_part() const {
    if (phrase_.size() % 2 == 0) return std::nullopt;
    std::string local;
    for (std::size_t i = 0; i < phrase_.size(); ++i) {
      if (phrase_[i].is_word() != (i % 2 == 0)) return std::nullopt;
      local += phrase_[i].text;
    }
    return local;
  }

  // A route before the address (RFC 5322 §4.4 obs-route) is no mailbox here: readers disagree on
  // where it ends, and so on who the author is.
  bool take_mailbox() {
    if (token_.is('@')) return take_domain_and_store();
    if (!token_.is('<')) return false;
    advance();
    if (!take_phrase() || !token_.is('@') || !take_domain_and_store()) return false;
    if (!token_.is('>')) return false;
    advance();
    return true;
  }

  std::string take_domain() {
    if (token_.kind == Token::Kind::literal) {
      std::string literal = std::move(token_.text);
      advance();
      return literal;
    }
    std::string domain;
    while (token_.kind == Token::Kind::atom) {
      domain += token_.text;
      advance();
      if (!token_.is('.')) return domain;
      domain += '.';
      advance();
    }
    return {};  // no label where one must stand
  }

  bool take_domain_and_store() {
    const auto local = local_part();
    advance();
    const std::string domain = take_domain();
    if (!local || domain.empty()) return false;
    std::string address = quote_where_needed(*local) + "@" + domain;
    if (!is_valid_utf8(address)) return false;
    addresses_.push_back(std::move(address));
    return true;
  }

  Lexer lexer_;
  Token token_;
  std::vector<Token> phrase_;
  std::vector<std::string> addresses_;
};

}  // namespace

std::optional<std::vector<std::string>> addresses_in(const HeaderField& field) {
  const std::string value = field.value();
  return AddressListParser(value).parse();
}

}  // namespace postern::message
