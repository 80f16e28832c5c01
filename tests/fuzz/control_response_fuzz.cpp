// links: postern_control
// A response that is taken reads back as itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/control/protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::control;
  const auto response =
      decode_response(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!response) return 0;
  const auto again =
      decode_response(response->ok ? encode_success(response->result_json)
                                   : encode_failure(response->error, response->advice));
  POSTERN_ASSERT(again && again->ok == response->ok && again->error == response->error);
  return 0;
}
