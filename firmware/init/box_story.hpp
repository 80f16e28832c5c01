// What the supervisor tells everybody on the box of the slot and the last update, in a small file:
//
//   slot: b
//   state: on trial
//   update: version 0.2.0 is installed in slot b
//
// Promise: what was written is read back the same; a file from elsewhere gives printable ASCII of
// bounded length or nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::firmware {

inline constexpr char box_story_file[] = "/run/postern-box";  // root's, and readable by all
inline constexpr std::size_t box_story_bytes_max = 4096;
inline constexpr std::size_t story_value_bytes_max = 1000;  // a sentence or two

struct BoxStory {
  std::string slot;    // "a" or "b"
  std::string state;   // "good" or "on trial"
  std::string update;  // what became of the last one; empty when there was none
  bool operator==(const BoxStory&) const = default;
};

[[nodiscard]] std::string box_story_text(const BoxStory& story);
[[nodiscard]] std::optional<BoxStory> read_box_story(std::string_view text);

}  // namespace postern::firmware
