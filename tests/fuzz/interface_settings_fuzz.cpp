// links: postern_firmware
// The lines of a fixed address: what is taken reads back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/init/interface_settings.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  const auto settings = read_settings({reinterpret_cast<const char*>(data), size});
  if (settings && read_settings(settings_text(*settings)) != settings) std::abort();
  return 0;
}
