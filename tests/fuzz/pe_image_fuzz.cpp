// links: postern_update
// A kernel image's headers: what is cut before the certificate table's entry carries no signature.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "firmware/update/pe_image.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  const std::string_view front(reinterpret_cast<const char*>(data), size);
  constexpr std::size_t shortest = 24 + 112 + 5 * 8;  // with the PE header in front
  if (carries_signature(front) && (size < shortest || !front.starts_with("MZ"))) std::abort();
  return 0;
}
