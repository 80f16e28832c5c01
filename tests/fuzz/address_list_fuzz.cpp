// links: postern_message
// Addresses of a From field: what comes out, put into a field of its own, comes out again
// unchanged.
#include <cstddef>
#include <cstdint>
#include <string>

#include "relay/base/assert.hpp"
#include "relay/message/header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::message;
  const std::string value(reinterpret_cast<const char*>(data), size);
  const auto addresses = addresses_in(HeaderField{"From: " + value + "\r\n", 4});
  if (!addresses) return 0;
  for (const std::string& address : *addresses) {
    const auto again = addresses_in(HeaderField{"From: <" + address + ">\r\n", 4});
    POSTERN_ASSERT(again && again->size() == 1 && again->front() == address);
  }
  return 0;
}
