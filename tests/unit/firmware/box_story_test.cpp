// The story that `postern status` shows on a box.
#include "firmware/init/box_story.hpp"

#include <gtest/gtest.h>

namespace postern::firmware {
namespace {

TEST(BoxStory, ReadsBackAsWritten) {
  for (const BoxStory& story :
       {BoxStory{"a", "good", ""}, BoxStory{"b", "on trial", "version 2 is installed in slot b"}}) {
    EXPECT_EQ(read_box_story(box_story_text(story)), story);
  }
  EXPECT_EQ(box_story_text({"b", "on trial", "x"}), "slot: b\nstate: on trial\nupdate: x\n");
}

TEST(BoxStory, WhatWasSaidElsewhereStaysOnItsLine) {
  const auto story =
      read_box_story(box_story_text({"a", "good", "failed: \x1b[2J\nslot: b\nstate: on trial"}));
  ASSERT_TRUE(story);
  EXPECT_EQ(story->slot, "a");
  EXPECT_EQ(story->update, "failed: ?[2J?slot: b?state: on trial");
  const auto cut = read_box_story(box_story_text({"a", "good", std::string(5000, 'x')}));
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->update, std::string(story_value_bytes_max, 'x'));
}

TEST(BoxStory, AFileThatIsNoStoryIsNone) {
  for (const std::string& text :
       {std::string(), std::string("slot: a\n"), std::string("slot: c\nstate: good\nupdate: \n"),
        std::string("slot: a\nstate: splendid\nupdate: \n"),
        std::string("slot: a\nstate: good\nnonsense\n"),
        box_story_text({"a", "good", ""}) + std::string(box_story_bytes_max, '\n')}) {
    EXPECT_FALSE(read_box_story(text)) << text.substr(0, 60);
  }
}

}  // namespace
}  // namespace postern::firmware
