// Decoding what PLAIN and LOGIN send.
#include "relay/smtp/sasl.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"

namespace postern::smtp {
namespace {

std::expected<void, SaslFault> check_user_name(std::string_view name) {
  if (name.empty() || name.size() > user_name_bytes_max || !is_valid_utf8(name) ||
      holds_control(name)) {
    return std::unexpected(SaslFault::credential);
  }
  return {};
}

}  // namespace

std::expected<Secret, SaslFault> decode_response(std::string_view text) {
  auto bytes = decode_base64(text);
  if (!bytes) return std::unexpected(SaslFault::syntax);
  Secret secret{ByteView(*bytes)};
  wipe(*bytes);
  return secret;
}

std::expected<Secret, SaslFault> decode_initial_response(std::string_view text) {
  if (text == "=") return Secret();
  return decode_response(text);
}

std::expected<PlainCredential, SaslFault> parse_plain(const Secret& message) {
  const std::string_view text = message.text();
  const std::size_t first = text.find('\0');
  if (first == std::string_view::npos) return std::unexpected(SaslFault::syntax);
  const std::size_t second = text.find('\0', first + 1);
  if (second == std::string_view::npos) return std::unexpected(SaslFault::syntax);
  const std::string_view authorisation = text.substr(0, first);
  const std::string_view user_name = text.substr(first + 1, second - first - 1);
  const std::string_view password = text.substr(second + 1);
  // RFC 4616 §2: no NUL within the parts, neither name nor password empty.
  if (user_name.empty() || password.empty() || password.find('\0') != std::string_view::npos) {
    return std::unexpected(SaslFault::syntax);
  }
  if (!authorisation.empty() && authorisation != user_name) {
    return std::unexpected(SaslFault::credential);
  }
  if (const auto checked = check_user_name(user_name); !checked) {
    return std::unexpected(checked.error());
  }
  if (password.size() > password_bytes_max) return std::unexpected(SaslFault::credential);
  return PlainCredential{std::string(user_name), Secret(password)};
}

std::expected<std::string, SaslFault> parse_login_user_name(const Secret& message) {
  if (message.empty()) return std::unexpected(SaslFault::syntax);
  if (const auto checked = check_user_name(message.text()); !checked) {
    return std::unexpected(checked.error());
  }
  return std::string(message.text());
}

std::expected<Secret, SaslFault> parse_login_password(Secret message) {
  if (message.size() > password_bytes_max || message.text().find('\0') != std::string_view::npos) {
    return std::unexpected(SaslFault::credential);
  }
  return message;
}

}  // namespace postern::smtp
