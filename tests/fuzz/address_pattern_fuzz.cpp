// links: postern_policy
// A pattern and, after a line feed, a mailbox to match: any octets must parse, match or fail in
// peace.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/policy/patterns.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = input.find('\n');
  const auto pattern = postern::policy::AddressPattern::parse(input.substr(0, line_end));
  if (!pattern) return 0;
  POSTERN_ASSERT(pattern->text() == input.substr(0, line_end));
  // A pattern that is itself a mailbox matches itself.
  const auto own = postern::smtp::parse_mailbox(pattern->text(), true);
  if (own && !pattern->text().starts_with('*')) POSTERN_ASSERT(pattern->matches(*own));
  if (line_end == std::string_view::npos) return 0;
  const auto mailbox = postern::smtp::parse_mailbox(input.substr(line_end + 1), true);
  if (mailbox && pattern->matches(*mailbox)) {
    POSTERN_ASSERT(postern::policy::any_matches({*pattern}, *mailbox));
  }
  return 0;
}
