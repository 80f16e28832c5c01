// Reads EHLO's answer. Promise and sharp edge: see delivery_capabilities.hpp.
#include "relay/smtp/delivery_capabilities.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "relay/base/text.hpp"

namespace postern::smtp {
namespace {

// The next word of `rest`, which loses it and the blanks before it.
std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
  rest.remove_prefix(word.size());
  return word;
}

void read_mechanisms(std::string_view rest, DeliveryCapabilities& capabilities) {
  capabilities.auth = true;
  while (true) {
    const std::string_view mechanism = take_word(rest);
    if (mechanism.empty()) return;
    if (equals_ignoring_case(mechanism, "PLAIN")) capabilities.auth_plain = true;
    if (equals_ignoring_case(mechanism, "LOGIN")) capabilities.auth_login = true;
  }
}

void read_limits(std::string_view rest, DeliveryCapabilities& capabilities) {
  while (true) {
    const std::string_view limit = take_word(rest);
    if (limit.empty()) return;
    for (const auto& [name, value] :
         {std::pair{std::string_view("RCPTMAX="), &capabilities.recipients_max},
          std::pair{std::string_view("MAILMAX="), &capabilities.transactions_max}}) {
      if (!starts_with_ignoring_case(limit, name)) continue;
      const auto count = parse_decimal<std::size_t>(limit.substr(name.size()));
      if (count && *count > 0) *value = count;  // RFC 9422 §4: 0 is not allowed
    }
  }
}

void read_line(std::string_view rest, DeliveryCapabilities& capabilities) {
  const std::string_view keyword = take_word(rest);
  const auto is = [keyword](std::string_view name) { return equals_ignoring_case(keyword, name); };
  if (is("STARTTLS")) capabilities.starttls = true;
  if (is("PIPELINING")) capabilities.pipelining = true;
  if (is("8BITMIME")) capabilities.eight_bit_mime = true;
  if (is("SMTPUTF8")) capabilities.smtputf8 = true;
  if (is("DSN")) capabilities.dsn = true;
  if (is("REQUIRETLS")) capabilities.require_tls = true;
  if (is("LIMITS")) read_limits(rest, capabilities);
  if (is("AUTH")) read_mechanisms(rest, capabilities);
  // The form of drafts before RFC 2554; some servers say only this one.
  constexpr std::string_view old_auth = "AUTH=";
  if (starts_with_ignoring_case(keyword, old_auth)) {
    read_mechanisms(keyword.substr(old_auth.size()), capabilities);
    read_mechanisms(rest, capabilities);
  }
  if (is("SIZE")) {
    capabilities.size = true;
    const auto bytes = parse_decimal<std::uint64_t>(take_word(rest));
    if (bytes && *bytes > 0) capabilities.message_bytes_max = bytes;
  }
}

}  // namespace

DeliveryCapabilities DeliveryCapabilities::parse(const Reply& ehlo_reply) {
  DeliveryCapabilities capabilities;
  // The first line greets, even if it looks like a keyword.
  for (std::size_t i = 1; i < ehlo_reply.lines.size(); ++i) {
    read_line(ehlo_reply.lines[i], capabilities);
  }
  return capabilities;
}

}  // namespace postern::smtp
