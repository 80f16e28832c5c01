// links: postern_base
// A socket address as a configuration writes it: what is taken reads back from its own text as the
// same.
#include <cstddef>
#include <cstdint>

#include "relay/base/assert.hpp"
#include "relay/base/socket_address.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = postern::SocketAddress::parse(text)) {
    POSTERN_ASSERT(postern::SocketAddress::parse(address->text()) == address);
  }
  if (const auto address = postern::IpAddress::parse(text)) {
    POSTERN_ASSERT(postern::IpAddress::parse(address->text()) == address);
  }
  return 0;
}
