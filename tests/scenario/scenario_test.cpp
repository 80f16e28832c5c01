// Runs every *.dialogue file of this folder over the real sessions, without sockets.
//
// Promise: one test a file, named after it; no file at all is a failure. The directives are
// explained in README.md. Sharp edge: the files are looked for when the program starts.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "tests/scenario/dialogue_runner.hpp"

namespace postern::smtp {
namespace {

std::vector<std::string> dialogue_files() {
  std::vector<std::string> files;
  std::error_code error;
  std::filesystem::directory_iterator entry(POSTERN_SOURCE_DIR "/tests/scenario", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == ".dialogue") files.push_back(entry->path().string());
  }
  std::ranges::sort(files);
  return files;
}

class Dialogue : public testing::TestWithParam<std::string> {};

TEST_P(Dialogue, GoesAsWritten) { DialogueRunner(GetParam()).run(); }

std::string test_name(const testing::TestParamInfo<std::string>& file) {
  std::string name = std::filesystem::path(file.param).stem().string();
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Scenario, Dialogue, testing::ValuesIn(dialogue_files()), test_name);

TEST(DialogueFiles, AreFound) { EXPECT_FALSE(dialogue_files().empty()); }

}  // namespace
}  // namespace postern::smtp
