// Reading a drop that anybody may have made: what is taken, and what is refused with a sentence.
#include "firmware/init/drop_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/firmware/scratch_directory.hpp"

namespace postern::firmware {
namespace {

namespace fs = std::filesystem;

class Drop : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : drop_directories) fs::create_directory(place_ / name);
    write("postern.toml", "[server]\n");
  }
  void write(const std::string& name, const std::string& content) {
    std::ofstream(place_ / name) << content;
  }
  [[nodiscard]] std::string problem() const {
    const auto files = read_drop(place_);
    return files ? "" : files.error();
  }

 private:
  ScratchDirectory directory_;

 protected:
  fs::path place_ = directory_.path();
};

TEST_F(Drop, IsReadWholeAndInOrderWithoutWhatSystemsLeaveBeside) {
  write("users.d/copier-2.toml", "a");
  write("secrets/provider", std::string("b\0c", 3));
  write("users.d/._copier-2.toml", "x");
  write("README.TXT", "x");
  const auto files = read_drop(place_);
  ASSERT_TRUE(files) << files.error();
  ASSERT_EQ(files->size(), 3U);
  EXPECT_EQ((*files)[0].name, "postern.toml");
  EXPECT_EQ((*files)[1].name, "users.d/copier-2.toml");
  EXPECT_EQ((*files)[2].name, "secrets/provider");
  EXPECT_EQ((*files)[2].content, std::string("b\0c", 3));
}

TEST_F(Drop, WithALinkAPipeOrADirectoryIsRefusedAtOnce) {
  fs::create_symlink("/etc/passwd", place_ / "secrets/provider");
  EXPECT_NE(problem().find("secrets/provider cannot be read"), std::string::npos) << problem();
  fs::remove(place_ / "secrets/provider");
  ASSERT_EQ(::mkfifo((place_ / "secrets/provider").c_str(), 0600), 0);
  EXPECT_EQ(problem(), "secrets/provider is no regular file");
  fs::remove(place_ / "secrets/provider");
  fs::create_directory(place_ / "tls/ca");
  EXPECT_EQ(problem(), "tls/ca is no regular file");
}

TEST_F(Drop, WithANameThatCouldMeanSomethingElseIsRefused) {
  for (const char* name : {"a b.toml", "a\nb", "up\\..\\x", "$(x)", "\xc3\xbc.toml"}) {
    const fs::path file = place_ / "users.d" / name;
    std::ofstream(file) << "x";
    EXPECT_NE(problem().find("a file in users.d has a name"), std::string::npos) << name;
    fs::remove(file);
  }
  EXPECT_TRUE(is_plain_name("far.example.rsa.pem"));
  EXPECT_FALSE(is_plain_name(".hidden"));
  EXPECT_FALSE(is_plain_name("../up"));
  EXPECT_FALSE(is_plain_name(""));
  EXPECT_FALSE(is_plain_name(std::string(drop_name_bytes_max + 1, 'a')));
}

TEST_F(Drop, LargerThanAConfigurationCanBeIsRefusedUnread) {
  write("tls/ca.pem", "");
  fs::resize_file(place_ / "tls/ca.pem", drop_file_bytes_max + 1);
  EXPECT_EQ(problem(), "tls/ca.pem is larger than 1 MiB, which nothing of a configuration is");
  fs::remove(place_ / "tls/ca.pem");
  for (char c = 'a'; c <= 'i'; ++c) {
    const std::string name = std::string("tls/") + c;
    write(name, "");
    fs::resize_file(place_ / name, drop_file_bytes_max);
  }
  EXPECT_EQ(problem(), "the files are larger than 8 MiB in all, which no configuration is");
}

TEST_F(Drop, WithMoreFilesThanAConfigurationHasIsRefused) {
  for (std::size_t i = 0; i < drop_files_max; ++i) write("dkim/" + std::to_string(i), "");
  EXPECT_EQ(problem(), "there are more than 1000 files, which no configuration has");
}

TEST_F(Drop, WithoutItsMainFileAsAFileIsRefused) {
  fs::remove(place_ / "postern.toml");
  fs::create_directory(place_ / "postern.toml");
  EXPECT_EQ(problem(), "postern.toml is no regular file");
}

}  // namespace
}  // namespace postern::firmware
