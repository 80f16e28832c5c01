// links: postern_update
// The head of an update bundle: sizes stay within their bounds and within what was given.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "firmware/update/bundle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  const std::string_view front(reinterpret_cast<const char*>(data), size);
  if (const auto head = read_bundle_head(front); head && head->parts_at > size) std::abort();
  const auto manifest = read_manifest(front);
  if (manifest && (manifest->root.bytes == 0 || manifest->root.bytes > root_bytes_max ||
                   manifest->kernel_b.bytes > kernel_bytes_max || manifest->built <= 0)) {
    std::abort();
  }
  return 0;
}
