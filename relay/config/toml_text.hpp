// What a file's text must be before toml++ may read it.
//
// Promise: outside quotes and comments there is ASCII only, and texts end on their line. toml++ 3.3
// and 3.4 reach code they promised the compiler to be unreachable when other characters stand there
// (its test for white space), which is undefined behaviour on a mere slip, such as typographic
// quotes pasted from a page. Texts over several lines are refused because no value of ours may hold
// a line feed anyway.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::config {

struct TextFlaw {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  std::string message;
};

[[nodiscard]] std::optional<TextFlaw> find_text_flaw(std::string_view text);

}  // namespace postern::config
