// The box's story as text; see the header.
#include "firmware/init/box_story.hpp"

#include <algorithm>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

std::string one_line(std::string_view value) {
  std::string line(value.substr(0, story_value_bytes_max));
  std::ranges::replace_if(line, [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

}  // namespace

std::string box_story_text(const BoxStory& story) {
  return "slot: " + one_line(story.slot) + "\nstate: " + one_line(story.state) +
         "\nupdate: " + one_line(story.update) + "\n";
}

std::optional<BoxStory> read_box_story(std::string_view text) {
  if (text.size() > box_story_bytes_max) return std::nullopt;
  BoxStory story;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return std::nullopt;
    const std::string value = one_line(line.substr(colon + 2));
    const std::string_view key = line.substr(0, colon);
    if (key == "slot") story.slot = value;
    if (key == "state") story.state = value;
    if (key == "update") story.update = value;
  }
  if ((story.slot != "a" && story.slot != "b") ||
      (story.state != "good" && story.state != "on trial")) {
    return std::nullopt;
  }
  return story;
}

}  // namespace postern::firmware
