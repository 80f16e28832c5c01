// What several policy tests need: values out of text that must be right, or the test stops.
//
// Promise: a wrong text aborts with its line, so that no test passes by comparing two failures.
#pragma once

#include <string_view>
#include <vector>

#include "relay/base/assert.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/policy/user.hpp"

namespace postern::policy {

[[nodiscard]] inline IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  POSTERN_ASSERT(address.has_value());
  return *address;
}

[[nodiscard]] inline smtp::Mailbox mailbox(std::string_view text) {
  auto parsed = smtp::parse_mailbox(text, true);
  POSTERN_ASSERT(parsed.has_value());
  return *parsed;
}

[[nodiscard]] inline smtp::ReversePath from(std::string_view text) {
  return smtp::ReversePath{mailbox(text)};
}

[[nodiscard]] inline AddressPattern pattern(std::string_view text) {
  auto parsed = AddressPattern::parse(text);
  POSTERN_ASSERT(parsed.has_value());
  return *parsed;
}

[[nodiscard]] inline AddressBlock block(std::string_view text) {
  auto parsed = AddressBlock::parse(text);
  POSTERN_ASSERT(parsed.has_value());
  return *parsed;
}

[[nodiscard]] inline MonotonicTime at(Duration since_start) { return MonotonicTime(since_start); }

}  // namespace postern::policy
