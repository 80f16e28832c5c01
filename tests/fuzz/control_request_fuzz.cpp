// links: postern_control
// A request that is taken reads back as itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/control/protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto request =
      postern::control::decode_request(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!request) return 0;
  const auto again = postern::control::decode_request(postern::control::encode_request(*request));
  POSTERN_ASSERT(again && again->verb == request->verb && again->id == request->id &&
                 again->all == request->all);
  return 0;
}
