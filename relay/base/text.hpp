// Small text helpers of the mail standards: ASCII case, trimming, and no locale anywhere.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

[[nodiscard]] constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_letter(char c) {
  return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);
[[nodiscard]] bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);
[[nodiscard]] std::string_view trim(std::string_view text);  // space and tab at both ends
[[nodiscard]] bool is_ascii(std::string_view text);
[[nodiscard]] bool is_valid_utf8(
    std::string_view text);  // RFC 3629: no surrogates, no overlong forms
// C0, DEL, or C1 as UTF-8 writes it: some terminals obey them, so no name or address may hold one.
[[nodiscard]] bool holds_control(std::string_view text);

// The whole text as a decimal number; nothing for an empty text, a sign, a space or an overflow.
template <class Number>
[[nodiscard]] std::optional<Number> parse_decimal(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty() ||
      !is_digit(text[0])) {
    return std::nullopt;
  }
  return value;
}

}  // namespace postern
