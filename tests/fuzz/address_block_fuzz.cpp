// links: postern_policy
// A block and, after a line feed, an address: what parses contains its own first address.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/policy/patterns.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = input.find('\n');
  const auto block = postern::policy::AddressBlock::parse(input.substr(0, line_end));
  if (!block) return 0;
  const std::string_view text = block->text();
  const auto network = postern::IpAddress::parse(text.substr(0, text.find('/')));
  POSTERN_ASSERT(network && block->contains(*network));
  if (line_end == std::string_view::npos) return 0;
  const auto address = postern::IpAddress::parse(input.substr(line_end + 1));
  if (address && block->contains(*address)) {
    POSTERN_ASSERT(address->is_ipv6 == network->is_ipv6);
  }
  return 0;
}
