// links: postern_firmware
// An SNTP answer (RFC 4330): the time taken is never before the image's date.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "firmware/init/sntp.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t built = 1'795'000'000;
  const auto time = postern::firmware::read_sntp_reply({data, size}, 0, built);
  if (time && (time->seconds < built || time->microseconds >= 1'000'000)) std::abort();
  return 0;
}
