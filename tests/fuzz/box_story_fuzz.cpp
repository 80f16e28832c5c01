// links: postern_firmware
// The box's story: whatever stands in the file, what is shown of it is short, printable and reads
// back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/init/box_story.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  const auto story = read_box_story({reinterpret_cast<const char*>(data), size});
  if (!story) return 0;
  if (story->update.size() > story_value_bytes_max) std::abort();
  for (const char c : story->update) {
    if (c < ' ' || c > '~') std::abort();
  }
  if (read_box_story(box_story_text(*story)) != story) std::abort();
  return 0;
}
