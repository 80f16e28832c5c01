// Secrets: wiped when they move or end.
#include "relay/base/secret.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>

#include "tests/unit/base/freed_memory.hpp"

namespace postern {
namespace {

static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);

TEST(Secret, TakingFromAStringWipesTheString) {
  std::string text = "a longer one than the small string buffer";
  const char* memory = text.data();
  const std::size_t length = text.size();
  text.resize(5);  // the tail stays behind in the unused room
  const Secret secret = Secret::take_from(text);
  EXPECT_EQ(secret.text(), "a lon");
  EXPECT_TRUE(text.empty());
  ASSERT_EQ(text.data(), memory);
  text.resize(length);
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c == '\0'; }));
}

TEST(Secret, AMovedSecretIsEmpty) {
  Secret first("hunter2");
  Secret second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT: looking at the moved-from value is the point
  EXPECT_EQ(second.text(), "hunter2");
  Secret third("other");
  third = std::move(second);
  EXPECT_EQ(third.text(), "hunter2");
  EXPECT_EQ(third.clone().text(), "hunter2");
}

TEST(Secret, RoomIsZeroedAndWritable) {
  Secret room = Secret::of_size(4);
  EXPECT_EQ(room.text(), std::string_view("\0\0\0\0", 4));
  room.writable()[0] = std::byte{'x'};
  EXPECT_EQ(room.text()[0], 'x');
  EXPECT_TRUE(Secret::of_size(0).empty());
}

TEST(Secret, WipeOverwrites) {
  Bytes bytes(64, std::byte{0x55});
  wipe(bytes);
  EXPECT_EQ(bytes, Bytes(64));
}

TEST(Secret, ABufferThatGrowsLeavesNothingBehind) {
  Bytes buffer;
  FreedMemoryWatch watch({"hunter2"});
  append_wiping(buffer, as_bytes("hunter2"));
  append_wiping(buffer, Bytes(5'000, std::byte{'x'}));
  append_wiping(buffer, as_bytes("the end"));
  EXPECT_EQ(watch.found(), "");
  EXPECT_EQ(as_text(buffer), "hunter2" + std::string(5'000, 'x') + "the end");
  wipe(buffer);
}

TEST(Secret, WhatIsDroppedFromTheFrontIsWiped) {
  FreedMemoryWatch watch({"hunter2", "of the line"});
  {
    Bytes buffer;
    append_wiping(buffer, as_bytes("hunter2, the rest of the line"));
    drop_front_wiping(buffer, 9);
    EXPECT_EQ(as_text(buffer), "the rest of the line");
    drop_front_wiping(buffer, 0);
    EXPECT_EQ(buffer.size(), 20U);
    drop_front_wiping(buffer, 20);
    EXPECT_TRUE(buffer.empty());
  }
  EXPECT_EQ(watch.found(), "");
}

}  // namespace
}  // namespace postern
