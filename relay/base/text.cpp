// Small text helpers; see text.hpp.
#include "relay/base/text.hpp"

#include <algorithm>

namespace postern {

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = ascii_lower(c);
  return lower;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return ascii_lower(x) == ascii_lower(y);
         });
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool holds_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < ' ' || c == 0x7F) return true;
    // U+0080 to U+009F are C2 80 to C2 9F (RFC 3629 §3).
    if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      return true;
    }
  }
  return false;
}

bool is_valid_utf8(std::string_view text) {
  // The well-formed sequences of RFC 3629 §4: the first octet fixes the length and the range of the
  // second, which is what rules out overlong forms, surrogates and values beyond U+10FFFF.
  std::size_t i = 0;
  const auto octet = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  while (i < text.size()) {
    const unsigned char first = octet(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    std::size_t following = 0;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
      following = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      following = 2;
      if (first == 0xE0) second_min = 0xA0;
      if (first == 0xED) second_max = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      following = 3;
      if (first == 0xF0) second_min = 0x90;
      if (first == 0xF4) second_max = 0x8F;
    } else {
      return false;
    }
    if (text.size() - i <= following) return false;
    if (octet(i + 1) < second_min || octet(i + 1) > second_max) return false;
    for (std::size_t k = 2; k <= following; ++k) {
      if (octet(i + k) < 0x80 || octet(i + k) > 0xBF) return false;
    }
    i += following + 1;
  }
  return true;
}

}  // namespace postern
