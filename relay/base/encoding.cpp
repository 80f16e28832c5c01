// Base64 (RFC 4648 §4) and hexadecimal, strict both.
#include "relay/base/encoding.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "relay/base/secret.hpp"

namespace postern {
namespace {

constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_digit = 0xFF;

constexpr std::array<std::uint8_t, 256> make_base64_values() {
  std::array<std::uint8_t, 256> values{};
  for (auto& value : values) value = no_digit;
  for (std::size_t i = 0; i < base64_alphabet.size(); ++i) {
    values[static_cast<unsigned char>(base64_alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr auto base64_values = make_base64_values();

std::uint8_t base64_value(char c) { return base64_values[static_cast<unsigned char>(c)]; }

std::uint8_t hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return no_digit;
}

// The code point that starts at `at` of valid UTF-8; `at` moves behind it.
std::uint32_t take_code_point(std::string_view text, std::size_t& at) {
  const auto first = static_cast<unsigned char>(text[at++]);
  std::uint32_t point = first;
  if (first >= 0xF0U) {
    point = first & 0x07U;
  } else if (first >= 0xE0U) {
    point = first & 0x0FU;
  } else if (first >= 0xC0U) {
    point = first & 0x1FU;
  }
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) {
    point = (point << 6U) | (static_cast<unsigned char>(text[at++]) & 0x3FU);
  }
  return point;
}

}  // namespace

std::string encode_base64(ByteView bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0U);
    }
    text += base64_alphabet[group >> 18 & 63];
    text += base64_alphabet[group >> 12 & 63];
    text += count > 1 ? base64_alphabet[group >> 6 & 63] : '=';
    text += count > 2 ? base64_alphabet[group & 63] : '=';
  }
  return text;
}

std::optional<Bytes> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const std::string_view digits = text.substr(0, text.size() - padding);
  // Full size at once: the result may be a password, and growing would leave copies behind.
  Bytes bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const char c : digits) {
    const std::uint8_t value = base64_value(c);
    if (value == no_digit) {
      wipe(bytes);  // the beginning of a password, perhaps
      return std::nullopt;
    }
    bits = (bits << 6 | value) & 0xFFFF;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> bit_count & 0xFF));
    }
  }
  // RFC 4648 §3.5: bits that no octet needs must be zero, so that every value has one spelling.
  if ((bits & ((1U << bit_count) - 1)) != 0) {
    wipe(bytes);
    return std::nullopt;
  }
  return bytes;
}

std::string encode_hex(ByteView bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<std::size_t>(b >> 4)];
    text += digits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return text;
}

std::optional<Bytes> decode_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const std::uint8_t high = hex_value(text[i]);
    const std::uint8_t low = hex_value(text[i + 1]);
    if (high == no_digit || low == no_digit) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(high << 4 | low));
  }
  return bytes;
}

std::string encode_utf8_address(std::string_view address) {
  std::string encoded;
  std::size_t at = 0;
  while (at < address.size()) {
    const char c = address[at];
    if (c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\') {
      encoded += c;
      ++at;
      continue;
    }
    encoded += fmt::format("\\x{{{:02X}}}", take_code_point(address, at));
  }
  return encoded;
}

}  // namespace postern
